/** Characters of an expression are of the classes that Unicode gives them, in ASCII and beyond. */
import { expect, it } from 'vitest';
import { tokenise } from '../../../src/core/matcher/lexer.js';
import { conditionSource } from '../../../src/core/matcher/source-text.js';
import { MatcherSyntaxError } from '../../../src/core/matcher/syntax-error.js';

/** The tokens of a text, or why it has none. */
function read(text: string): string {
  try {
    return tokenise(conditionSource(text), () => false)
      .map(({ kind, value }) => `${kind} ${value}`)
      .join(', ');
  } catch (error) {
    if (!(error instanceof MatcherSyntaxError)) throw error;
    return 'refused';
  }
}

const characters = [
  ...Array.from({ length: 0x370 }, (_, code) => String.fromCodePoint(code)),
  ...[
    '\u0435',
    '\u0660',
    '\u1680',
    '\u2003',
    '\u2028',
    '\u3000',
    '\u4e2d',
    '\ufeff',
    '\u{1d400}',
    '\u{1d7ce}',
    '\u{1f600}',
  ],
];

it('takes each letter and digit into a name, and no other character but its own', () => {
  let names = 0;
  for (const character of characters) {
    const isName = /^[\p{L}\p{Nd}_]$/u.test(character);
    if (isName) names++;
    expect(read(`a${character}b`) === `variable a${character}b`, JSON.stringify(character)).toBe(isName);
  }
  expect(names).toBeGreaterThan(400);
});

it('begins a name with a letter alone', () => {
  for (const character of characters) {
    const isLetter = /^\p{L}$/u.test(character);
    expect(read(`${character}b`) === `variable ${character}b`, JSON.stringify(character)).toBe(isLetter);
  }
});

it('passes over white space before, between and behind tokens', () => {
  for (const character of characters) {
    if (!/^\p{White_Space}$/u.test(character)) continue;
    const text = ['', 'a', '==', "'x y'", ''].join(character);
    expect(read(text), JSON.stringify(character)).toBe('variable a, comparator ==, string x y');
  }
});

it.each([
  ["a == 'x\\'y'", "variable a, comparator ==, string x'y"],
  ["a == 'x\\\\'", 'variable a, comparator ==, string x\\'],
  ["a == 'x\\", 'refused'],
  ["a == 'x", 'refused'],
  ['a\\-b', 'variable a-b'],
  ['a\\-', 'variable a-'],
  ['0x 1F == 31', 'number 31, comparator ==, number 31'],
  ['\u{1d400}\\\u{1f600}x', 'variable \u{1d400}\u{1f600}x'],
])('reads %s', (text, tokens) => {
  expect(read(text)).toBe(tokens);
});
