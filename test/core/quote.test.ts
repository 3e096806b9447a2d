import { describe, expect, it } from 'vitest';
import { cut, quote, quoteList, spellUnseen } from '../../src/core/quote.js';

describe('a piece of a file in a message', () => {
  it('is whole up to 40 characters, and cut beyond', () => {
    expect(quote('x'.repeat(40))).toBe(`"${'x'.repeat(40)}"`);
    expect(quote('x'.repeat(41))).toBe(`"${'x'.repeat(40)}…"`);
    expect(cut('x'.repeat(40))).toBe('x'.repeat(40));
    expect(cut('x'.repeat(41))).toBe(`${'x'.repeat(40)}…`);
  });

  it('is not cut within a character of two code units', () => {
    expect(quote(`${'x'.repeat(39)}😀y`)).toBe(`"${'x'.repeat(39)}…"`);
    expect(quote(`${'x'.repeat(38)}😀`)).toBe(`"${'x'.repeat(38)}😀"`);
  });

  it.each([
    ['a left-to-right mark', 'a\u200e', '"a\\u200e"'],
    ['a line separator', 'a\u2028b', '"a\\u2028b"'],
    ['a colour', '\u001b[31mred', '"\\u001b[31mred"'],
    ['a C1 control', '\u009b31m', '"\\u009b31m"'],
    ['a line feed', 'a\nb', '"a\\nb"'],
    ['a zero-width space', 'ad\u200bmin', '"ad\\u200bmin"'],
    ['a no-break space', 'kim\u00a0', '"kim\\u00a0"'],
    ['a tag character', 'a\u{e0041}', '"a\\udb40\\udc41"'],
    ['half a surrogate pair', 'a\ud83d', '"a\\ud83d"'],
    ['a quote', 'a"b', '"a\\"b"'],
    ['letters of any language', 'Zoë 王', '"Zoë 王"'],
  ])('shows %s', (_what, text, shown) => {
    expect(quote(text)).toBe(shown);
  });

  it('a list is as long as fits into 40 characters', () => {
    expect(quoteList(['ann', 'ben'], ' -> ')).toBe('"ann" -> "ben"');
    expect(quoteList(['a'.repeat(20), 'b'.repeat(20), 'c'])).toBe(`"${'a'.repeat(20)}", "${'b'.repeat(20)}", …`);
    expect(quoteList(['a'.repeat(60)])).toBe(`"${'a'.repeat(40)}…"`);
  });

  it('what may stay is named', () => {
    expect(spellUnseen('a\tb\nc\r', '\n\t')).toBe('a\tb\nc\\r');
  });
});
