/** How the rules that a request can match are found: by look-ups where the matcher lets them, else one by one. */
import { type Expression, walk } from '../matcher/ast.js';
import type { Environment } from '../matcher/environment.js';
import { LookUp } from '../matcher/look-up.js';
import { printExpression } from '../matcher/print.js';
import type { Program, Term } from '../matcher/program.js';
import type { Scope } from '../matcher/scope.js';
import type { RoleGraph } from '../roles/roles.js';
import { buildKeyIndex, type RuleCandidates, type RuleKeyIndex } from '../rules/key-index.js';
import type { RuleStore } from '../rules/rule-store.js';
import {
  type PathSelector,
  pathSelectorOf,
  requestColumnsOf,
  type Selector,
  type SelectorContext,
  selectorOf,
} from './selector.js';

/** More look-ups than this are slower than most scans. */
const maxLookUps = 50_000;
const stepsPerLookUp = 8;

/** What a plan is made of. */
export interface PlanParts {
  /** Those that stand for terms that pick candidates, then those of path patterns. */
  readonly selectors: readonly Selector[];
  /** How many of the selectors stand for terms that pick candidates. */
  readonly picking: number;
  /** Undefined if every rule is evaluated for every request. */
  readonly index: RuleKeyIndex | undefined;
  /** Columns of the request that must be texts, or a term that no look-up stands for fails before one that does. */
  readonly textColumns: readonly number[];
  /** Columns of the request that must be texts, or some term that picks candidates fails. */
  readonly pickedBy: readonly number[];
  /** Terms that pick candidates and are not part of the look-up. */
  readonly pickers: readonly Term[];
  /** The terms that remain to be evaluated on a rule that a look-up found. */
  readonly remaining: readonly Term[];
  /** The plan in words, a line a step. */
  readonly words: readonly string[];
}

export class Plan {
  private readonly selectors: readonly Selector[];
  private readonly index: RuleKeyIndex | undefined;
  private readonly textColumns: readonly number[];
  readonly pickers: readonly Term[];
  readonly remaining: readonly Term[];
  readonly words: readonly string[];

  constructor(
    private readonly rules: RuleStore,
    private readonly parts: PlanParts,
  ) {
    this.selectors = parts.selectors;
    this.index = parts.index;
    this.textColumns = parts.textColumns;
    this.pickers = parts.pickers;
    this.remaining = parts.remaining;
    this.words = parts.words;
  }

  /** True if every rule is evaluated for every request. */
  get scans(): boolean {
    return this.index === undefined;
  }

  /** The rules that the request in `scope` can match; undefined when every rule must be asked. */
  candidates(scope: Scope): RuleCandidates | undefined {
    if (this.index === undefined || scope.assumedLink !== undefined) return undefined;
    return this.select(scope) ? this.index.find(scope.lookUp, scope) : undefined;
  }

  /** Makes the choices of the look-up; false when every rule must be asked. */
  private select(scope: Scope): boolean {
    for (const column of this.textColumns) if (typeof scope.values[column] !== 'string') return false;
    const { selectors } = this;
    const { lookUp } = scope;
    lookUp.begin();
    for (let part = 0; part < selectors.length; part++) {
      const selected = (selectors[part] as Selector).select(scope);
      if (selected === undefined) return false;
      lookUp.choose(selected);
    }
    if (lookUp.size > maxLookUps || lookUp.size > this.rules.length) return false;
    scope.spend(stepsPerLookUp * lookUp.size);
    return true;
  }

  /** Indexes of a part of the plan, by their selectors; built when a search first needs them. */
  private readonly partialIndexes = new Map<string, RuleKeyIndex>();

  /**
   * The rules that a request can match of which only some columns are known: those that the selectors find which read
   * no other. Undefined when that may be any rule.
   */
  *candidatesOfPart(scope: Scope, unknown: ReadonlySet<number>): Generator<void, RuleCandidates | undefined> {
    return yield* this.find(this.selectPart(scope, unknown), scope);
  }

  /**
   * As `candidatesOfPart`, with the rules, too, on which the matcher may fail: where a term that picks candidates fails, no path
   * pattern behind it keeps a rule from failing.
   *
   * @param mayBeAny columns of the unknown ones that may hold something else than a text
   */
  *reachedOfPart(
    scope: Scope,
    unknown: ReadonlySet<number>,
    mayBeAny: ReadonlySet<number>,
  ): Generator<void, RuleCandidates | undefined> {
    const { pickedBy, picking } = this.parts;
    const mayFail = pickedBy.some(
      (column) => mayBeAny.has(column) || (!unknown.has(column) && typeof scope.values[column] !== 'string'),
    );
    return yield* this.find(this.selectPart(scope, unknown, mayFail ? picking : undefined), scope);
  }

  private *find(
    { parts, lookUp }: { readonly parts: readonly number[]; readonly lookUp: LookUp },
    scope: Scope,
  ): Generator<void, RuleCandidates | undefined> {
    if (parts.length === 0 || lookUp.size > maxLookUps) return undefined;
    const key = parts.join();
    let index = parts.length === this.selectors.length ? this.index : this.partialIndexes.get(key);
    if (index === undefined) {
      const keys = parts.map((part) => (this.selectors[part] as Selector).keys);
      index = yield* buildKeyIndex(keys, this.rules.length);
      this.partialIndexes.set(key, index);
    }
    return index.find(lookUp, scope);
  }

  /** What the selectors give that read none of the unknown columns, and which these are. */
  private selectPart(
    scope: Scope,
    unknown: ReadonlySet<number>,
    most = this.selectors.length,
  ): { parts: number[]; lookUp: LookUp } {
    const parts: number[] = [];
    // Of its own: an index may have to be made before it is used.
    const lookUp = new LookUp();
    for (const [part, { reads, select }] of this.selectors.slice(0, most).entries()) {
      const selected = reads.some((column) => unknown.has(column)) ? undefined : select(scope);
      if (selected === undefined) continue;
      parts.push(part);
      lookUp.choose(selected);
    }
    return { parts, lookUp };
  }
}

/**
 * Makes the plan of a matcher. What is looked up are the terms that pick candidates (they cannot fail, so a rule that
 * they leave out could neither match nor err) and, of what remains, path patterns as long as only path patterns stand
 * before them.
 */
export function* planRules(
  program: Program,
  environment: Environment,
  roles: ReadonlyMap<string, RoleGraph>,
  rules: RuleStore,
): Generator<void, Plan> {
  const { pickers, remaining } = program;
  const context: SelectorContext = { environment, roles, rules, pickers };
  const selectors = new Map<number, Selector>();
  const residual: Term[] = [];
  const settled = new Map<Term, Term>();
  for (const term of pickers) {
    const selector = selectorOf(term.expression, context);
    if (selector === undefined || selectors.has(selector.column)) residual.push(term);
    else selectors.set(selector.column, selector);
  }
  const picking = selectors.size;
  const textColumns = new Set<number>();
  for (const term of pickers.some(mustFail) ? [] : remaining) {
    const selector = yield* pathSelectorOf(term.expression, context);
    // A second term on a column is not looked up, and may fail: nothing behind it may leave a rule out.
    if (selector === undefined || selectors.has(selector.column)) break;
    selectors.set(selector.column, selector);
    settled.set(term, evaluatedWhereOpen(term, selector));
    for (const { expression } of residual) {
      for (const column of requestColumnsOf(expression, environment)) textColumns.add(column);
    }
    // A broken pattern is an error before later terms are evaluated, so they must not leave its rule out.
    if (selector.mayFail) break;
  }
  const found = [...selectors.values()];
  const pickedBy = new Set(pickers.flatMap(({ expression }) => columnsOfRoleCalls(expression, environment)));
  const keys = found.map((selector) => selector.keys);
  const index = keys.length === 0 ? undefined : yield* buildKeyIndex(keys, rules.length);
  return new Plan(rules, {
    selectors: found,
    picking,
    index,
    textColumns: [...textColumns],
    pickedBy: [...pickedBy],
    pickers: residual,
    remaining: remaining.map((term) => settled.get(term) ?? term),
    words: describePlan(found, residual, remaining),
  });
}

/** The columns of the request that calls of role definitions take: anything but a text is an error there. */
function columnsOfRoleCalls(expression: Expression, environment: Environment): readonly number[] {
  const columns: number[] = [];
  walk(expression, (part) => {
    if (part.kind === 'call') columns.push(...requestColumnsOf(part, environment));
  });
  return columns;
}

function evaluatedWhereOpen({ expression, run, steps }: Term, { holdsOn }: PathSelector): Term {
  return { expression, steps, run: (scope) => holdsOn(scope.rule) || run(scope) };
}

/** True for a role call with a literal that is not a text. It errs on every rule, so no rule may be left out. */
function mustFail({ expression }: Term): boolean {
  let fails = false;
  walk(expression, (part) => {
    if (part.kind !== 'call') return;
    fails ||= part.args.some((argument) => argument.kind === 'literal' && typeof argument.value !== 'string');
  });
  return fails;
}

function describePlan(
  selectors: readonly Selector[],
  residual: readonly Term[],
  remaining: readonly Term[],
): readonly string[] {
  const found =
    selectors.length === 0
      ? 'every rule is asked: no term compares a column of the rules with the request alone'
      : `rules are looked up where ${selectors.map(({ words }) => words).join(' and ')}`;
  const evaluated = [...residual, ...remaining].map(({ expression }) => printExpression(expression));
  return evaluated.length === 0 ? [found] : [found, `on each of them is evaluated ${evaluated.join(' && ')}`];
}
