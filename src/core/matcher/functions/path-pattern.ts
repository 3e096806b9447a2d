/**
 * The patterns of keyMatch2 to keyMatch5, keyGet2 and keyGet3: paths with variables and `*`.
 *
 * Casbin turns them into regular expressions by replacing text: `/*` becomes `/.*`, a variable becomes `[^/]+`, and
 * whatever else stands in the pattern is regular expression, too: `.` is any character. The regular expression defines
 * what a pattern means. Most patterns hold no special character but these; they are matched segment by segment, which
 * gives the same answers in a fraction of the time.
 */
import type { StepMeter } from '../../step-budget.js';
import { compileRegularExpression, type RegularExpression, stepsToCompile } from './regular-expression.js';
import { type Segment, SegmentMatcher } from './segment-matcher.js';

export interface PathSyntax {
  /** Splits a segment into text and the names of variables, in turn: `['file-', { variable: 'id' }]`. */
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

const maximumWork = 10_000_000;

/** Steps for preparing a pattern, by its text alone. */
export function stepsToPreparePath(pattern: string, syntax: PathSyntax): number {
  const steps = stepsPerPattern + stepsPerPatternCharacter * pattern.length;
  return plainSegments(pattern, syntax) === undefined ? steps + stepsToCompile(pattern) : steps;
}

const stepsPerPattern = 100;
const stepsPerPatternCharacter = 20;

/** A prepared pattern. There can be one for each rule, so it keeps little and computes rarely used parts again. */
export class PathPattern {
  private readonly matcher: SegmentMatcher | undefined;
  private compiled: RegularExpression | undefined;

  /** Throws FunctionError if the pattern does not become a valid regular expression. */
  constructor(
    private readonly pattern: string,
    private readonly syntax: PathSyntax,
  ) {
    const segments = plainSegments(pattern, syntax);
    if (segments === undefined) this.compiled = compileRegularExpression(sourceOf(pattern, syntax));
    else this.matcher = new SegmentMatcher(segments);
  }

  /** The names of the variables, in the order of the pattern; a name can stand there twice. */
  get variables(): readonly string[] {
    return this.pattern
      .split('/')
      .flatMap((segment) => this.syntax.parse(segment))
      .flatMap((part) => (typeof part === 'string' ? [] : part.variable));
  }

  matches(name: string, meter: StepMeter): boolean {
    const { matcher } = this;
    return matcher === undefined || this.needsExpression(matcher, name)
      ? this.compile(meter).test(name, meter)
      : matcher.matches(name, meter);
  }

  /**
   * The text of each variable; `undefined` when the name does not match. Groups that the pattern itself holds are
   * counted, as Casbin does: with `/(a|b)/:x` the first value is that of the group.
   */
  values(name: string, meter: StepMeter): readonly string[] | undefined {
    const { matcher } = this;
    return matcher === undefined || !matcher.hasValues || this.needsExpression(matcher, name)
      ? this.compile(meter).groups(name, meter)
      : matcher.values(name, meter);
  }

  /**
   * True if only the regular expression gives the right answer in bounded time: `.*` stops at a line feed, which
   * segments do not, and searching for segments behind a star takes the product of both lengths at worst.
   */
  private needsExpression(matcher: SegmentMatcher, name: string): boolean {
    if (!matcher.hasStar) return false;
    return name.includes('\n') || (!matcher.hasValues && this.pattern.length * name.length > maximumWork);
  }

  /** Compiled when it is first needed. Each evaluation that needs it counts the compilation. */
  private compile(meter: StepMeter): RegularExpression {
    if (this.matcher !== undefined && meter.isFirst(this, '')) meter.spend(stepsToCompile(this.pattern));
    this.compiled ??= compileRegularExpression(sourceOf(this.pattern, this.syntax));
    return this.compiled;
  }
}

function sourceOf(pattern: string, syntax: PathSyntax): string {
  const segments = pattern.split('/').map((segment, index) => {
    const parts = syntax.parse(segment).map((part) => (typeof part === 'string' ? part : syntax.variable));
    return index > 0 && segment.startsWith('*') ? `.${parts.join('')}` : parts.join('');
  });
  return `^${segments.join('/')}$`;
}

/** `undefined` when a segment needs a regular expression. */
function plainSegments(pattern: string, syntax: PathSyntax): readonly Segment[] | undefined {
  const segments: Segment[] = [];
  for (const [index, text] of pattern.split('/').entries()) {
    const [prefix = '', variable, suffix = '', ...more] = syntax.parse(text);
    if (text === '*' && index > 0) segments.push({ kind: 'star' });
    else if (more.length > 0 || !isPlain(prefix) || !isPlain(suffix)) return undefined;
    else segments.push(variable === undefined ? { kind: 'text', text } : { kind: 'variable', prefix, suffix });
  }
  return segments;
}

function isPlain(part: Part): part is string {
  return typeof part === 'string' && !/[\\.+*?()|[\]{}^$]/.test(part);
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
