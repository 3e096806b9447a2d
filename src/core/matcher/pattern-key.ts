/** The text that every name begins with that a path pattern matches, so that patterns can be found by a name. */

export type PatternKey =
  /** The pattern matches this text and nothing else. */
  | { readonly kind: 'exact'; readonly text: string }
  /** All names that it matches begin with this text, which is empty or ends with `/`. */
  | { readonly kind: 'prefix'; readonly text: string };

const anything: PatternKey = { kind: 'prefix', text: '' };

/** Functions whose patterns have such a prefix. */
export const prefixFunctions: ReadonlySet<string> = new Set([
  'keyMatch',
  'keyMatch2',
  'keyMatch3',
  'keyMatch4',
  'keyMatch5',
]);

/** Characters that stand for themselves in a regular expression and in all path patterns. */
const plainRun = /^[A-Za-z0-9_\-/@ ~%,;=&!'"<>#]*/;

/** The key of a pattern. A pattern that is not a plain path with variables has the empty prefix. */
export function patternKey(name: string, pattern: string): PatternKey {
  if (name === 'keyMatch') {
    const star = pattern.indexOf('*');
    return star < 0 ? { kind: 'exact', text: pattern } : prefixOf(pattern.slice(0, star));
  }
  // With `|` a match may begin with another alternative.
  if (pattern.includes('|')) return anything;
  const plain = (plainRun.exec(pattern) as RegExpExecArray)[0];
  if (plain.length === pattern.length) return { kind: 'exact', text: pattern };
  // A quantifier may remove the character before it.
  const next = pattern[plain.length] as string;
  if (plain.endsWith('/') && (next === '?' || next === '+' || (next === '{' && name === 'keyMatch2'))) {
    return prefixOf(plain.slice(0, -1));
  }
  return prefixOf(plain);
}

/** Whether a pattern of a path function matches its own text and nothing else, as most of them do. */
export function isExactPattern(name: string, pattern: string): boolean {
  return prefixFunctions.has(name) && patternKey(name, pattern).kind === 'exact';
}

function prefixOf(text: string): PatternKey {
  return { kind: 'prefix', text: text.slice(0, text.lastIndexOf('/') + 1) };
}

/** keyMatch5 looks at a name up to its first `?`. */
export function beforeQuery(name: string): string {
  const query = name.indexOf('?');
  return query < 0 ? name : name.slice(0, query);
}
