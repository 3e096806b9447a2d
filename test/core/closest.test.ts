import { describe, expect, it } from 'vitest';
import { closest } from '../../src/core/closest.js';

const names = ['HOST', 'PORT', 'POLICY_DIR', 'DECISION_LOG', 'LOG_LEVEL'];

describe('the name that was probably meant', () => {
  it.each([
    ['PROT', 'PORT'],
    ['HSOT', 'HOST'],
    ['POTR', 'PORT'],
    ['PORTT', 'PORT'],
    ['POR', 'PORT'],
    ['port', 'PORT'],
    ['POLCY_DIR', 'POLICY_DIR'],
    ['POLICYDIR', 'POLICY_DIR'],
    ['LOGLEVEL', 'LOG_LEVEL'],
    ['DECISION_LGO', 'DECISION_LOG'],
  ])('for %s is %s', (name, meant) => {
    expect(closest(name, names)).toBe(meant);
  });

  it.each(['FOO', 'P', '', 'DATABASE_URL', 'TROP'])('is none for %j', (name) => {
    expect(closest(name, names)).toBeUndefined();
  });
});
