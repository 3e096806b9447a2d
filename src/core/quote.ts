/** What comes from a file or a caller, as messages show it: short, and with nothing in it that a reader cannot see. */

/** Longest piece of a file that a message repeats, in UTF-16 code units. A link may lead to a private key. */
export const quotedLength = 40;

/** What no reader sees, or what changes the text around it: controls, formats (bidirectional marks, zero width), line separators. */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** Spaces that look like the usual one, or like none. */
const otherSpace = /(?! )\p{Zs}/gu;

/**
 * In double quotes, at most `quotedLength` characters of it, unseen ones and unusual spaces spelled out.
 *
 *     quote('ann\u200e')         // '"ann\\u200e"'
 *     quote('a'.repeat(50))      // '"aaa…aaa…"', 40 of them
 */
export function quote(value: string | number | boolean | undefined): string {
  const text = String(value ?? '');
  const short = shorten(text, quotedLength);
  return `"${spellUnseen(short.replaceAll(/["\\]/g, '\\$&')).replace(otherSpace, spell)}${short.length < text.length ? '…' : ''}"`;
}

/** As `quote`, without the quotes: for a name that stands by itself, such as `r.sub.department`. */
export function cut(text: string): string {
  const short = shorten(text, quotedLength);
  return `${spellUnseen(short)}${short.length < text.length ? '…' : ''}`;
}

/** Names in a row for a message, as many as fit into `quotedLength` characters; `joint` between them. */
export function quoteList(texts: readonly string[], joint = ', '): string {
  const shown: string[] = [];
  let length = 0;
  for (const text of texts) {
    length += text.length;
    if (length > quotedLength && shown.length > 0) return [...shown, '…'].join(joint);
    shown.push(quote(text));
  }
  return shown.join(joint);
}

/** The text with every unseen character as `\u200e`; `kept` are left as they are. */
export function spellUnseen(text: string, kept = ''): string {
  return text.replace(unseen, (character) => (kept.includes(character) ? character : spell(character)));
}

const shortEscapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** As JSON escapes it: `\u200e`, `\n`; beyond U+FFFF two escapes. */
function spell(character: string): string {
  const short = shortEscapes[character];
  if (short !== undefined) return short;
  let spelled = '';
  for (let index = 0; index < character.length; index++) {
    spelled += `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`;
  }
  return spelled;
}

/** The first `length` code units; a character of two is not torn apart. */
function shorten(text: string, length: number): string {
  if (text.length <= length) return text;
  return text.slice(0, /[\uD800-\uDBFF]/.test(text.charAt(length - 1)) ? length - 1 : length);
}
