/**
 * What the tests of a policy set have seen: which rules decided, which terms were true and false, which role links and
 * effects were used. It is measured on a copy of the matcher that notes its values, after the tests were answered, so
 * that neither a serving set nor an answer to a test knows of it.
 *
 * For each test, every rule is asked as the engine asks it (first the terms that pick candidates, then the others, up to
 * the first that does not hold), also a rule behind the one that decided: coverage does not depend on the order of rules.
 */

import type { EngineDecision, ReasonCode } from '../decision.js';
import { bindScope } from '../engine/ask.js';
import { ruleLine } from '../engine/report.js';
import type { NamedText } from '../manifest/yaml-document.js';
import { type Expression, walk } from '../matcher/ast.js';
import { compileExpression } from '../matcher/compile.js';
import { Definitions } from '../matcher/definitions.js';
import type { CompiledCondition, Environment } from '../matcher/environment.js';
import { namesOf } from '../matcher/environment.js';
import { parseExpression } from '../matcher/parser.js';
import { printExpression } from '../matcher/print.js';
import { conjunction, matchRule, type Program, programOf, type Term, type Terms } from '../matcher/program.js';
import { type Evaluator, fault, noRules, Scope } from '../matcher/scope.js';
import { conditionSource, matcherSource } from '../matcher/source-text.js';
import { MatcherSyntaxError } from '../matcher/syntax-error.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { Json } from '../request.js';
import { MatchingFunctionFailed } from '../roles/name-matching.js';
import type { Rule } from '../rules/rule-store.js';
import { at, Places } from './linted-set.js';
import type { PolicyTest } from './test-document.js';

export interface CoveredPlace {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A rule that can decide. Those that the policy effect does not read are not counted: the linter names them. */
export interface RuleCoverage extends CoveredPlace {
  readonly rule: readonly string[];
  /** Number of tests that it decided, and of tests in which it matched; where it errs, it does neither. */
  readonly decided: number;
  readonly matched: number;
}

/** A part of a matcher, of a rule's condition or of a definition that is true or false and has no such parts itself. */
export interface TermCoverage extends CoveredPlace {
  readonly term: string;
  readonly of: 'matcher' | 'condition' | 'definition';
  readonly seenTrue: boolean;
  readonly seenFalse: boolean;
  /** Whether it erred in a test. */
  readonly erred: boolean;
}

export interface LinkCoverage extends CoveredPlace {
  readonly link: readonly string[];
  /** Number of tests in which a rule matched by it, or was kept from matching by it: `!g(…)`. */
  readonly used: number;
}

/** A way in which the set can decide. */
export interface EffectCoverage {
  readonly effect: ReasonCode;
  /** Number of tests that were decided in this way. */
  readonly tests: number;
}

export interface Coverage {
  readonly rules: readonly RuleCoverage[];
  readonly terms: readonly TermCoverage[];
  readonly roleLinks: readonly LinkCoverage[];
  readonly effects: readonly EffectCoverage[];
}

export interface CoveredCount {
  readonly covered: number;
  readonly total: number;
}

/** What is covered of each kind. A term counts twice: as seen true, and as seen false. */
export function countCoverage({ rules, terms, roleLinks, effects }: Coverage): {
  readonly [kind in keyof Coverage | 'all']: CoveredCount;
} {
  const count = (seen: readonly boolean[]): CoveredCount => {
    return { covered: seen.filter((each) => each).length, total: seen.length };
  };
  const counts = {
    rules: count(rules.map(({ decided }) => decided > 0)),
    terms: count(terms.flatMap(({ seenTrue, seenFalse }) => [seenTrue, seenFalse])),
    roleLinks: count(roleLinks.map(({ used }) => used > 0)),
    effects: count(effects.map(({ tests }) => tests > 0)),
  };
  const all = Object.values(counts).reduce(
    (sum, { covered, total }) => ({ covered: sum.covered + covered, total: sum.total + total }),
    { covered: 0, total: 0 },
  );
  return { ...counts, all };
}

/** In per cent, with one digit, rounded down: only all of it is 100. Null where there is nothing to cover. */
export function percentOf({ covered, total }: CoveredCount): number | null {
  return total === 0 ? null : Math.floor((covered * 1_000) / total) / 10;
}

/** A test, and how it was decided. */
export interface AskedTest {
  readonly test: Pick<PolicyTest, 'request' | 'now'>;
  readonly decision: Pick<EngineDecision, 'reason'>;
}

/**
 * Measures what tests have covered, pausing between two of them.
 *
 * @param texts the files of the set, for columns
 */
export function* measureCoverage(
  set: CompiledPolicySet,
  asked: readonly AskedTest[],
  texts: readonly NamedText[],
): Generator<void, Coverage> {
  const { main } = set;
  // Each request is the same error: there is nothing that a test could cover.
  if (!isCombination(main)) return { rules: [], terms: [], roleLinks: [], effects: [] };
  const observed = new ObservedSet(set, main, new Places(texts));
  for (const { test, decision } of asked) {
    observed.ask(test, decision);
    yield;
  }
  return observed.coverage();
}

interface ObservedTerm {
  readonly place: CoveredPlace;
  readonly term: string;
  readonly of: TermCoverage['of'];
  seenTrue: boolean;
  seenFalse: boolean;
  erred: boolean;
}

/** What a term belongs to: text that is there once, or the condition of each rule that has it. */
type Owner = 'matcher' | 'condition' | { readonly definition: string };

/** A question about roles that was answered with yes. */
interface RoleAnswer {
  readonly call: Extract<Expression, { kind: 'call' }>;
  readonly values: readonly Json[];
}

/** As conditions in a rule may evaluate others of the same rule. */
const mostDepth = 16;

class ObservedSet {
  private readonly program: Program;
  private readonly terms: Terms;
  /** Conditions are observed for each rule by itself. */
  private readonly conditions = new Map<string, CompiledCondition>();
  private readonly owners = new Map<Expression, Owner>();
  /** Terms of matcher and definitions. */
  private readonly shared = new Map<Expression, ObservedTerm>();
  /** Terms of conditions, by rule. */
  private readonly ofRules: Map<Expression, ObservedTerm>[] = [];
  private readonly leaves = new Set<Expression>();
  private readonly negatedCalls = new Set<Expression>();
  private readonly environment: Environment;
  private readonly scope = new Scope();
  private readonly links: LinkIndex;
  private readonly decided: number[] = [];
  private readonly matched: number[] = [];
  private readonly reasons = new Map<ReasonCode, number>();
  /** Terms that are asked of rules which the plan of the set does not come to. */
  private readonly picking: readonly ObservedTerm[];
  /** Whether a link may keep such a rule from matching, which counts in each test. */
  private readonly picksByNegation: boolean;
  /** Of the rule that is asked. */
  private answers: RoleAnswer[] = [];
  /** Where the answers begin that belong to the last term of the matcher. */
  private answersOfTerm = 0;

  constructor(
    private readonly set: CompiledPolicySet,
    private readonly main: Combination,
    private readonly places: Places,
  ) {
    const { environment } = main;
    this.environment = {
      ...environment,
      report: () => {},
      conditions: { find: (text) => this.conditionOf(text) },
      definitions: this.observedDefinitions(),
      observe: (expression, run) => this.observe(expression, run),
    };
    this.links = new LinkIndex(set);
    const definition = set.model.matchers.get(set.manifest.definitions.m);
    const source = matcherSource(definition?.value ?? '', { fromModel: true });
    const expression = parseExpression(source, namesOf(this.environment));
    this.own(expression, 'matcher');
    this.register(expression, (leaf) => this.addShared(leaf));
    this.program = programOf(expression, this.environment);
    const noted = ({ run, ...term }: Term): Term => ({ ...term, run: this.noteTerm(run) });
    this.terms = { pickers: this.program.pickers.map(noted), remaining: this.program.remaining.map(noted) };
    const picking = this.termsThatPick();
    this.picking = picking.flatMap((term) => this.shared.get(term) ?? []);
    this.picksByNegation = picking.some((term) => this.hasNegatedCall(term));
    if (main.readsRules) this.addConditions();
  }

  ask({ request, now }: AskedTest['test'], { reason }: AskedTest['decision']): void {
    const { set, main, scope } = this;
    const { code, file, line } = reason;
    this.reasons.set(code, (this.reasons.get(code) ?? 0) + 1);
    const isOfRule = main.readsRules && (code === 'rule_allowed' || code === 'rule_denied');
    const deciding = isOfRule ? this.ruleAt(file ?? '', line ?? 0) : undefined;
    if (deciding !== undefined) this.decided[deciding] = (this.decided[deciding] ?? 0) + 1;
    scope.reset();
    if (bindScope(scope, set, main, request, now) !== undefined) return;
    scope.roles = main.roles;
    scope.stepsLeft = Number.MAX_SAFE_INTEGER;
    try {
      if (main.readsRules && main.rules.length > 0) this.askRules();
      else if (!main.callsEval || main.rules.length > 0) this.askOnce();
    } catch (error) {
      // The answer to the test says so: values are nested too deeply, or a function that matches role names failed.
      if (!(error instanceof RangeError || error instanceof MatchingFunctionFailed)) throw error;
    }
    this.links.endTest();
  }

  private askOnce(): void {
    this.scope.rules = noRules;
    this.begin();
    if (this.program.run(this.scope) === true) this.useLinks(this.answers);
  }

  private askRules(): void {
    const { main, scope } = this;
    // Where the terms that pick candidates were all seen true and false, asking them of others shows nothing new.
    const isSeen = !this.picksByNegation && this.picking.every(({ seenTrue, seenFalse }) => seenTrue && seenFalse);
    const found = isSeen ? main.plan.candidates(scope) : undefined;
    const [start, end] = found === undefined ? [0, main.rules.length] : [found.start, found.end];
    // The candidates lie in the state of a look-up, which the evaluation of rules leaves alone.
    for (let at = start; at < end; at++) this.askRule(found === undefined ? at : (found.rules[at] as number));
  }

  private askRule(rule: number): void {
    const { scope } = this;
    scope.rules = this.main.rules;
    scope.rule = rule;
    this.begin();
    const outcome = matchRule(this.program, this.terms, scope);
    if (outcome === 'match') {
      this.matched[rule] = (this.matched[rule] ?? 0) + 1;
      this.useLinks(this.answers.filter(({ call }) => !this.negatedCalls.has(call)));
    } else if (outcome === 'no_match') {
      this.useLinks(this.answers.slice(this.answersOfTerm).filter(({ call }) => this.negatedCalls.has(call)));
    }
  }

  private begin(): void {
    this.answers = [];
    this.answersOfTerm = 0;
  }

  private noteTerm(run: Evaluator): Evaluator {
    return (scope) => {
      this.answersOfTerm = this.answers.length;
      return run(scope);
    };
  }

  private useLinks(answers: readonly RoleAnswer[]): void {
    for (const { call, values } of answers) {
      const [name, role, domain] = values;
      const names = call.name === 'hasRole' ? (name as readonly Json[]) : [name];
      const definition = call.name === 'hasRole' ? 'g' : call.name;
      for (const each of names) {
        if (typeof each !== 'string' || typeof role !== 'string') continue;
        const inDomain = typeof domain === 'string' ? domain : undefined;
        // One name of a list is enough.
        if (this.links.use(definition, each, role, inDomain, this.scope.now)) break;
      }
    }
  }

  coverage(): Coverage {
    const { main } = this;
    const rules: RuleCoverage[] = [];
    const terms: TermCoverage[] = [];
    const tell = (found: Iterable<ObservedTerm>): void => {
      for (const { place, ...term } of found) terms.push({ ...place, ...term });
    };
    tell(this.shared.values());
    for (const rule of main.readsRules ? main.rules : []) {
      const place = this.places.ofField(rule, undefined);
      const [decided, matched] = [this.decided[rule.index] ?? 0, this.matched[rule.index] ?? 0];
      if (canDecide(main, rule)) rules.push({ ...place, rule: ruleLine(rule), decided, matched });
      tell(this.ofRules[rule.index]?.values() ?? []);
    }
    const effects = effectsOf(main).map((effect) => ({ effect, tests: this.reasons.get(effect) ?? 0 }));
    return {
      rules: rules.sort(byPlace),
      terms: terms.sort(byPlace),
      roleLinks: [...this.links.coverage(this.places)].sort(byPlace),
      effects,
    };
  }

  private ruleAt(file: string, line: number): number | undefined {
    this.byPlace ??= new Map(Array.from(this.main.rules, (rule) => [at(rule), rule.index]));
    return this.byPlace.get(`${file}:${line}`);
  }
  private byPlace: ReadonlyMap<string, number> | undefined;

  /** Definitions whose parts are the same objects wherever a name stands, so that all uses of it count together. */
  private observedDefinitions(): Environment['definitions'] {
    const { define } = this.set.manifest;
    const parsed = new Map<string, Expression | undefined>();
    // Those of the set know which name stands for nothing.
    const plain = new Definitions(define, () => namesOf(this.main.environment));
    return {
      all: define.keys(),
      faults: () => [],
      find: (name, offset) => {
        const definition = define.get(name);
        if (definition === undefined) return undefined;
        if (!('text' in definition)) return plain.find(name, offset);
        if (!parsed.has(name)) {
          const expression = parseExpression(conditionSource(definition.text), namesOf(this.environment));
          this.own(expression, { definition: name });
          parsed.set(name, expression);
        }
        return parsed.get(name);
      },
    };
  }

  /** Parts that belong to a definition keep it: they stand in a text of their own. */
  private own(expression: Expression, owner: Owner): void {
    walk(expression, (part) => {
      if (!this.owners.has(part)) this.owners.set(part, owner);
    });
  }

  /** Finds the terms of an expression, and calls about roles that keep from matching. */
  private register(expression: Expression, add: (leaf: Expression) => void): void {
    forEachTerm(expression, false, (term, isNegated) => {
      // What `eval()` runs is looked at rule by rule.
      if (term.kind === 'call' && term.name === 'eval') return;
      if (isNegated) walk(term, (part) => void (this.isRoleCall(part) && this.negatedCalls.add(part)));
      if (!readsSomething(term)) return;
      this.leaves.add(term);
      add(term);
    });
  }

  private addShared(term: Expression): void {
    const owner = this.owners.get(term);
    if (owner === undefined || owner === 'condition' || this.shared.has(term)) return;
    const { model, manifest } = this.set;
    const definition = model.matchers.get(manifest.definitions.m);
    const place =
      owner === 'matcher'
        ? { file: model.file, ...(definition?.place(this.startOf(term)) ?? { line: 1, column: 1 }) }
        : manifest.placeOf('define', owner.definition);
    this.shared.set(term, observedTerm(term, owner === 'matcher' ? 'matcher' : 'definition', place));
  }

  /** Where the text of a term begins: the place of an operator is behind its left side. */
  private startOf(term: Expression): number {
    const owner = this.owners.get(term);
    let start = term.at;
    walk(term, (part) => {
      if (this.owners.get(part) === owner) start = Math.min(start, part.at);
    });
    return start;
  }

  /** Adds the terms of all conditions, also of rules that no test comes to. */
  private addConditions(): void {
    const { rules } = this.main;
    const calls = this.evalCallsOf(this.program.expression);
    if (calls.length === 0) return;
    this.scope.reset();
    this.scope.rules = rules;
    for (const rule of rules) {
      this.scope.rule = rule.index;
      this.addConditionsOf(rule, calls, mostDepth);
    }
  }

  private addConditionsOf(rule: Rule, calls: readonly EvalCall[], depth: number): void {
    for (const { text, column } of depth > 0 ? calls : []) {
      this.scope.stepsLeft = Number.MAX_SAFE_INTEGER;
      const source = text(this.scope);
      const condition = typeof source === 'string' ? this.conditionOf(source) : undefined;
      if (condition?.run === undefined) continue;
      const place = this.places.ofField(rule, column);
      let known = this.ofRules[rule.index];
      if (known === undefined) {
        known = new Map();
        this.ofRules[rule.index] = known;
      }
      const before = known.size;
      forEachTerm(condition.expression, false, (term) => {
        if (!this.leaves.has(term) || this.owners.get(term) !== 'condition' || known.has(term)) return;
        known.set(term, observedTerm(term, 'condition', place));
      });
      // A condition that evaluates itself ends here.
      if (known.size > before) this.addConditionsOf(rule, this.evalCallsOf(condition.expression), depth - 1);
    }
  }

  private evalCallsOf(expression: Expression): readonly EvalCall[] {
    const calls: EvalCall[] = [];
    walk(expression, (part) => {
      const [text] = part.kind === 'call' && part.name === 'eval' ? part.args : [];
      if (text === undefined) return;
      const column = text.kind === 'column' ? this.main.policy.columns.get(text.name) : undefined;
      calls.push({ text: compileExpression(text, this.main.environment), column });
    });
    return calls;
  }

  private conditionOf(text: string): CompiledCondition {
    const known = this.conditions.get(text);
    if (known !== undefined) return known;
    const condition = this.main.conditions.find(text);
    const observed = condition.run === undefined ? condition : this.observedCondition(text, condition);
    this.conditions.set(text, observed);
    return observed;
  }

  private observedCondition(
    text: string,
    condition: Extract<CompiledCondition, { flaws: unknown }>,
  ): CompiledCondition {
    try {
      const expression = parseExpression(conditionSource(text), namesOf(this.environment));
      this.own(expression, 'condition');
      this.register(expression, (leaf) => this.addShared(leaf));
      return { ...condition, expression, run: compileExpression(expression, this.environment) };
    } catch (error) {
      if (!(error instanceof MatcherSyntaxError)) throw error;
      return condition;
    }
  }

  private observe(expression: Expression, run: Evaluator): Evaluator {
    const noting = this.isRoleCall(expression) ? this.notingRoles(expression, run) : run;
    if (!this.leaves.has(expression)) return noting;
    return (scope) => {
      const value = noting(scope);
      const seen = this.shared.get(expression) ?? this.ofRules[scope.rule]?.get(expression);
      if (seen === undefined) return value;
      if (value === fault) seen.erred = true;
      else if (value === true || (typeof value === 'number' && value !== 0)) seen.seenTrue = true;
      else if (value === false || value === 0) seen.seenFalse = true;
      return value;
    };
  }

  private isRoleCall(expression: Expression): expression is RoleAnswer['call'] {
    if (expression.kind !== 'call') return false;
    const { roles } = this.main.environment;
    return roles.has(expression.name) || (expression.name === 'hasRole' && roles.has('g'));
  }

  private notingRoles(call: RoleAnswer['call'], run: Evaluator): Evaluator {
    const { observe: _, ...plain } = this.environment;
    const args = call.args.map((argument) => compileExpression(argument, plain));
    return (scope) => {
      const value = run(scope);
      if (value !== true) return value;
      // They had values a moment ago.
      const values = args.map((argument) => argument(scope)).filter((each) => each !== fault);
      this.answers.push({ call, values });
      return value;
    };
  }

  /** Of the terms that pick candidates, and of those that the plan settles, each that is true or false by itself. */
  private termsThatPick(): readonly Expression[] {
    const { plan, program } = this.main;
    const whole = conjunction(program.expression);
    const settled = program.remaining.filter((term) => !plan.remaining.includes(term) && !plan.pickers.includes(term));
    const observed = conjunction(this.program.expression);
    const found: Expression[] = [];
    for (const { expression } of [...program.pickers, ...settled]) {
      const own = observed[whole.indexOf(expression)];
      if (own !== undefined) forEachTerm(own, false, (term) => void found.push(term));
    }
    return found;
  }

  private hasNegatedCall(term: Expression): boolean {
    let has = false;
    walk(term, (part) => {
      has ||= this.negatedCalls.has(part);
    });
    return has;
  }
}

interface EvalCall {
  /** What gives the text of the condition. */
  readonly text: Evaluator;
  /** The column that the text stands in; undefined if it is made of several. */
  readonly column: number | undefined;
}

function observedTerm(term: Expression, of: TermCoverage['of'], place: CoveredPlace): ObservedTerm {
  return { place, term: printExpression(term), of, seenTrue: false, seenFalse: false, erred: false };
}

/**
 * The parts of an expression that are true or false and are not made of such parts by `&&`, `||`, `!`, `?` and `:`.
 * `any`, `all` and `count` are one term with their condition.
 */
export function forEachTerm(
  expression: Expression,
  isNegated: boolean,
  visit: (term: Expression, isNegated: boolean) => void,
): void {
  const inner = (part: Expression): void => forEachTerm(part, isNegated, visit);
  switch (expression.kind) {
    case 'and':
    case 'or':
      inner(expression.left);
      inner(expression.right);
      break;
    case 'then':
      inner(expression.condition);
      inner(expression.value);
      break;
    case 'otherwise':
      inner(expression.value);
      inner(expression.fallback);
      break;
    case 'unary':
      if (expression.operator === '!') forEachTerm(expression.operand, !isNegated, visit);
      else visit(expression, isNegated);
      break;
    default:
      visit(expression, isNegated);
  }
}

/** A term without a column, an attribute or a call is the same in every test: `true`, `1 == 1`. */
export function readsSomething(term: Expression): boolean {
  let reads = false;
  walk(term, ({ kind }) => {
    reads ||= kind === 'column' || kind === 'attribute' || kind === 'call';
  });
  return reads;
}

function canDecide({ effect }: Combination, rule: Rule): boolean {
  if (effect === undefined || rule.effect === 'indeterminate') return false;
  if (effect === 'allow_override') return rule.effect === 'allow';
  return effect !== 'deny_override' || rule.effect === 'deny';
}

/** How the set can decide, as far as its rules and its policy effect say. */
function effectsOf(main: Combination): readonly ReasonCode[] {
  const { effect, rules } = main;
  if (effect === undefined) return [];
  const last = effect === 'deny_override' ? 'allowed_by_default' : 'no_matching_rule';
  if (!main.readsRules) return effect === 'deny_override' ? [last] : ['rule_allowed', last];
  const found = new Set<ReasonCode>();
  for (const rule of rules) {
    if (canDecide(main, rule)) found.add(rule.effect === 'allow' ? 'rule_allowed' : 'rule_denied');
  }
  const wanted: readonly ReasonCode[] = ['rule_allowed', 'rule_denied'];
  return [...wanted.filter((code) => found.has(code)), last];
}

function byPlace(a: CoveredPlace, b: CoveredPlace): number {
  return a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1;
}

/** The links of the role definitions, by the names that they join. */
class LinkIndex {
  private readonly used = new Map<Rule, number>();
  private readonly byNames = new Map<string, Rule[]>();
  private readonly links = new Map<string, readonly Rule[]>();
  /** Of the test that is asked: each counts once. */
  private readonly ofTest = new Set<Rule>();
  private readonly asked = new Map<string, boolean>();

  constructor(private readonly set: CompiledPolicySet) {
    for (const [key, store] of set.table.groupings) {
      const links = [...store];
      this.links.set(key, links);
      for (const link of links) {
        const names = namesKey(key, link.fields[0] ?? '', link.fields[1] ?? '');
        const same = this.byNames.get(names);
        if (same === undefined) this.byNames.set(names, [link]);
        else same.push(link);
      }
    }
  }

  /** Notes the links of a shortest path from the name to the role; false if there is none. */
  use(key: string, name: string, role: string, domain: string | undefined, now: number): boolean {
    const question = JSON.stringify([key, name, role, domain]);
    let found = this.asked.get(question);
    if (found === undefined) {
      const graph = this.set.roles.get(key);
      const path = graph?.pathTo(name, role, domain, now);
      found = path !== undefined;
      for (const [index, to] of (path ?? []).entries()) {
        if (index > 0) this.note(key, path?.[index - 1] ?? '', to, domain);
      }
      this.asked.set(question, found);
    }
    return found;
  }

  private note(key: string, from: string, to: string, domain: string | undefined): void {
    const graph = this.set.roles.get(key);
    const domains = new Set(graph?.domainsOf(domain ?? ''));
    const hasDomain = this.set.model.roles.get(key)?.hasDomain === true;
    const counts = (link: Rule): boolean => !hasDomain || domains.has(link.fields[2] ?? '');
    const exact = this.byNames.get(namesKey(key, from, to))?.filter(counts) ?? [];
    const stands = (stored: string | undefined, name: string): boolean => graph?.standsFor(stored ?? '', name) === true;
    const found =
      exact.length > 0 || graph?.matchesNames !== true
        ? exact
        : (this.links.get(key) ?? []).filter(
            (link) => counts(link) && stands(link.fields[0], from) && stands(link.fields[1], to),
          );
    for (const link of found) this.ofTest.add(link);
  }

  endTest(): void {
    for (const link of this.ofTest) this.used.set(link, (this.used.get(link) ?? 0) + 1);
    this.ofTest.clear();
    this.asked.clear();
  }

  *coverage(places: Places): Generator<LinkCoverage> {
    for (const links of this.links.values()) {
      for (const link of links) {
        yield { ...places.ofField(link, undefined), link: ruleLine(link), used: this.used.get(link) ?? 0 };
      }
    }
  }
}

function namesKey(key: string, child: string, parent: string): string {
  return `${key}\0${child}\0${parent}`;
}
