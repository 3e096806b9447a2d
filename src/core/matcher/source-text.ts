/** The rewriting that Casbin does to a matcher before it is parsed; offsets into the author's text are kept. */

export interface SourceText {
  /** The text for the lexer. */
  readonly text: string;
  /** Index in the author's text of a character of `text`. */
  readonly originOf: (index: number) => number;
  /** Whether each bracket begins a list, also one around a bare name, which is another spelling of it else. */
  readonly hasLists?: boolean;
}

// Go's `\s` is ASCII only. The prefix character keeps `user.r.x` from being taken for a request column.
const assertion = /([()\t\n\f\r |&,=!><+\-*/]|^)((?:r|p)[0-9]*)\./g;

/** `r.sub.name == p.sub` → `r_sub.name == p_sub`: Casbin's EscapeAssertion. The length does not change. */
export function escapeAssertions(text: string): string {
  return text.replace(assertion, (_match, before: string, name: string) => `${before}${name}_`);
}

/** `r_sub` → `r.sub`. */
export function authorsName(name: string): string {
  return name.replace(/^([rp][0-9]*)_/, '$1.');
}

/** Verdict's own calls that take lists. What has one of them does not run on stock Casbin. */
const callOfLists = /\b(?:any|all|count|size|contains|subset|intersects)[ \t]*\(/;

/**
 * `[r.sub, "x"]` → `[r_sub, "x"]`. The reference finds no column behind a bracket and reads a name there; what stands in quotes stays.
 *
 * @param quoted a text in quotes
 */
function escapeListHeads(text: string, quoted: RegExp): string {
  const parts = new RegExp(`${quoted.source}|\\[((?:r|p)[0-9]*)\\.`, 'g');
  return text.replace(parts, (part, name: string | undefined) => (name === undefined ? part : `[${name}_`));
}

const quotedInMatcher = /"[^"']*["']|'[^"']*["']/;
const quotedInCondition = /["'](?:\\.|[^"'\\])*["']/s;

/**
 * Prepares the text of a matcher as the reference does (`model.AddDef`): column prefixes, a `#` comment, backslashes
 * in literals made literal, and, where the letters `in` occur anywhere, every bracket made a parenthesis. Where lists
 * are asked as only Verdict can, brackets are lists.
 */
export function matcherSource(text: string, options: { readonly fromModel: boolean }): SourceText {
  const comment = text.indexOf('#');
  const source = escapeListHeads(comment >= 0 ? text.slice(0, comment).trimEnd() : text, quotedInMatcher);
  const prepared = doubleBackslashes(escapeAssertions(source));
  if (callOfLists.test(source)) return { ...prepared, hasLists: true };
  if (!options.fromModel || !source.includes('in')) return prepared;
  return { ...prepared, text: prepared.text.replaceAll('[', '(').replaceAll(']', ')') };
}

/** Prepares a condition, the text that `eval()` is given: only the column prefixes are rewritten. */
export function conditionSource(text: string): SourceText {
  const source = escapeListHeads(text, quotedInCondition);
  return { text: escapeAssertions(source), originOf: (index) => index, hasLists: callOfLists.test(source) };
}

/**
 * A backslash in a matcher's literal stands for itself (Casbin's EscapeStringLiterals), in a condition it escapes.
 *
 * The reference copies byte by byte, which turns every character beyond ASCII into several wrong ones: `"é"` never
 * equals `é`. This is kept (P6), and the strict loader refuses such a matcher.
 */
function doubleBackslashes(text: string): SourceText {
  if (isAscii(text) && !text.includes('\\')) return { text, originOf: (index) => index };
  let result = '';
  const origins: number[] = [];
  let quote: string | undefined;
  let index = 0;
  for (const character of text) {
    for (const byte of utf8Bytes(character)) {
      const unit = String.fromCharCode(byte);
      result += unit;
      origins.push(index);
      if (quote === undefined) {
        if (unit === "'" || unit === '"') quote = unit;
      } else if (unit === '\\') {
        result += '\\';
        origins.push(index);
      } else if (unit === quote) {
        quote = undefined;
      }
    }
    index += character.length;
  }
  return { text: result, originOf: (at) => origins[at] ?? text.length };
}

export function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 127) return false;
  return true;
}

function utf8Bytes(character: string): number[] {
  const point = character.codePointAt(0) ?? 0;
  if (point < 0x80) return [point];
  if (point < 0x800) return [0xc0 | (point >> 6), 0x80 | (point & 63)];
  if (point < 0x10000) return [0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63)];
  return [0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63)];
}
