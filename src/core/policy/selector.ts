/** Selectors: for one term, the values that a column of a rule must have for the term to hold. */
import { type Expression, walk } from '../matcher/ast.js';
import { compileExpression } from '../matcher/compile.js';
import { type Environment, isFunctionName } from '../matcher/environment.js';
import type { Choice } from '../matcher/look-up.js';
import { beforeQuery, patternKey, prefixFunctions } from '../matcher/pattern-key.js';
import { printExpression } from '../matcher/print.js';
import { picksCandidates, type Term } from '../matcher/program.js';
import type { Scope } from '../matcher/scope.js';
import type { RoleGraph } from '../roles/roles.js';
import type { RuleStore } from '../rules/rule-store.js';
import { SymbolSet, type SymbolTable } from '../rules/symbols.js';
import { longText, stepsForText } from '../step-budget.js';
import { itemsPerStep, patternsPerStep } from '../steps.js';

export interface Selector {
  /** The column of the rules. */
  readonly column: number;
  /** The keys of the rules in this column. */
  readonly keys: Int32Array;
  /** Describes the rules that it selects. */
  readonly words: string;
  /** The columns of the request that `select` reads. */
  readonly reads: readonly number[];
  /** The keys to look for; undefined if every rule must be evaluated for this request. */
  select(scope: Scope): Choice | undefined;
}

/** Selects the rules on which a term may hold; the term itself remains to be evaluated. */
export interface PathSelector extends Selector {
  /** Whether some of the rules that it selects make its term fail. */
  readonly mayFail: boolean;
  /** Whether the term is known to hold on a rule that was selected. */
  holdsOn(rule: number): boolean;
}

export interface SelectorContext {
  readonly environment: Environment;
  /** For what they are, never for their links: those may be changed while the set serves. */
  readonly roles: ReadonlyMap<string, RoleGraph>;
  readonly rules: RuleStore;
  /** All terms of the conjunction that pick candidates. */
  readonly pickers: readonly Term[];
}

const none: readonly number[] = Object.freeze([]);

/** Steps for finding a key by a text, or adding it to others. */
const stepsPerKey = 8;

/** A value known before the rules are: a column of the request, or a literal. */
type Given = (scope: Scope) => unknown;

/** The selector of a term that picks candidates; undefined if no look-up can replace it. */
export function selectorOf(term: Expression, context: SelectorContext): Selector | undefined {
  switch (term.kind) {
    case 'binary':
      if (term.operator !== '==') return undefined;
      return equality(term.left, term.right, context) ?? equality(term.right, term.left, context);
    case 'in':
      return constants(term, context);
    case 'call':
      return roleSelector(term, context);
    case 'or':
      return alternative(term, context);
    default:
      return undefined;
  }
}

function equality(given: Expression, column: Expression, context: SelectorContext): Selector | undefined {
  const index = policyColumn(column, context);
  const value = givenValue(given, context);
  if (index === undefined || value === undefined) return undefined;
  const { symbols } = context.rules;
  return {
    column: index,
    keys: context.rules.columns[index] ?? new Int32Array(0),
    words: `${printExpression(column)} is ${printExpression(given)}`,
    reads: requestColumnsOf(given, context.environment),
    select: (scope) => {
      const found = value(scope);
      if (found === undefined) return undefined;
      // A value of another type equals no column.
      if (typeof found !== 'string') return none;
      if (found.length > longText) scope.spend(stepsForText(found.length));
      const symbol = symbols.find(found);
      return symbol === undefined ? none : symbol;
    },
  };
}

/** `p.act in ("read", "list")`. */
function constants(term: Extract<Expression, { kind: 'in' }>, context: SelectorContext): Selector | undefined {
  const index = policyColumn(term.left, context);
  if (index === undefined || term.right.kind !== 'list') return undefined;
  const { symbols } = context.rules;
  const found = new Set<number>();
  for (const item of term.right.items) {
    const symbol = item.kind === 'literal' && typeof item.value === 'string' ? symbols.find(item.value) : undefined;
    if (symbol !== undefined) found.add(symbol);
  }
  const selected = [...found];
  return {
    column: index,
    keys: context.rules.columns[index] ?? new Int32Array(0),
    words: printExpression(term),
    reads: [],
    select: () => selected,
  };
}

/** `g(r.sub, p.sub[, r.dom])`: the name itself and every role above it. */
function roleSelector(call: Extract<Expression, { kind: 'call' }>, context: SelectorContext): Selector | undefined {
  const [who, column, domain] = call.args;
  const graph = context.roles.get(call.name);
  if (who === undefined || column === undefined || graph === undefined || !graph.isListable) return undefined;
  const index = policyColumn(column, context);
  const name = givenValue(who, context);
  const where = domain === undefined ? noDomain : givenDomain(domain, context);
  const inDomain = where === undefined ? undefined : givenValue(where, context);
  if (index === undefined || name === undefined || where === undefined || inDomain === undefined) return undefined;
  const { symbols } = context.rules;
  const position = context.environment.roles.get(call.name) as number;
  const keys = context.rules.columns[index] ?? new Int32Array(0);
  const present = new SymbolSet(keys, symbols.size);
  return {
    column: index,
    keys,
    words: `${printExpression(column)} is ${printExpression(who)} or one of its roles over ${call.name}`,
    reads: [who, where].flatMap((part) => requestColumnsOf(part, context.environment)),
    select: (scope) => {
      const asked = name(scope);
      const inside = inDomain(scope);
      if (typeof asked !== 'string' || typeof inside !== 'string') return undefined;
      // What a scope is given are the graphs of the set, with the links that it has by now.
      const above = (scope.roles[position] as RoleGraph).rolesAbove(asked, inside, scope);
      if (above === undefined) return undefined;
      scope.spend(stepsPerKey * above.names.size);
      let roleKeys = above.keysIn(keys);
      if (roleKeys === undefined) {
        roleKeys = keysOf(above.names, symbols, present);
        above.keepKeys(keys, roleKeys);
      }
      const own = symbols.find(asked);
      if (own === undefined || !present.has(own) || roleKeys.includes(own)) return roleKeys;
      if (roleKeys.length === 0) return [own];
      const all = new Int32Array(roleKeys.length + 1);
      all[0] = own;
      all.set(roleKeys, 1);
      return all;
    },
  };
}

function keysOf(names: ReadonlySet<string>, symbols: SymbolTable, present: SymbolSet): Int32Array {
  const keys: number[] = [];
  for (const name of names) {
    const symbol = symbols.find(name);
    if (symbol !== undefined && present.has(symbol)) keys.push(symbol);
  }
  return Int32Array.from(keys);
}

const noDomain: Expression = Object.freeze({ kind: 'literal', value: '', at: 0 });

/** The third argument of a role call, or what another term makes equal to it if it is a column of the rules. */
function givenDomain(domain: Expression, context: SelectorContext): Expression | undefined {
  if (givenValue(domain, context) !== undefined) return domain;
  if (domain.kind !== 'column') return undefined;
  for (const { expression: term } of context.pickers) {
    if (term.kind !== 'binary' || term.operator !== '==') continue;
    for (const [one, other] of [
      [term.left, term.right],
      [term.right, term.left],
    ] as const) {
      if (one.kind === 'column' && one.name === domain.name) return other;
    }
  }
  return undefined;
}

/** `p.act == "*" || r.act == p.act`, and `r.sub == "root" || g(r.sub, p.sub)`, which then no rule is too many for. */
function alternative(term: Extract<Expression, { kind: 'or' }>, context: SelectorContext): Selector | undefined {
  const left = selectorOf(term.left, context);
  const right = selectorOf(term.right, context);
  if (left !== undefined && right !== undefined) return left.column === right.column ? union(left, right) : undefined;
  const selector = left ?? right;
  const test = left === undefined ? term.left : term.right;
  if (selector === undefined || !isOfRequest(test, context)) return undefined;
  const holds = compileExpression(test, { ...context.environment, report: () => {} });
  return {
    ...selector,
    words: `${selector.words}, or ${printExpression(test)}`,
    reads: [...selector.reads, ...requestColumnsOf(test, context.environment)],
    select: (scope) => (holds(scope) === false ? selector.select(scope) : undefined),
  };
}

function union(left: Selector, right: Selector): Selector {
  return {
    ...left,
    words: `${left.words}, or ${right.words}`,
    reads: [...left.reads, ...right.reads],
    select: (scope) => {
      const [one, other] = [left.select(scope), right.select(scope)];
      if (one === undefined || other === undefined) return undefined;
      const [a, b] = [listOf(one), listOf(other)];
      if (a.length === 0) return b;
      scope.spend(stepsPerKey * (a.length + b.length));
      return b.length === 0 ? a : [...new Set([...Array.from(a), ...Array.from(b)])];
    },
  };
}

function listOf(choice: Choice): ArrayLike<number> {
  return typeof choice === 'number' ? [choice] : choice;
}

/** A term that picks and reads no rule. */
function isOfRequest(term: Expression, context: SelectorContext): boolean {
  if (!picksCandidates(term, context.environment)) return false;
  let ofRequest = true;
  const look = (part: Expression): void => {
    if (part.kind === 'column' && context.environment.policyColumns.has(part.name)) ofRequest = false;
    if (part.kind === 'call' && !isFunctionName(context.environment, part.name)) ofRequest = false;
  };
  walk(term, look);
  return ofRequest;
}

/**
 * `keyMatch2(r.obj, p.obj)`: the patterns that begin as the name does. The term itself remains to be evaluated. A
 * pattern that is broken is found under every name, so that its error is not lost.
 */
export function* pathSelectorOf(term: Expression, context: SelectorContext): Generator<void, PathSelector | undefined> {
  if (term.kind !== 'call' || !prefixFunctions.has(term.name) || term.args.length !== 2) return undefined;
  const definition = context.environment.functions.get(term.name);
  if (definition?.prepare === undefined || context.environment.customFunctions.has(term.name)) return undefined;
  const [nameOf, pattern] = term.args as [Expression, Expression];
  const index = policyColumn(pattern, context);
  const value = givenValue(nameOf, context);
  if (index === undefined || value === undefined) return undefined;
  const { symbols } = context.rules;
  const patterns = context.rules.columns[index] ?? new Int32Array(0);
  const prefixes = new Map<string, number>();
  const begun = new SymbolSet([], symbols.size);
  const keyOf = (symbol: number): number => {
    const text = symbols.text(symbol);
    const broken = context.environment.patterns.find(definition, text).matches === undefined;
    mayFail ||= broken;
    const found = broken ? ({ kind: 'prefix', text: '' } as const) : patternKey(term.name, text);
    if (found.kind === 'exact') return symbol;
    begun.add(symbol);
    // Below zero, so that a prefix is never taken for a pattern that is the same text.
    const key = prefixes.get(found.text) ?? -1 - prefixes.size;
    prefixes.set(found.text, key);
    deepest = Math.max(deepest, slashesIn(found.text));
    longest = Math.max(longest, found.text.length);
    return key;
  };
  let deepest = 0;
  let longest = 0;
  let mayFail = false;
  let prepared = 0;
  const looked = new SymbolSet([], symbols.size);
  const keyOfPattern = new Int32Array(symbols.size);
  const keys = new Int32Array(patterns.length);
  for (let rule = 0; rule < patterns.length; rule++) {
    if (rule % itemsPerStep === 0) yield;
    const symbol = patterns[rule] as number;
    if (looked.add(symbol)) {
      if (++prepared % patternsPerStep === 0) yield;
      keyOfPattern[symbol] = keyOf(symbol);
    }
    keys[rule] = keyOfPattern[symbol] as number;
  }
  return {
    column: index,
    keys,
    mayFail,
    // A rule found under its own text has no pattern: the name is that text.
    holdsOn: (rule) => !begun.has(context.rules.symbol(index, rule)),
    words: `${printExpression(pattern)} begins as ${printExpression(nameOf)} does`,
    reads: requestColumnsOf(nameOf, context.environment),
    select: (scope) => {
      const given = value(scope);
      if (typeof given !== 'string') return undefined;
      const name = term.name === 'keyMatch5' ? beforeQuery(given) : given;
      const selected: number[] = [];
      scope.spend(stepsPerKey + stepsForText(name.length));
      const exact = symbols.find(name);
      if (exact !== undefined) selected.push(exact);
      let end = 0;
      for (let depth = 0; depth <= deepest && end <= longest; depth++) {
        scope.spend(stepsPerKey + stepsForText(end));
        const key = prefixes.get(name.slice(0, end));
        if (key !== undefined) selected.push(key);
        end = name.indexOf('/', end) + 1;
        if (end === 0) break;
      }
      return selected;
    },
  };
}

function slashesIn(text: string): number {
  return text.split('/').length - 1;
}

function policyColumn(expression: Expression, { environment }: SelectorContext): number | undefined {
  return expression.kind === 'column' ? environment.policyColumns.get(expression.name) : undefined;
}

function givenValue(expression: Expression, { environment }: SelectorContext): Given | undefined {
  if (expression.kind === 'literal') {
    const { value } = expression;
    return () => value;
  }
  if (expression.kind !== 'column') return undefined;
  const index = environment.requestColumns.get(expression.name);
  return index === undefined ? undefined : (scope) => scope.values[index];
}

export function requestColumnsOf(term: Expression, { requestColumns }: Environment): readonly number[] {
  const columns: number[] = [];
  walk(term, (part) => {
    const column = part.kind === 'column' ? requestColumns.get(part.name) : undefined;
    if (column !== undefined) columns.push(column);
  });
  return columns;
}
