/**
 * Small changes of a policy set, each of which a good test finds: another effect, a rule, a role link or a term less, another
 * comparison, a wider pattern. A mutant is a change of the text of one file, so that it is loaded as any change is.
 */
import { type NamedText, readYaml } from '../manifest/yaml-document.js';
import type { BinaryOperator, Expression } from '../matcher/ast.js';
import { namesOf } from '../matcher/environment.js';
import { parseExpression } from '../matcher/parser.js';
import { printCondition, printExpression } from '../matcher/print.js';
import { conditionSource, matcherSource, type SourceText } from '../matcher/source-text.js';
import { MatcherSyntaxError } from '../matcher/syntax-error.js';
import { type Combination, conditionColumns, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { Json, JsonObject } from '../request.js';
import type { Rule } from '../rules/rule-store.js';
import { type ColumnUse, columnUses } from './column-use.js';
import { type CoveredPlace, readsSomething } from './coverage.js';
import { Places } from './linted-set.js';

export const mutantKinds = [
  'effect-flipped',
  'rule-dropped',
  'role-link-dropped',
  'term-dropped',
  'term-negated',
  'comparison-changed',
  'pattern-widened',
] as const;
export type MutantKind = (typeof mutantKinds)[number];

export interface Mutant extends CoveredPlace {
  readonly kind: MutantKind;
  readonly before: string;
  /** Empty for what was dropped. */
  readonly after: string;
  /** The file as it is changed. */
  readonly changed: () => NamedText;
}

/** All mutants of a set, in the order of its files and lines. */
export function mutantsOf(compiled: CompiledPolicySet, texts: readonly NamedText[]): readonly Mutant[] {
  const { main } = compiled;
  if (!isCombination(main)) return [];
  const maker = new MutantMaker(compiled, main, texts);
  const found = [...maker.ofMatcher(), ...maker.ofDefinitions(), ...maker.ofRules(), ...maker.ofLinks()];
  const order = (a: Mutant, b: Mutant): number => a.line - b.line || a.column - b.column;
  return found.sort((a, b) => (a.file === b.file ? order(a, b) : a.file < b.file ? -1 : 1));
}

/**
 * At most `most` of them, in their order. They are chosen by chance that is the same in every run: the same set has the
 * same mutants.
 */
export function chooseMutants(mutants: readonly Mutant[], most: number): readonly Mutant[] {
  if (mutants.length <= most) return mutants;
  const numbers = mutants.map((_, index) => index);
  // A linear congruential generator (Numerical Recipes) is chance enough to choose lines.
  let state = seed;
  for (let index = 0; index < most; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = index + Math.floor((state / 2 ** 32) * (numbers.length - index));
    [numbers[index], numbers[other]] = [numbers[other] as number, numbers[index] as number];
  }
  const chosen = new Set(numbers.slice(0, most));
  return mutants.filter((_, index) => chosen.has(index));
}

const seed = 20_261_130;

class MutantMaker {
  private readonly places: Places;
  private readonly lines = new Map<string, readonly string[]>();

  constructor(
    private readonly set: CompiledPolicySet,
    private readonly main: Combination,
    private readonly texts: readonly NamedText[],
  ) {
    this.places = new Places(texts);
  }

  *ofMatcher(): Generator<Mutant> {
    const { model, manifest } = this.set;
    const definition = model.matchers.get(manifest.definitions.m);
    const expression = this.parsed(matcherSource(definition?.value ?? '', { fromModel: true }));
    if (definition === undefined || expression === undefined) return;
    const [first, last] = [definition.place(0).line, definition.place(definition.value.length - 1).line];
    for (const { at, print, ...change } of changesOf(expression, printExpression)) {
      const place = { file: model.file, ...definition.place(at) };
      const text = print(expression);
      if (!this.isReadBack(text, matcherSource(text, { fromModel: true }), printExpression)) continue;
      yield { ...place, ...change, changed: () => this.withMatcher(definition.key, first, last, text) };
    }
  }

  private withMatcher(key: string, first: number, last: number, text: string): NamedText {
    const { file } = this.set.model;
    const lines = [...this.linesOf(file)];
    let start = first;
    // The value may begin in a line below its key.
    while (start > 1 && !(lines[start - 1] ?? '').includes('=')) start--;
    for (let line = start; line <= last; line++) lines[line - 1] = line === start ? `${key} = ${text}` : '';
    return { file, text: lines.join('\n') };
  }

  *ofDefinitions(): Generator<Mutant> {
    const { manifest } = this.set;
    const file = this.texts.find((text) => text.file === manifest.placeOf().file);
    for (const [name, definition] of manifest.define) {
      const expression = 'text' in definition ? this.parsed(conditionSource(definition.text)) : undefined;
      if (expression === undefined || file === undefined) continue;
      for (const { at: _, print, ...change } of changesOf(expression, printCondition)) {
        const text = print(expression);
        if (!this.isReadBack(text, conditionSource(text), printCondition)) continue;
        yield { ...manifest.placeOf('define', name), ...change, changed: () => withDefinition(file, name, text) };
      }
    }
  }

  *ofRules(): Generator<Mutant> {
    const { main } = this;
    if (!main.readsRules) return;
    const uses = columnUses(main);
    const conditions = new Set(conditionColumns(main.program.expression, main.policy));
    const effect = main.policy.columns.get(`${main.policy.key}_eft`);
    for (const rule of main.rules) {
      yield this.dropped(rule, 'rule-dropped');
      const other = rule.effect === 'allow' ? 'deny' : rule.effect === 'deny' ? 'allow' : undefined;
      if (effect !== undefined && other !== undefined) yield this.withField(rule, effect, other, 'effect-flipped');
      for (const [column, use] of uses.entries()) {
        if (conditions.has(column)) yield* this.ofCondition(rule, column);
        const wider = widened(use, rule.fields[column] ?? '');
        if (wider !== undefined) yield this.withField(rule, column, wider, 'pattern-widened');
      }
    }
  }

  private *ofCondition(rule: Rule, column: number): Generator<Mutant> {
    const expression = this.parsed(conditionSource(rule.fields[column] ?? ''));
    if (expression === undefined) return;
    if (readsSomething(expression) && !['and', 'or'].includes(expression.kind)) {
      yield { ...this.withField(rule, column, 'true', 'term-dropped'), after: '' };
    }
    for (const { at: _, print, kind, before, after } of changesOf(expression, printCondition)) {
      const text = print(expression);
      if (!this.isReadBack(text, conditionSource(text), printCondition)) continue;
      yield { ...this.withField(rule, column, text, kind), before, after };
    }
  }

  *ofLinks(): Generator<Mutant> {
    for (const links of this.set.table.groupings.values()) {
      for (const link of links) yield this.dropped(link, 'role-link-dropped');
    }
  }

  private dropped(rule: Rule, kind: MutantKind): Mutant {
    const place = this.places.ofField(rule, undefined);
    const before = [rule.ptype, ...rule.fields].join(', ');
    return { ...place, kind, before, after: '', changed: () => this.withLine(rule, '') };
  }

  private withField(rule: Rule, column: number, text: string, kind: MutantKind): Mutant {
    const fields = rule.fields.map((field, index) => (index === column ? text : field));
    return {
      ...this.places.ofField(rule, column),
      kind,
      before: rule.fields[column] ?? '',
      after: text,
      changed: () => this.withLine(rule, [rule.ptype, ...fields].map(quotedField).join(', ')),
    };
  }

  /** The file with another text in the line of a rule. Other lines stay where they are. */
  private withLine({ file, line }: Rule, text: string): NamedText {
    const lines = [...this.linesOf(file)];
    lines[line - 1] = text;
    return { file, text: lines.join('\n') };
  }

  private linesOf(file: string): readonly string[] {
    let lines = this.lines.get(file);
    if (lines === undefined) {
      lines = (this.texts.find((text) => text.file === file)?.text ?? '').split('\n');
      this.lines.set(file, lines);
    }
    return lines;
  }

  /** As the author wrote it: a name that the manifest defines stays a name. */
  private parsed(source: SourceText): Expression | undefined {
    try {
      return parseExpression(source, { ...namesOf(this.main.environment), definitionOf: () => undefined });
    } catch (error) {
      if (!(error instanceof MatcherSyntaxError)) throw error;
      return undefined;
    }
  }

  /** A text that means something else than the changed tree would be another change than the one that is named. */
  private isReadBack(text: string, source: SourceText, print: Print): boolean {
    const again = this.parsed(source);
    return again !== undefined && print(again) === text;
  }
}

type Print = (expression: Expression) => string;

interface Change {
  readonly kind: MutantKind;
  readonly at: number;
  readonly before: string;
  readonly after: string;
  /** The whole expression, changed. */
  readonly print: Print;
}

/** The changes of an expression: of each term, and of each comparison that is a term. */
function* changesOf(expression: Expression, print: Print): Generator<Change> {
  for (const { term, isNegated, isOperand } of termsIn(expression)) {
    const become = (other: Expression): Print => {
      return (whole) => print(replaced(whole, (part) => (part === term ? other : undefined)));
    };
    const at = startOf(term);
    const before = print(term);
    const comparisons = term.kind === 'binary' ? (otherComparisons[term.operator] ?? []) : [];
    for (const operator of term.kind === 'binary' ? comparisons : []) {
      const other: Expression = { ...(term as Extract<Expression, { kind: 'binary' }>), operator };
      yield { kind: 'comparison-changed', at, before, after: print(other), print: become(other) };
    }
    // Another comparison is the opposite already.
    if (comparisons.length === 0) {
      const other: Expression = { kind: 'unary', operator: '!', operand: term, at };
      const undone = (whole: Expression): string => print(replaced(whole, (part) => operandOf(part, term)));
      const after = isNegated ? before : print(other);
      const was = isNegated ? print(other) : before;
      yield { kind: 'term-negated', at, before: was, after, print: isNegated ? undone : become(other) };
    }
    if (isOperand) yield { kind: 'term-dropped', at, before, after: '', print: (whole) => print(without(whole, term)) };
  }
}

/** The opposite, and for an order also whether it holds for what is equal. */
const otherComparisons: Readonly<Partial<Record<BinaryOperator, readonly BinaryOperator[]>>> = {
  '==': ['!='],
  '!=': ['=='],
  '<': ['<=', '>='],
  '<=': ['<', '>'],
  '>': ['>=', '<='],
  '>=': ['>', '<'],
  '=~': ['!~'],
  '!~': ['=~'],
};

function operandOf(part: Expression, term: Expression): Expression | undefined {
  return part.kind === 'unary' && part.operator === '!' && part.operand === term ? term : undefined;
}

interface FoundTerm {
  readonly term: Expression;
  /** Whether a `!` stands before it. */
  readonly isNegated: boolean;
  /** Whether it stands beside another one, joined by `&&` or `||`. */
  readonly isOperand: boolean;
}

function* termsIn(expression: Expression, isNegated = false, isOperand = false): Generator<FoundTerm> {
  switch (expression.kind) {
    case 'and':
    case 'or':
      yield* termsIn(expression.left, false, true);
      yield* termsIn(expression.right, false, true);
      break;
    case 'then':
      yield* termsIn(expression.condition);
      yield* termsIn(expression.value);
      break;
    case 'otherwise':
      yield* termsIn(expression.value);
      yield* termsIn(expression.fallback);
      break;
    case 'unary':
      if (expression.operator === '!') yield* termsIn(expression.operand, true, isOperand);
      break;
    default:
      if (readsSomething(expression)) yield { term: expression, isNegated, isOperand };
  }
}

/** The expression without a term of `&&` or `||`: what was joined to it is left. */
function without(expression: Expression, term: Expression): Expression {
  const isIt = (part: Expression): boolean => part === term || (part.kind === 'unary' && isIt(part.operand));
  return replaced(expression, (part) => {
    if (part.kind !== 'and' && part.kind !== 'or') return undefined;
    if (isIt(part.left)) return part.right;
    return isIt(part.right) ? part.left : undefined;
  });
}

/** The expression with other parts in the place of those for which there is one. */
function replaced(expression: Expression, by: (part: Expression) => Expression | undefined): Expression {
  const other = by(expression);
  if (other !== undefined) return other;
  const inner = (part: Expression): Expression => replaced(part, by);
  switch (expression.kind) {
    case 'and':
    case 'or':
      return { ...expression, left: inner(expression.left), right: inner(expression.right) };
    case 'then':
      return { ...expression, condition: inner(expression.condition), value: inner(expression.value) };
    case 'otherwise':
      return { ...expression, value: inner(expression.value), fallback: inner(expression.fallback) };
    case 'unary':
      return { ...expression, operand: inner(expression.operand) };
    default:
      return expression;
  }
}

function startOf(expression: Expression): number {
  switch (expression.kind) {
    case 'binary':
    case 'in':
      return Math.min(expression.at, startOf(expression.left));
    default:
      return expression.at;
  }
}

/** A wider pattern of a column; undefined if there is none, or the column has no patterns. */
function widened(use: ColumnUse, text: string): string | undefined {
  if (use.kind === 'unread' || use.kind === 'condition') return undefined;
  const wider = use.kind === 'pattern' ? widerPattern(use.function, text) : undefined;
  const widest = wider ?? use.always;
  return widest === text || text === use.always ? undefined : widest;
}

/**
 * `/docs/letters/:id` → `/docs/letters/*`, `/docs/letters/*` → `/docs/*`; of a network, 8 bits less; of an expression, all. The star
 * of a glob does not go over a slash: `/docs/*` → `/docs/**`, `/docs/letters/**` → `/docs/**`. Undefined where nothing is wider.
 */
function widerPattern(name: string, text: string): string | undefined {
  if (name === 'regexMatch') return '.*';
  if (name === 'ipMatch') {
    const [, address, bits] = /^(.+)\/(\d+)$/.exec(text) ?? [];
    return bits === undefined || Number(bits) === 0 ? undefined : `${address}/${Math.max(0, Number(bits) - 8)}`;
  }
  if (!/^(keyMatch[2-5]?|globMatch)$/.test(name)) return undefined;
  const segments = segmentsOf(text);
  const last = segments.pop()!;
  const stopsAtSlash = name === 'globMatch';
  if (last !== '**' && (last !== '*' || stopsAtSlash)) {
    const isDeep = stopsAtSlash && (last === '*' || last.includes('/'));
    return [...segments, isDeep ? '**' : '*'].join('/');
  }
  if (segments.length === 0 || (segments.length === 1 && segments[0] === '')) return undefined;
  return [...segments.slice(0, -1), last].join('/');
}

/** What stands between the slashes of a pattern; one within brackets is none: `/{a,b/c}` has the segment `{a,b/c}`. */
function segmentsOf(pattern: string): string[] {
  const segments: string[] = [''];
  let depth = 0;
  for (const character of pattern) {
    if ('[{('.includes(character)) depth++;
    else if (']})'.includes(character)) depth = Math.max(0, depth - 1);
    if (character === '/' && depth === 0) segments.push('');
    else segments[segments.length - 1] += character;
  }
  return segments;
}

function quotedField(field: string): string {
  return /[",]|^\s|\s$|^#/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

/** The manifest with another text for a name, in JSON, which is YAML. */
function withDefinition(file: NamedText, name: string, text: string): NamedText {
  const manifest = readYaml(file, () => {})?.json() as JsonObject;
  const define = { ...(manifest.define as { readonly [name: string]: Json }), [name]: text };
  return { file: file.file, text: JSON.stringify({ ...manifest, define }) };
}
