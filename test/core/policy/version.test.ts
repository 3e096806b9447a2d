import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { policySetVersion } from '../../../src/core/policy/version.js';

const file = (path: string, text: string) => ({ path, bytes: Buffer.from(text) });

describe('the version of a policy set', () => {
  it('is the documented digest', () => {
    const layout = Buffer.concat([
      Buffer.from([0, 0, 0, 5]),
      Buffer.from('a.csv'),
      Buffer.from([0, 0, 0, 0, 0, 0, 0, 2]),
      Buffer.from('hi'),
      Buffer.from([0, 0, 0, 6]),
      Buffer.from('é.csv'),
      Buffer.from([0, 0, 0, 0, 0, 0, 0, 0]),
    ]);
    expect(policySetVersion([file('é.csv', ''), file('a.csv', 'hi')])).toBe(
      `sha256:${createHash('sha256').update(layout).digest('hex')}`,
    );
  });

  it('does not depend on the order in which files are given', () => {
    const [a, b] = [file('model.conf', 'm'), file('rules.csv', 'p')];
    expect(policySetVersion([a, b])).toBe(policySetVersion([b, a]));
  });

  it('changes when a byte moves from one file to the next, or into a name', () => {
    const versions = [
      policySetVersion([file('a', 'xy'), file('b', 'z')]),
      policySetVersion([file('a', 'x'), file('b', 'yz')]),
      policySetVersion([file('ax', 'y'), file('b', 'z')]),
      policySetVersion([file('a', 'xy'), file('c', 'z')]),
      policySetVersion([file('a', 'xy')]),
    ];
    expect(new Set(versions).size).toBe(versions.length);
  });
});
