/**
 * JSON in the canonical form of RFC 8785: no blanks, the members of each object in the order of their UTF-16 code units,
 * numbers and texts as ECMAScript writes them. Members that are undefined are left out, as `JSON.stringify` does.
 *
 *     canonicalJson({ b: 1, a: ['x', 2.50] })   →  {"a":["x",2.5],"b":1}
 */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return quoted(value);
    case 'number':
      return Number.isFinite(value) ? `${value}` : 'null';
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value) ? listText(value) : objectText(value as Record<string, unknown>);
    default:
      return 'null';
  }
}

/** A text as JSON. Most need no escape, and looking for one takes half the time that `JSON.stringify` does. */
export function quoted(text: string): string {
  return plain.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** Lone surrogates are escaped, and to look for pairs is not worth it. */
const plain = /^[^"\\\u0000-\u001f\ud800-\udfff]*$/;

function listText(list: readonly unknown[]): string {
  if (list.length === 0) return '[]';
  let text = `[${canonicalJson(list[0])}`;
  for (let i = 1; i < list.length; i++) text += `,${canonicalJson(list[i])}`;
  return `${text}]`;
}

function objectText(object: Record<string, unknown>): string {
  const names = Object.keys(object);
  for (let i = 1; i < names.length; i++) {
    if (names[i - 1]! > names[i]!) {
      // As JavaScript compares texts, which is by their code units.
      names.sort();
      break;
    }
  }
  let text = '';
  for (const name of names) {
    const value = object[name];
    if (value !== undefined) text += `${text === '' ? '{' : ','}${quoted(name)}:${canonicalJson(value)}`;
  }
  return text === '' ? '{}' : `${text}}`;
}
