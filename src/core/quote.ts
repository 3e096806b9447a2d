/** Quotes text of files and callers for messages: shortened, with invisible characters spelled out. */

/** Longest piece of a file that a message repeats, in UTF-16 code units. A link may lead to a private key. */
export const quotedLength = 40;

/**
 * Invisible characters and those that change the text around them: controls, formats (bidirectional marks, zero width),
 * line separators.
 */
const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** Spaces other than U+0020; they look like it, or like nothing. */
const otherSpace = /(?! )\p{Zs}/gu;

/**
 * Puts at most `quotedLength` characters into double quotes, with invisible ones and unusual spaces spelled out.
 *
 *     quote('ann\u200e')         // '"ann\\u200e"'
 *     quote('a'.repeat(50))      // '"aaa…aaa…"', 40 of them
 */
export function quote(value: string | number | boolean | undefined): string {
  const text = String(value ?? '');
  const short = shorten(text, quotedLength);
  return `"${spellUnseen(short.replaceAll(/["\\]/g, '\\$&')).replace(otherSpace, spell)}${short.length < text.length ? '…' : ''}"`;
}

/**
 * The values that a message quotes, as `quote` does. One that was cut is not found: it is another text.
 *
 *     quotedIn('"ann \\"x\\"" is not a number')   // ['ann "x"']
 */
export function quotedIn(message: string): readonly string[] {
  return (message.match(/"(?:[^"\\]|\\.)*"/g) ?? []).flatMap((quoted) => {
    try {
      return [JSON.parse(quoted) as string];
    } catch {
      return [];
    }
  });
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

/** The first `length` code units, without half of a surrogate pair at the end. */
function shorten(text: string, length: number): string {
  if (text.length <= length) return text;
  return text.slice(0, /[\uD800-\uDBFF]/.test(text.charAt(length - 1)) ? length - 1 : length);
}
