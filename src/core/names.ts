/** Characters that ids, types, names of actions and tenants may not hold: two different names would look alike. */

/** U+0000 to U+001F and U+007F to U+009F, as they stand in a class of a regular expression. */
export const controlCharacters = '\\u0000-\\u001f\\u007f-\\u009f';

export const controlCharacter = new RegExp(`[${controlCharacters}]`);
/** For JSON Schemas: a text without control characters. */
export const plainTextPattern = `^[^${controlCharacters}]*$`;
const loneSurrogate = /\p{Surrogate}/u;

/** Says which forbidden character a name holds; undefined if none. */
export function faultInName(name: string): string | undefined {
  if (controlCharacter.test(name)) return 'a control character';
  return loneSurrogate.test(name) ? 'half of a character' : undefined;
}
