/** Parses JSON without rounding integers: one that a double cannot hold exactly becomes infinity. */
import { pointerStep } from './json-pointer.js';
import type { Json } from './request.js';

/** True for integers beyond ±9,007,199,254,740,991, which a double may round. */
export function isInexactInteger(digits: string): boolean {
  return digits.length > 16 || (digits.length === 16 && digits > '9007199254740991');
}

/** The literal that replaces an inexact integer. It parses as infinity, which all checks of numbers refuse. */
export const inexact = '1e999';

const quoteCode = 0x22;
const backslashCode = 0x5c;

/**
 * Returns start and end of each inexact integer literal (without fraction and exponent). It accepts any text; for text
 * that is not JSON the result has no meaning.
 */
export function inexactIntegers(text: string): readonly (readonly [start: number, end: number])[] {
  const found: [number, number][] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === quoteCode) {
      for (at++; at < text.length && text.charCodeAt(at) !== quoteCode; at++)
        if (text.charCodeAt(at) === backslashCode) at++;
    } else if (isDigit(character)) {
      const end = endOfNumber(text, at);
      const number = text.slice(at, end);
      if (/^\d+$/.test(number) && isInexactInteger(number)) found.push([at, end]);
      at = end - 1;
    }
  }
  return found;
}

function isDigit(character: number): boolean {
  return character >= 0x30 && character <= 0x39;
}

/** Where the number ends whose first digit is at `start`. */
export function endOfNumber(text: string, start: number): number {
  let end = start + 1;
  while (isDigit(text.charCodeAt(end)) || isPartOfNumber(text.charCodeAt(end))) end++;
  return end;
}

/** A point, a sign, `e` or `E`. */
function isPartOfNumber(character: number): boolean {
  return character === 0x2e || character === 0x2b || character === 0x2d || character === 0x65 || character === 0x45;
}

/** As JSON.parse, with infinity for integers that are not exact. */
export function parseExactJson(text: string): Json {
  // Few texts hold such a long number; this test costs a fifth of a microsecond.
  const mayBeInexact = /\d{16}/.test(text);
  return JSON.parse(mayBeInexact ? withoutInexact(text, inexactIntegers(text)) : text) as Json;
}

export function withoutInexact(text: string, places: readonly (readonly [start: number, end: number])[]): string {
  if (places.length === 0) return text;
  let exact = '';
  let from = 0;
  for (const [start, end] of places) {
    exact += text.slice(from, start) + inexact;
    from = end;
  }
  return exact + text.slice(from);
}

/** JSON pointer to an infinity in a value, which stands for a number that is too large or inexact. */
export function pointerToInexact(value: Json): string | undefined {
  return pointerToNumber(value, (number) => !Number.isFinite(number));
}

/** JSON pointer to a number that `JSON.parse` may have rounded, or that is infinite: for what others have parsed. */
export function pointerToRounded(value: Json): string | undefined {
  return pointerToNumber(
    value,
    (number) => !Number.isFinite(number) || (Number.isInteger(number) && !Number.isSafeInteger(number)),
  );
}

/** JSON pointer to a number of which `isFault` is true; undefined if there is none. It uses no stack for depth. */
function pointerToNumber(value: Json, isFault: (number: number) => boolean): string | undefined {
  const left: { readonly value: Json; readonly pointer: string }[] = [{ value, pointer: '' }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { value, pointer } = next;
    if (typeof value === 'number' && isFault(value)) return pointer;
    if (typeof value !== 'object' || value === null) continue;
    for (const [name, below] of Object.entries(value)) {
      if (typeof below !== 'number' && (typeof below !== 'object' || below === null)) continue;
      left.push({ value: below, pointer: `${pointer}/${pointerStep(name)}` });
    }
  }
  return undefined;
}
