import { describe, expect, it } from 'vitest';
import { parseExactJson, pointerToInexact, pointerToRounded } from '../../src/core/exact-json.js';

describe('a number', () => {
  it.each([
    ['of the largest exact integer', '9007199254740991', undefined, undefined],
    ['one above it, which its text tells', '9007199254740992', '', ''],
    ['that is large by its exponent, which may be meant', '1e30', undefined, ''],
    ['too large for a double', '1e400', '', ''],
    ['with a fraction', '0.1', undefined, undefined],
    ['deep below, with names that a pointer escapes', '[{"a/b":[1,1e400]}]', '/0/a~1b/1', '/0/a~1b/1'],
  ])('%s', (_what, text, inexact, rounded) => {
    expect(pointerToInexact(parseExactJson(text))).toBe(inexact);
    expect(pointerToRounded(JSON.parse(text))).toBe(rounded);
  });

  it('is found in any depth', () => {
    let value: unknown = Number.MAX_SAFE_INTEGER + 1;
    for (let depth = 0; depth < 100_000; depth++) value = [value];
    expect(pointerToRounded(value as never)).toBe('/0'.repeat(100_000));
  });
});
