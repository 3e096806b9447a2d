/**
 * The patterns of keyMatch2 to keyMatch5, keyGet2 and keyGet3: paths with variables and `*`.
 *
 * Casbin turns them into regular expressions by replacing text: `/*` becomes `/.*`, a variable becomes `[^/]+`, and
 * whatever else stands in the pattern is regular expression, too: `.` is any character. The regular expression defines
 * what a pattern means. Most patterns hold no special character but these; they are matched segment by segment, which
 * gives the same answers in a fraction of the time.
 */
import { compileRegularExpression, type RegularExpression } from './regular-expression.js';
import { type Segment, SegmentMatcher } from './segment-matcher.js';

export interface PathSyntax {
  /** Splits a segment into text and the names of variables: `['file-', { variable: 'id' }]`. */
  readonly parse: (segment: string) => readonly Part[];
  /** What a variable becomes. With a group it is a group, which makes a difference where other groups are around. */
  readonly variable: '[^/]+' | '([^/]+)' | '([^/]+?)';
}

type Part = string | { readonly variable: string };

export const pathSyntaxes = {
  keyMatch2: { parse: parseColon, variable: '[^/]+' },
  keyMatch3: { parse: parseBraces, variable: '[^/]+' },
  keyMatch4: { parse: parseBraces, variable: '([^/]+)' },
  keyGet2: { parse: parseColon, variable: '([^/]+)' },
  keyGet3: { parse: parseSeparateBraces, variable: '([^/]+?)' },
} as const satisfies Record<string, PathSyntax>;

export interface PathPattern {
  /** The names of the variables, in the order of the pattern; a name can stand there twice. */
  readonly variables: readonly string[];
  matches(name: string): boolean;
  /**
   * The text of each variable; `undefined` when the name does not match. Groups that the pattern itself holds are
   * counted, as Casbin does: with `/(a|b)/:x` the first value is that of the group.
   */
  values(name: string): readonly string[] | undefined;
}

const maximumWork = 10_000_000;

/** Throws FunctionError when what becomes of the pattern is no regular expression. */
export function compilePathPattern(pattern: string, syntax: PathSyntax): PathPattern {
  const segments = pattern.split('/').map(syntax.parse);
  const variables = segments.flat().flatMap((part) => (typeof part === 'string' ? [] : part.variable));
  const source = `^${segments.map((parts, index) => sourceOf(parts, index, syntax)).join('/')}$`;
  // A bare `*` repeats the `^` before it, any number of times: it matches everything.
  if (pattern === '*') return { variables, matches: () => true, values: () => [] };

  const plain = segments.map(plainSegment);
  if (!plain.every((segment) => segment !== undefined)) {
    const expression = compileRegularExpression(source);
    return { variables, matches: (name) => expression.test(name), values: (name) => expression.groups(name) };
  }

  const matcher = new SegmentMatcher(plain);
  let compiled: RegularExpression | undefined;
  const expression = () => {
    compiled ??= compileRegularExpression(source);
    return compiled;
  };
  // `.*` ends at a line feed, which the segments do not know: too rare in a name to deserve a way of its own. And
  // looking for segments behind a star takes the product of both lengths at worst, the expression knows its limits.
  const isSpecial = (name: string) =>
    matcher.hasStar && (name.includes('\n') || (!matcher.hasValues && pattern.length * name.length > maximumWork));
  return {
    variables,
    matches: (name) => (isSpecial(name) ? expression().test(name) : matcher.matches(name)),
    values: (name) => (isSpecial(name) || !matcher.hasValues ? expression().groups(name) : matcher.values(name)),
  };
}

function sourceOf(parts: readonly Part[], index: number, syntax: PathSyntax): string {
  const source = parts.map((part) => (typeof part === 'string' ? part : syntax.variable)).join('');
  return index > 0 && typeof parts[0] === 'string' && parts[0].startsWith('*') ? `.${source}` : source;
}

/** `undefined` for a segment that needs a regular expression. */
function plainSegment(parts: readonly Part[], index: number): Segment | undefined {
  const texts = parts.filter((part) => typeof part === 'string');
  if (index > 0 && texts.length === parts.length && texts.join('') === '*') return { kind: 'star' };
  if (texts.some((text) => /[\\.+*?()|[\]{}^$]/.test(text))) return undefined;
  if (texts.length === parts.length) return { kind: 'text', text: texts.join('') };
  if (parts.length - texts.length > 1) return undefined;
  const at = parts.findIndex((part) => typeof part !== 'string');
  return { kind: 'variable', prefix: parts.slice(0, at).join(''), suffix: parts.slice(at + 1).join('') };
}

/** `:name`, everything from the colon to the end of the segment. */
function parseColon(segment: string): readonly Part[] {
  const colon = segment.indexOf(':');
  if (colon === -1 || colon === segment.length - 1) return [segment];
  return [segment.slice(0, colon), { variable: segment.slice(colon + 1) }];
}

/** `{name}` from the first `{` to the last `}`, with something in between: `{x}-{y}` is one variable. */
function parseBraces(segment: string): readonly Part[] {
  const open = segment.indexOf('{');
  const close = segment.lastIndexOf('}');
  if (open === -1 || close < open + 2) return [segment];
  return [segment.slice(0, open), { variable: segment.slice(open + 1, close) }, segment.slice(close + 1)];
}

/** `{name}` up to the next `}`, with something in between: `{x}-{y}` are two variables. */
function parseSeparateBraces(segment: string): readonly Part[] {
  const parts: Part[] = [];
  let rest = 0;
  for (;;) {
    const open = segment.indexOf('{', rest);
    const close = open === -1 ? -1 : segment.indexOf('}', open + 2);
    if (close === -1) return [...parts, segment.slice(rest)];
    parts.push(segment.slice(rest, open), { variable: segment.slice(open + 1, close) });
    rest = close + 1;
  }
}
