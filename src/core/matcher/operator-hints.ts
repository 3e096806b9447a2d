/** Operators of other languages, and their spelling here. */
import { cut } from '../quote.js';

const meant: ReadonlyMap<string, string> = new Map([
  ['and', '&&'],
  ['or', '||'],
  ['not', '!'],
  ['xor', '!='],
  ['is', '=='],
  ['eq', '=='],
  ['equals', '=='],
  ['ne', '!='],
  ['neq', '!='],
  ['gt', '>'],
  ['ge', '>='],
  ['gte', '>='],
  ['lt', '<'],
  ['le', '<='],
  ['lte', '<='],
  ['mod', '%'],
  ['=', '=='],
  ['===', '=='],
  [':=', '=='],
  ['!==', '!='],
  ['<>', '!='],
  ['=>', '>='],
  ['=<', '<='],
  ['~=', '=~'],
  ['&&&', '&&'],
  ['|||', '||'],
  ['≠', '!='],
  ['≤', '<='],
  ['≥', '>='],
  ['∧', '&&'],
  ['∨', '||'],
  ['¬', '!'],
  ['`', '"'],
  ...['“', '”', '„', '‘', '’', '«', '»'].map((quote) => [quote, '"'] as const),
]);

/** Words that are operators in Python and SQL, and names nowhere: no column has a bare name. */
const words = /^(?:and|or|not|xor)$/i;

export function isForeignOperator(word: string): boolean {
  return words.test(word);
}

/**
 * What to write for the operators of other languages in a text that does not parse; all of them at once.
 *
 *     operatorHint('r.sub = p.sub and not (r.act == "x")')   // 'write == for =, && for and, ! for not'
 */
export function operatorHint(text: string): string | undefined {
  const outside = text.replaceAll(/"[^"]*"|'[^']*'/g, ' ');
  if (/\bnot\s+in\b/i.test(outside)) return 'write !(r.act in ("read", "list")) for not in';
  const found = new Map<string, string>();
  for (const [part] of outside.matchAll(/[\p{L}_][\p{L}\p{Nd}_.]*|[^\p{L}\p{Nd}\p{White_Space}_.,()[\]"']+/gu)) {
    const operator = meant.get(part.toLowerCase()) ?? (part.length > 1 ? undefined : plainForm(part));
    if (operator !== undefined) found.set(part, operator);
  }
  if (found.size > 0) return `write ${[...found].map(([part, operator]) => `${operator} for ${cut(part)}`).join(', ')}`;
  return gluedHint(outside);
}

/** The ASCII character for a similar one: `（` is `(`. */
export function plainForm(character: string): string | undefined {
  const plain = meant.get(character) ?? character.normalize('NFKC');
  return plain !== character && /^[\x21-\x7e]+$/.test(plain) ? plain : undefined;
}

/** `a &&!b`: operators without a blank between them are read as one. */
function gluedHint(text: string): string | undefined {
  const glued = /(&&|\|\||==|!=|<=|>=|=~|!~|<|>)([!~-])(?=[\s\p{L}\p{Nd}("'])/u.exec(text);
  return glued === null ? undefined : `put a blank between ${glued[1]} and ${glued[2]}`;
}
