import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type VersionedFile, policySetVersion as versionWith } from '../../../src/core/policy/version.js';
import { sha256 as portable } from '../../../src/digest/portable-sha-256.js';
import { sha256 } from '../../../src/digest/sha-256.js';
import { compilePolicySet } from '../../../src/engine.js';

const model = `
[request_definition]
r = sub
[policy_definition]
p = sub
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub
`;
const file = (path: string, text: string) => ({ path, content: Buffer.from(text) });
const policySetVersion = (files: readonly VersionedFile[]) => versionWith(files, sha256);

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

  it('is that of the UTF-8 bytes where contents are given as texts', () => {
    for (const text of ['', 'ascii', 'é', '\ud83d\ude00 €', 'half \ud83d', '\ude00\ud83d', 'a'.repeat(100_000)]) {
      const bytes = policySetVersion([{ path: 'a', content: Buffer.from(text) }]);
      expect(policySetVersion([{ path: 'a', content: text }]), JSON.stringify(text)).toBe(bytes);
      const { version } = compilePolicySet({ model, rules: [{ file: 'rules.csv', text: `# ${text}` }] });
      expect(version).toBe(policySetVersion([file('model.conf', model), file('rules.csv', `# ${text}`)]));
    }
  });

  it('sorts paths by their UTF-8 bytes', () => {
    const paths = ['\uffee', '\u{1f600}', 'b', 'a', '\ud83d', '\ufffd1'];
    const hashed: string[] = [];
    versionWith(
      paths.map((path) => file(path, '')),
      (parts) => {
        for (const part of parts) if (typeof part === 'string') hashed.push(part);
        return '';
      },
    );
    const wanted = paths.map((path) => Buffer.from(path)).sort(Buffer.compare);
    expect(hashed).toEqual(wanted.map(String));
  });
});

describe('SHA-256', () => {
  it('is the same in plain JavaScript as on the platform', () => {
    const random = (length: number) => Uint8Array.from({ length }, (_, index) => (index * 151 + (index >> 8)) & 0xff);
    for (let length = 0; length < 200; length++) {
      expect(portable([random(length)]), `${length} bytes`).toBe(sha256([random(length)]));
    }
    // Texts are encoded in parts, and no part ends within a character.
    const texts = ['é€😀'.repeat(40_000), `${'x'.repeat(65_535)}😀`, `${'x'.repeat(65_535)}\ud83d`, '\ude00\ud83d'];
    for (const text of texts)
      expect(portable([random(77), text, random(1)])).toBe(sha256([random(77), text, random(1)]));
    expect(portable([])).toBe(sha256([]));
  });
});
