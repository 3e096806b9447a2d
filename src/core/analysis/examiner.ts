/**
 * Answers a question of a universe for all requests that it stands for: with the names of the question and with any
 * attributes. What is known is put into the matcher; what is left is the condition.
 *
 * It says what the engine does, errors included: a rule that allows must hold; a rule that denies must be false, since
 * one that errs counts as matching (P2).
 */
import { isAllowed } from '../engine/ask.js';
import type { BindingPath, BindingTemplate } from '../manifest/binding-text.js';
import type { Expression } from '../matcher/ast.js';
import { walk } from '../matcher/ast.js';
import { compileExpression } from '../matcher/compile.js';
import { EntityAttributes, namesAllAttributes } from '../matcher/entity-attributes.js';
import { languageFunctions } from '../matcher/environment.js';
import { printExpression } from '../matcher/print.js';
import { conjunction, picksCandidates } from '../matcher/program.js';
import { type Evaluator, fault, noRules, type Outcome, Scope } from '../matcher/scope.js';
import { isObject, ownMember } from '../matcher/values.js';
import {
  BindingError,
  type BoundRequest,
  bindRequest,
  type TokenBinding,
  tokenSource,
  tokenValue,
} from '../policy/binding.js';
import { changeOfToken, pointerOf } from '../policy/binding-change.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { expressionsOf } from '../policy/expressions.js';
import { quote } from '../quote.js';
import type { DecisionRequest, Entity, Json, JsonObject } from '../request.js';
import { MatchingFunctionFailed } from '../roles/name-matching.js';
import { defaultStepBudget, StepBudgetExceeded } from '../step-budget.js';
import { finish } from '../steps.js';
import {
  asksForAttributes,
  keyOfToken,
  memberOfToken,
  type NameGroup,
  type NameGroups,
  patternId,
} from './name-group.js';
import { type Gap, type Shape, shapesOf } from './regions/pattern-shape.js';
import { matchesAll } from './regions/regions.js';
import { allOf, always, anyOf, never, type Residual, termOf } from './residual.js';
import { standsForOthers, type Universe, type Witnesses } from './universe.js';

/** One question: who, what, on what, and under which attributes of the request. */
export interface Permission {
  readonly subject: Entity;
  readonly action: string;
  readonly resource: Entity;
  /** The request's own attributes under which it holds. */
  readonly context: JsonObject;
}

export function requestOfPermission({ subject, action, resource, context }: Permission): DecisionRequest {
  const attributes = Object.keys(context).length === 0 ? {} : { attributes: context };
  return { subject, action: { name: action }, resource, ...attributes };
}

/** Most conditions within conditions that are followed. */
const maxEvalDepth = 16;

/** Most steps of one question, some tenths of a second: more than the engine takes, which asks for one request. */
const maxSteps = 5 * defaultStepBudget;
const stepsPerRule = 100;
/** The limit of a question that was not answered: two of them are not known to be the same. */
export const tooDear = 'a question takes more steps than one may';

/** When an expression is true and when it is false; where it is neither, it errs. */
interface Truth {
  readonly holds: Residual;
  readonly fails: Residual;
}

const isTrue: Truth = { holds: always, fails: never };
const isFalse: Truth = { holds: never, fails: always };
const errs: Truth = { holds: never, fails: never };

/** What of a request an expression reads. */
type Read = Extract<Expression, { kind: 'column' | 'attribute' }>;

export class Examiner {
  private readonly scope = new Scope();
  private readonly reads = new WeakMap<Expression, readonly Read[]>();
  private readonly compiled = new WeakMap<Expression, Evaluator>();
  private readonly main: Combination | undefined;
  private readonly asksMore: boolean;
  /** Attributes of the request that tokens have as values. */
  private readonly ownAttributes: readonly string[];
  private readonly looseColumns: readonly number[];
  private readonly groups: readonly (NameGroup | undefined)[];
  /** The first rule that allows, perhaps under a condition, of the last question; undefined if no rule does. */
  allowing: number | undefined;
  /** Whether a rule of the question at hand may have a result that is an error of the request. */
  private isUnsure = false;
  /** Of the question at hand. */
  private unknown: ReadonlySet<number> = new Set();
  private witnessed: ReadonlySet<string> = new Set();

  constructor(
    private readonly set: CompiledPolicySet,
    private readonly universe: Pick<Universe, 'groups' | 'witnesses' | 'listed'>,
    private readonly now: number,
    /** Tells what a set has under a name, `g` or `schema`, from what the other one has that it is compared with. */
    private readonly edition: (name: string) => string = () => '',
  ) {
    this.main = isCombination(set.main) ? set.main : undefined;
    const tokens = this.main?.tokens ?? [];
    this.groups = tokens.map((token) => groupOf(token, universe.groups));
    this.looseColumns = [...this.groups.keys()].filter((column) => this.isLoose(this.groups[column]));
    const checksSchema = set.schema.parts.size > 0 && ['deny', 'reject'].includes(set.manifest.schemaRequests);
    this.asksMore = this.main !== undefined && (checksSchema || asksForAttributes(this.main));
    this.ownAttributes = this.groups.flatMap((group) =>
      (group?.members ?? []).flatMap((member) =>
        member.startsWith('attributes.') ? [member.slice('attributes.'.length)] : [],
      ),
    );
  }

  /** The columns of which a context does not give the value. */
  openColumns(context: JsonObject): ReadonlySet<number> {
    const open = new Set<number>();
    for (const [column, token] of (this.main?.tokens ?? []).entries()) {
      if (!token.readAsValue) continue;
      const members = this.groups[column]?.members;
      const isGiven = members?.every(
        (member) =>
          !member.startsWith('attributes.') || ownMember(context, member.slice('attributes.'.length)) !== undefined,
      );
      if (isGiven !== true) open.add(column);
    }
    return open;
  }

  /** Columns whose witnesses do not stand for all names, as far as look-ups tell. */
  private isLoose(group: NameGroup | undefined): boolean {
    if (group === undefined) return false;
    const { roles } = this.set;
    if (group.hasUnlisted) return true;
    const byName = [...group.columns].some(
      (column) => roles.get(column.split('.')[0] as string)?.matchesNames === true,
    );
    return byName || group.cut.size < group.patterns.size;
  }

  /** Whether names that are witnesses are decided by all that look-ups find. */
  get isExact(): boolean {
    return this.looseColumns.length === 0 && !this.comparesNames;
  }

  /** Whether the matcher compares one name of the request with another, or takes one for a pattern or a role. */
  private get comparesNames(): boolean {
    const { main } = this;
    if (main === undefined) return false;
    this.compares ??= [...expressionsOf(main)].some((expression) =>
      comparesTokens(expression, main, (call) => this.asksForRole(call)),
    );
    return this.compares;
  }

  /** Whether a call asks whether a name of the request has a role, in a domain of the request if there are domains. */
  private asksForRole({ name, args }: Extract<Expression, { kind: 'call' }>): boolean {
    const [first, second, third] = args.map((argument) => this.readsOf(argument).length > 0);
    const domain = args[2];
    if (!this.set.roles.has(name) || first !== true || second !== false) return false;
    if (third !== true || domain === undefined) return true;
    return domain.kind === 'column' && this.groupOfRead(domain)?.columns.has(`${name}.2`) === true;
  }

  private compares: boolean | undefined;

  examine(question: Permission): Residual {
    const { main } = this;
    this.allowing = undefined;
    if (main === undefined) return never;
    const request = requestOfPermission(question);
    this.witnessed = witnessedMembers(question, this.universe.witnesses);
    const isSettled = !this.asksMore && this.ownAttributes.every((name) => Object.hasOwn(question.context, name));
    if (isSettled && this.witnessed.size === 0) return isAllowed(this.set, request, this.now) ? always : never;
    try {
      return this.ask(main, request);
    } catch (error) {
      if (error instanceof StepBudgetExceeded) return tooManySteps();
      // Roles are unknown, or values are nested too deeply: the engine denies.
      if (error instanceof MatchingFunctionFailed || error instanceof RangeError) return never;
      throw error;
    }
  }

  private ask(main: Combination, request: DecisionRequest): Residual {
    const { set, scope } = this;
    const bound = bindRequest(request, set.entities, set.manifest.precedence);
    if (bound instanceof BindingError) return never;
    const admitted = set.admission?.(bound);
    const isRefused = admitted instanceof BindingError;
    if (isRefused && admitted.code !== 'schema_violation') return never;
    const values: (Json | undefined)[] = [];
    const unknown = new Set<number>();
    const mayBeSent = set.manifest.precedence === 'request';
    for (const [column, token] of main.tokens.entries()) {
      const value = tokenValue(token, bound);
      const isMissing = value === undefined || (value instanceof BindingError && value.code === 'missing_binding');
      if (token.readAsValue && isUnknown(token, bound, isMissing, mayBeSent)) unknown.add(column);
      else if (value instanceof BindingError && token.readAsValue) return never;
      values.push(value instanceof BindingError ? undefined : value);
    }
    scope.reset();
    scope.values = values;
    scope.sources = main.tokens.map((token) => tokenSource(token, bound));
    scope.now = this.now;
    scope.roles = main.roles;
    scope.stepsLeft = maxSteps;
    this.unknown = unknown;
    const decided = this.decide(main);
    // A request with other attributes may fit the schema.
    return isRefused ? allOf([decided, this.fitsSchema()]) : decided;
  }

  private decide(main: Combination): Residual {
    const { scope } = this;
    const { effect, program, rules } = main;
    if (effect === undefined) return never;
    if (!main.readsRules || rules.length === 0) {
      if (main.callsEval && rules.length === 0) return never;
      scope.rules = noRules;
      if (this.isKnown(program.expression, 0)) {
        const result = this.valueOf(program.expression);
        return typeof result === 'boolean' && (result || effect === 'deny_override') ? always : never;
      }
      const { holds, fails } = this.truthOf(program.expression, 0);
      return effect === 'deny_override' ? anyOf([holds, fails]) : holds;
    }
    scope.rules = rules;
    this.isUnsure = false;
    const decided = this.combine(main, this.candidates(main));
    return this.isUnsure ? allOf([decided, unsureResult()]) : decided;
  }

  /** The rules that some request of the question can match, in their order; undefined for all. */
  private candidates({ plan }: Combination): Iterable<number> | undefined {
    const { scope, unknown } = this;
    const loose = new Set(this.witnessed.size === 0 ? unknown : [...unknown, ...this.looseColumns]);
    const found = loose.size === 0 ? plan.candidates(scope) : finish(plan.reachedOfPart(scope, loose, unknown));
    return found === undefined ? undefined : found.rules.subarray(found.start, found.end);
  }

  private combine(main: Combination, candidates: Iterable<number> | undefined): Residual {
    const { rules, effect } = main;
    const allows: Residual[] = [];
    const isFirstMatch = effect === 'priority' || effect === 'subject_priority';
    /** Of first-match effects: what comes before the rest of the rules, the last of it first. */
    const chain: { readonly kind: 'allow' | 'deny'; readonly of: Residual }[] = [];
    const passes: Residual[] = [];
    for (const rule of candidates ?? indexes(rules.length)) {
      const ruleEffect = rules.effect(rule);
      if (ruleEffect === 'indeterminate' && !this.isLone(main)) continue;
      this.scope.rule = rule;
      this.scope.spend(stepsPerRule);
      if (this.hasWrongResult(main)) {
        // An error of the request, not of the rule: what was not decided before is denied.
        if (effect === 'allow_override') return anyOf(allows);
        if (!isFirstMatch) return never;
        chain.push({ kind: 'deny', of: never });
        break;
      }
      this.isUnsure ||= this.isLone(main) && !this.isTruthful(main.program.expression, 0);
      const { holds, fails } = this.truthOfRule(main);
      if (ruleEffect === 'allow') {
        if (holds.kind === 'never') continue;
        this.allowing ??= rule;
        if (isFirstMatch) chain.push({ kind: 'allow', of: holds });
        else allows.push(holds);
        if (holds.kind === 'always' && (isFirstMatch || effect === 'allow_override')) break;
      } else if (ruleEffect === 'deny' && effect !== 'allow_override') {
        if (fails.kind === 'always') continue;
        if (isFirstMatch) chain.push({ kind: 'deny', of: fails });
        else passes.push(fails);
        if (fails.kind === 'never') break;
      }
    }
    switch (effect) {
      case 'deny_override':
        return allOf(passes);
      case 'allow_override':
        return anyOf(allows);
      case 'allow_and_deny':
        return allOf([anyOf(allows), ...passes]);
      default: {
        let decided: Residual = never;
        for (const { kind, of } of chain.reverse()) {
          decided = kind === 'allow' ? anyOf([of, decided]) : allOf([of, decided]);
        }
        return decided;
      }
    }
  }

  private truthOfRule(main: Combination): Truth {
    const { expression } = main.program;
    const whole = this.truthOf(expression, 0);
    if (whole.fails.kind === 'always') return whole;
    // Terms that pick candidates are asked first: one that is false keeps the others from failing.
    const pickers = conjunction(expression).filter((term) => picksCandidates(term, main.environment));
    const fails = anyOf([whole.fails, ...pickers.map((term) => this.truthOf(term, 0).fails)]);
    return { holds: whole.holds, fails };
  }

  /** Whether the matcher as a whole is known to be neither true nor false nor a number. */
  private hasWrongResult(main: Combination): boolean {
    const { expression } = main.program;
    if (!this.isLone(main) || mayBeTruth(expression) || !this.isKnown(expression, 0)) return false;
    const result = this.valueOf(expression);
    return result !== fault && typeof result !== 'boolean' && typeof result !== 'number';
  }

  /** Whether an expression can be nothing but true, false or an error; what is known was looked at. */
  private isTruthful(expression: Expression, depth: number): boolean {
    const condition = this.conditionOf(expression, depth);
    if (condition !== undefined) return this.isTruthful(condition, depth + 1);
    if (mayBeTruth(expression) || this.isKnown(expression, depth)) return true;
    const { main } = this;
    if (main === undefined || expression.kind !== 'call') return false;
    const { roles, customFunctions, functions } = main.environment;
    if (customFunctions.has(expression.name)) return false;
    const isOfLanguage = roles.has(expression.name) || languageFunctions.has(expression.name);
    return isOfLanguage || functions.get(expression.name)?.returns === 'boolean';
  }

  private isLone({ program }: Combination): boolean {
    return program.pickers.length + program.remaining.length === 1;
  }

  private truthOf(expression: Expression, depth: number): Truth {
    switch (expression.kind) {
      case 'and': {
        const left = this.truthOf(expression.left, depth);
        if (left.holds.kind === 'never') return { holds: never, fails: left.fails };
        const right = this.truthOf(expression.right, depth);
        if (left.holds.kind === 'always') return right;
        const holds = allOf([left.holds, right.holds]);
        if (right.fails.kind === 'never') return { holds, fails: left.fails };
        if (this.isTotal(expression.left, depth)) return { holds, fails: anyOf([left.fails, right.fails]) };
        return { holds, fails: this.term(expression, false, depth) };
      }
      case 'or': {
        const left = this.truthOf(expression.left, depth);
        if (left.fails.kind === 'never') return { holds: left.holds, fails: never };
        const right = this.truthOf(expression.right, depth);
        if (left.fails.kind === 'always') return right;
        const fails = allOf([left.fails, right.fails]);
        if (right.holds.kind === 'never') return { holds: left.holds, fails };
        if (this.isTotal(expression.left, depth)) return { holds: anyOf([left.holds, right.holds]), fails };
        return { holds: this.term(expression, true, depth), fails };
      }
      case 'unary':
        if (expression.operator === '!') {
          const { holds, fails } = this.truthOf(expression.operand, depth);
          return { holds: fails, fails: holds };
        }
        return this.truthOfLeaf(expression, depth);
      case 'call': {
        const condition = this.conditionOf(expression, depth);
        return condition === undefined ? this.truthOfLeaf(expression, depth) : this.truthOf(condition, depth + 1);
      }
      default:
        return this.truthOfLeaf(expression, depth);
    }
  }

  private truthOfLeaf(expression: Expression, depth: number): Truth {
    if (this.isKnown(expression, depth)) return truthOfValue(this.valueOf(expression), this.isWhole(expression));
    return { holds: this.term(expression, true, depth), fails: this.term(expression, false, depth) };
  }

  /** Whether it is all that the matcher says, by itself or as the condition that the matcher runs and nothing else. */
  private isWhole(expression: Expression): boolean {
    let whole = this.main?.program.expression;
    for (let depth = 0; whole !== undefined && whole !== expression; depth++) whole = this.conditionOf(whole, depth);
    return whole !== undefined;
  }

  /** The condition that `eval(…)` runs, if it does. */
  private conditionOf(expression: Expression, depth: number): Expression | undefined {
    const { main } = this;
    if (main === undefined || expression.kind !== 'call' || expression.name !== 'eval') return undefined;
    const [text] = expression.args;
    if (!main.environment.hasEval || text === undefined || depth >= maxEvalDepth) return undefined;
    if (this.readsOf(text).length > 0) return undefined;
    const source = this.valueOf(text);
    const condition = typeof source === 'string' ? main.conditions.find(source) : undefined;
    return condition?.run === undefined ? undefined : condition.expression;
  }

  /** Whether all requests of the question give an expression the same value. */
  private isKnown(expression: Expression, depth: number): boolean {
    const condition = this.conditionOf(expression, depth);
    if (condition !== undefined) return this.isKnown(condition, depth + 1);
    if (this.isAskedOfNames(expression)) return true;
    if (expression.kind === 'call' && this.mustFail(expression, depth)) return true;
    if (expression.kind === 'call' && expression.name === 'has')
      return expression.args[0]?.kind !== 'item' && this.readsOf(expression).every((read) => !this.isOpen(read));
    switch (expression.kind) {
      case 'literal':
        return true;
      case 'column':
      case 'attribute':
        return !this.isOpen(expression) && !this.isWitness(expression);
      case 'unary':
        return this.isKnown(expression.operand, depth);
      case 'binary':
      case 'in':
      case 'and':
      case 'or':
        return this.isKnown(expression.left, depth) && this.isKnown(expression.right, depth);
      case 'then':
        return this.isKnown(expression.condition, depth) && this.isKnown(expression.value, depth);
      case 'otherwise':
        return this.isKnown(expression.value, depth) && this.isKnown(expression.fallback, depth);
      case 'list':
        return expression.items.every((item) => this.isKnown(item, depth));
      case 'call':
        return expression.args.every((argument) => this.isKnown(argument, depth));
      case 'quantified':
        return this.isKnown(expression.list, depth) && this.isKnownOfItems(expression.condition);
      case 'item':
        return false;
      default:
        return expression satisfies never;
    }
  }

  /** Whether an argument is known, and no text where a text is wanted: the call is an error whatever the others are. */
  private mustFail({ name, args }: Extract<Expression, { kind: 'call' }>, depth: number): boolean {
    const { roles, functions, customFunctions } = (this.main as Combination).environment;
    const isOfRoles = roles.has(name);
    const parameters = isOfRoles || customFunctions.has(name) ? undefined : functions.get(name)?.parameters;
    if (!isOfRoles && parameters === undefined) return false;
    return args.some((argument, at) => {
      if (!isOfRoles && parameters?.[at]?.type !== 'string') return false;
      return this.isKnown(argument, depth) && typeof this.valueOf(argument) !== 'string';
    });
  }

  /** Whether the condition of `any`, `all` or `count` reads nothing but the item that requests could differ in. */
  private isKnownOfItems(condition: Expression): boolean {
    let runsConditions = false;
    walk(condition, (part) => {
      runsConditions ||= part.kind === 'call' && part.name === 'eval';
    });
    return !runsConditions && this.readsOf(condition).every((read) => !this.isOpen(read) && !this.isWitness(read));
  }

  /** A comparison with a witness that comes out the same for all names that it stands for. */
  private isAskedOfNames(expression: Expression): boolean {
    if (this.witnessed.size === 0) return false;
    switch (expression.kind) {
      case 'binary': {
        const { operator, left, right } = expression;
        if (operator === '=~' || operator === '!~') return this.isCut(left, right, 'regexMatch');
        if (operator !== '==' && operator !== '!=') return false;
        return this.isListed(left, right) || this.isListed(right, left);
      }
      case 'in':
        return this.isListed(expression.left, expression.right);
      case 'call':
        return this.isAskedInCall(expression);
      default:
        return false;
    }
  }

  /** Whether a name is compared with values, all of which the universe lists as names. */
  private isListed(name: Expression, given: Expression): boolean {
    const group = this.witnessGroup(name);
    if (group === undefined || !this.isKnown(given, 0)) return false;
    const value = this.valueOf(given);
    const values = Array.isArray(value) ? value.flat(1) : [value];
    return values.every((each) => typeof each !== 'string' || group.texts.has(each));
  }

  private isCut(name: Expression | undefined, pattern: Expression | undefined, by: string): boolean {
    const group = name && this.witnessGroup(name);
    if (group === undefined || pattern === undefined || !this.isKnown(pattern, 0)) return false;
    const text = this.valueOf(pattern);
    if (typeof text !== 'string') return false;
    return group.cut.has(patternId(by, text)) || this.isSettledByTemplate(group, name, by, text);
  }

  /** Whether a pattern matches all that a template can make of a witness, or nothing of it. */
  private isSettledByTemplate(group: NameGroup, name: Expression | undefined, by: string, text: string): boolean {
    const line = group.template?.line;
    if (line?.kind !== 'template' || name?.kind !== 'column') return false;
    const pattern = shapesOf(by, text);
    if (pattern === undefined) return false;
    const { shape, except } = this.shapeOfTemplate(line, name);
    const key = JSON.stringify([shape, except, by, text]);
    let settled = this.settled.get(key);
    if (settled === undefined) {
      settled = matchesAll(shape, pattern, except) !== undefined;
      this.settled.set(key, settled);
    }
    return settled;
  }
  private readonly settled = new Map<string, boolean>();

  /** What a template can make: its parts that are witnesses stand for any text but those that are listed. */
  private shapeOfTemplate(
    line: BindingTemplate,
    { name }: Read,
  ): { readonly shape: Shape; readonly except: readonly Shape[] } {
    const column = this.main?.request.columns.get(name) as number;
    const token = this.main?.tokens[column] as TokenBinding;
    const known = new Map(
      changeOfToken(token, this.scope.values[column] ?? null)?.map(({ path, to }) => [path, String(to)]),
    );
    const partAt = (at: number, given?: string): string | Gap => {
      const part = line.parts[at] as BindingTemplate['parts'][number];
      if (typeof part === 'string') return part;
      if (given !== undefined) return given;
      if (!this.witnessed.has(memberOfPath(part))) return known.get(pointerOf(part)) ?? '';
      const behind = line.parts[at + 1];
      const isCut = line.takes !== 'anything' && at < line.last && typeof behind === 'string' && behind.length === 1;
      return { except: isCut ? behind : '', takes: 'many' };
    };
    const places = [...line.parts.keys()];
    const except = places.flatMap((at) => {
      const part = line.parts[at];
      if (part === undefined || typeof part === 'string' || !this.witnessed.has(memberOfPath(part))) return [];
      const listed = this.universe.listed.get(memberOfPath(part)) ?? [];
      return [...listed]
        .slice(0, maxExcepted)
        .map((given) => places.map((place) => partAt(place, place === at ? given : undefined)));
    });
    return { shape: places.map((place) => partAt(place)), except };
  }

  /** Whether an expression is true or false, whatever the request: it cannot err. */
  private isTotal(expression: Expression, depth: number): boolean {
    if (this.isKnown(expression, depth)) return typeof this.valueOf(expression) === 'boolean';
    switch (expression.kind) {
      case 'and':
      case 'or':
        return this.isTotal(expression.left, depth) && this.isTotal(expression.right, depth);
      case 'unary':
        return expression.operator === '!' && this.isTotal(expression.operand, depth);
      case 'binary':
        return (expression.operator === '==' || expression.operator === '!=') && this.isGiven(expression);
      case 'call': {
        const condition = this.conditionOf(expression, depth);
        if (condition !== undefined) return this.isTotal(condition, depth + 1);
        if (expression.name === 'has') return true;
        const [first, second] = expression.args;
        const prepares = this.main?.environment.functions.get(expression.name)?.prepare !== undefined;
        if (
          !prepares ||
          !totalFunctions.has(expression.name) ||
          this.main?.environment.customFunctions.has(expression.name) === true
        )
          return false;
        if (first?.kind !== 'column' || second === undefined || expression.args.length !== 2) return false;
        if (typeof this.scope.values[this.main?.request.columns.get(first.name) ?? -1] !== 'string') return false;
        return this.isGiven(expression) && this.isPreparable(expression.name, second);
      }
      default:
        return false;
    }
  }

  private isPreparable(name: string, pattern: Expression): boolean {
    const { main } = this;
    const text = this.isKnown(pattern, 0) ? this.valueOf(pattern) : undefined;
    const definition = main?.environment.functions.get(name);
    if (main === undefined || definition === undefined || typeof text !== 'string') return false;
    return main.environment.patterns.find(definition, text).matches !== undefined;
  }

  /** Whether every request of the question has all that an expression reads: no attribute can be missing. */
  private isGiven(expression: Expression): boolean {
    const reads = this.readsOf(expression);
    let calls = false;
    walk(expression, (part) => {
      calls ||= part !== expression && part.kind !== 'column' && part.kind !== 'literal' && part.kind !== 'attribute';
    });
    const { policy } = this.main as Combination;
    let isOfRules = false;
    walk(expression, (part) => {
      isOfRules ||= part.kind === 'attribute' && policy.columns.has(part.name);
    });
    return (
      !calls &&
      !isOfRules &&
      reads.every((read) => !this.isOpen(read) && (read.kind === 'column' || this.isWitness(read)))
    );
  }

  private isAskedInCall({ name, args }: Extract<Expression, { kind: 'call' }>): boolean {
    const { main, set } = this;
    if (main === undefined || main.environment.customFunctions.has(name)) return false;
    const [first, second, third] = args;
    const graph = set.roles.get(name);
    if (graph === undefined) return args.length === 2 && this.isCut(first, second, name);
    if (first === undefined || second === undefined || graph.matchesNames) return false;
    const isMember = (): boolean => {
      const group = this.witnessGroup(first);
      if (group === undefined) return this.isKnown(first, 0);
      return group.columns.has(`${name}.0`) && this.isListed(first, second);
    };
    if (!this.isKnown(second, 0) || !isMember()) return false;
    if (third === undefined) return true;
    const domains = this.witnessGroup(third);
    if (domains === undefined) return this.isKnown(third, 0);
    return domains.columns.has(`${name}.2`) && domains.cut.size === domains.patterns.size;
  }

  /** The group of a name, if the one of the question is a witness. */
  private witnessGroup(expression: Expression): NameGroup | undefined {
    if (expression.kind !== 'column' && expression.kind !== 'attribute') return undefined;
    return this.isWitness(expression) ? this.groupOfRead(expression) : undefined;
  }

  private groupOfRead(read: Read): NameGroup | undefined {
    const { main } = this;
    const column = main?.request.columns.get(read.name);
    const token = column === undefined ? undefined : main?.tokens[column];
    if (column === undefined || token === undefined) return undefined;
    if (read.kind === 'column') return this.groups[column];
    const member = read.path.length === 1 ? memberOfToken(token, read.path[0]) : undefined;
    return member === undefined ? undefined : this.universe.groups.get(member);
  }

  /** Whether a name is made of members that are witnesses, and the universe does not list it. */
  private isWitness(read: Read): boolean {
    const { witnessed, scope, main } = this;
    if (witnessed.size === 0) return false;
    const column = main?.request.columns.get(read.name);
    const token = column === undefined ? undefined : main?.tokens[column];
    if (column === undefined || token === undefined) return false;
    if (read.kind === 'attribute') {
      const member = memberOfToken(token, read.path[0]);
      return member !== undefined && witnessed.has(member);
    }
    if (this.unknown.has(column)) return false;
    const group = this.groups[column];
    if (group === undefined) return membersOfToken(token).some((member) => witnessed.has(member));
    if (!group.members.some((member) => witnessed.has(member))) return false;
    const text = scope.values[column];
    return !(group.template !== undefined && typeof text === 'string' && group.texts.has(text));
  }

  /** Whether requests of the question may differ in it. */
  private isOpen(read: Read): boolean {
    const { scope, main, unknown } = this;
    const column = main?.request.columns.get(read.name);
    const token = column === undefined ? undefined : main?.tokens[column];
    if (column === undefined || token === undefined) return false;
    if (read.kind === 'column') return unknown.has(column);
    const source = scope.sources[column];
    if (source instanceof EntityAttributes) {
      const at = namesAllAttributes(read.path[0]) ? 1 : 0;
      const name = read.path[at];
      if (name === undefined) return true;
      if (at === 0 && memberOfToken(token, name) !== undefined) return false;
      // A request may bring other attributes than those that are stored.
      return this.set.manifest.precedence === 'request' || source.get(name) === undefined;
    }
    if (token.role === 'environment' || token.role === 'token')
      return !isObject(source) || ownMember(source, read.path[0] ?? '') === undefined;
    return source === undefined;
  }

  private readsOf(expression: Expression): readonly Read[] {
    let reads = this.reads.get(expression);
    if (reads === undefined) {
      const found: Read[] = [];
      walk(expression, (part) => {
        if (part.kind !== 'column' && part.kind !== 'attribute') return;
        if (this.main?.request.columns.has(part.name)) found.push(part);
      });
      reads = found;
      this.reads.set(expression, reads);
    }
    return reads;
  }

  private valueOf(expression: Expression): Outcome {
    const { main, scope } = this;
    if (main === undefined) return fault;
    let run = this.compiled.get(expression);
    if (run === undefined) {
      run = compileExpression(expression, { ...main.environment, report: () => {} });
      this.compiled.set(expression, run);
    }
    return run(scope);
  }

  private term(expression: Expression, holds: boolean, depth: number): Residual {
    const folded = this.fold(expression, depth);
    if (folded.kind === 'literal') return folded.value === holds ? always : never;
    return termOf(folded, holds, this.dataOf(folded), this.limitOf(expression, depth));
  }

  /** The expression with what is known put in. */
  private fold(expression: Expression, depth: number): Expression {
    const condition = this.conditionOf(expression, depth);
    if (condition !== undefined) return this.fold(condition, depth + 1);
    if (this.isKnown(expression, depth)) {
      const value = this.valueOf(expression);
      return value === fault ? failing(expression) : { kind: 'literal', value, at: expression.at };
    }
    const inner = (part: Expression): Expression => this.fold(part, depth);
    switch (expression.kind) {
      case 'literal':
      case 'column':
      case 'attribute':
        return expression;
      case 'unary':
        return { ...expression, operand: inner(expression.operand) };
      case 'and':
      case 'or': {
        const [left, right] = [inner(expression.left), inner(expression.right)];
        const neutral = expression.kind === 'and';
        if (left.kind === 'literal' && typeof left.value === 'boolean') return left.value === neutral ? right : left;
        if (right.kind === 'literal' && right.value === neutral) return left;
        return { ...expression, left, right };
      }
      case 'binary':
      case 'in':
        return { ...expression, left: inner(expression.left), right: inner(expression.right) };
      case 'then':
        return { ...expression, condition: inner(expression.condition), value: inner(expression.value) };
      case 'otherwise':
        return { ...expression, value: inner(expression.value), fallback: inner(expression.fallback) };
      case 'list':
        return { ...expression, items: expression.items.map(inner) };
      case 'call':
        return expression.name === 'has' ? expression : { ...expression, args: expression.args.map(inner) };
      case 'quantified':
        return { ...expression, list: inner(expression.list), condition: inner(expression.condition) };
      case 'item':
        return expression;
      default:
        return expression satisfies never;
    }
  }

  private fitsSchema(): Residual {
    const expression: Expression = { kind: 'call', name: 'fitsSchema', args: [], at: 0 };
    return termOf(expression, true, `\0${this.edition('schema')}`, undefined);
  }

  /** What a term means beside its text: the links of the role definitions that it asks. */
  private dataOf(folded: Expression): string {
    const relations = new Set<string>();
    walk(folded, (part) => {
      if (part.kind !== 'call') return;
      if (this.set.roles.has(part.name)) relations.add(part.name);
      if (part.name === 'hasRole' && this.set.roles.has('g')) relations.add('g');
    });
    return [...relations]
      .sort()
      .map((name) => `\0${name}:${this.edition(name)}`)
      .join('');
  }

  /** Says which names were not listed, if the term asks a function about a witness. */
  private limitOf(expression: Expression, depth: number): string | undefined {
    if (this.witnessed.size === 0) return undefined;
    let limit: string | undefined;
    const look = (part: Expression, level: number): void =>
      walk(part, (at) => {
        if (limit !== undefined) return;
        const condition = this.conditionOf(at, level);
        if (condition !== undefined) return look(condition, level + 1);
        const isRegular = at.kind === 'binary' && (at.operator === '=~' || at.operator === '!~');
        const roles = at.kind === 'call' ? this.set.roles.get(at.name) : undefined;
        if (
          !isRegular &&
          at.kind !== 'quantified' &&
          (at.kind !== 'call' || at.name === 'has' || roles?.matchesNames === false)
        )
          return;
        if (this.isKnown(at, level) || !this.readsOf(at).some((read) => this.isWitness(read))) return;
        limit = `${printExpression(this.fold(at, level))} was not enumerated (${this.placeOf(at)})`;
      });
    look(expression, depth);
    return limit;
  }

  /** Where the pattern of a call stands: the rule, if a column of it is read, else the matcher. */
  private placeOf(call: Expression): string {
    const { main, scope } = this;
    let column: string | undefined;
    walk(call, (part) => {
      if (part.kind === 'column' && main?.policy.columns.has(part.name))
        column ??= main.policy.tokens[main.policy.columns.get(part.name) as number];
    });
    if (main === undefined || scope.rules !== main.rules) return 'the matcher';
    const { file, line } = main.rules.at(scope.rule);
    return column === undefined ? `the matcher, for ${file}:${line}` : `${quote(column)} at ${file}:${line}`;
  }
}

/** Functions that match every text against a pattern that is prepared. */
const totalFunctions: ReadonlySet<string> = new Set(['keyMatch', 'keyMatch2', 'keyMatch3', 'keyMatch5', 'regexMatch']);

/** Most listed names that are kept apart from those that a witness in a template stands for. */
const maxExcepted = 200;

function memberOfPath({ root, steps }: BindingPath): string {
  return `${root}.${steps[0]}`;
}

function groupOf(token: TokenBinding, groups: NameGroups): NameGroup | undefined {
  const key = keyOfToken(token);
  return key === undefined ? undefined : groups.get(key);
}

function* indexes(length: number): Generator<number> {
  for (let index = 0; index < length; index++) yield index;
}

/** @param isWhole whether it is all that the matcher says: then a number counts, and zero is false */
function truthOfValue(value: Outcome, isWhole: boolean): Truth {
  if (value === true) return isTrue;
  if (value === false) return isFalse;
  if (isWhole && typeof value === 'number') return value === 0 ? isFalse : isTrue;
  return errs;
}

/** Takes the place of what always fails, in the text of a condition. */
function failing({ at }: Expression): Expression {
  return { kind: 'call', name: 'error', args: [], at };
}

function unsureResult(): Residual {
  const expression: Expression = { kind: 'call', name: 'unknown', args: [], at: 0 };
  return termOf(expression, true, '', 'the matcher may have a result that is neither true nor false');
}

function tooManySteps(): Residual {
  const expression: Expression = { kind: 'call', name: 'unknown', args: [], at: 0 };
  return termOf(expression, true, '', tooDear);
}

const none: ReadonlySet<string> = new Set();

/** The members of a question that stand for more than their names: `subject.id`. */
function witnessedMembers(question: Permission, witnesses: Witnesses): ReadonlySet<string> {
  const { subject, resource, action, context } = question;
  const standsForOne =
    !standsForOthers(witnesses, { entity: subject, action, context }) &&
    !standsForOthers(witnesses, { entity: resource });
  if (standsForOne) return none;
  const { samples } = witnesses;
  const members = new Set<string>();
  for (const part of ['subject', 'resource'] as const) {
    const entity = witnesses.entities.get(question[part]);
    if (entity?.id !== undefined) members.add(`${part}.id`);
    if (entity?.type !== undefined) members.add(`${part}.type`);
    for (const member of samples.entities.get(question[part]) ?? []) members.add(`${part}.${member}`);
  }
  if (witnesses.actions.has(action) || samples.actions.has(action)) members.add('action.name');
  const named = Object.keys(witnesses.contexts.get(context) ?? {});
  for (const name of [...named, ...(samples.contexts.get(context) ?? [])]) members.add(`attributes.${name}`);
  return members;
}

function membersOfToken({ line }: TokenBinding): readonly string[] {
  if (line === undefined) return [];
  const paths = line.kind === 'path' ? [line.path] : line.parts.filter((part) => typeof part !== 'string');
  return paths.map(({ root, steps }) => `${root}.${steps[0]}`);
}

/** Whether requests may have other values of a token than the question, which says nothing of it. */
function isUnknown(token: TokenBinding, bound: BoundRequest, isMissing: boolean, mayBeSent: boolean): boolean {
  const { line, role, readAsValue } = token;
  if (line === undefined) {
    if (role === 'environment' || role === 'token') return readAsValue;
    return isMissing && (role === 'attribute' || role === 'domain');
  }
  const paths: readonly BindingPath[] =
    line.kind === 'path' ? [line.path] : line.parts.filter((part) => typeof part !== 'string');
  // Ids, types and names are those of the question.
  return paths.some(({ root, steps }) => {
    if (!isMissing && (!mayBeSent || root === 'attributes' || root === 'token')) return false;
    if (root === 'token') return !Object.hasOwn(bound.request.tokens ?? {}, steps[0] as string);
    if (root === 'attributes') return ownMember(bound.request.attributes ?? {}, steps[0] as string) === undefined;
    const own = root === 'action' ? ['name'] : ['id', 'type'];
    return !own.includes(steps[0] as string) || steps.length > 1;
  });
}

function readsRequest(expression: Expression | undefined, main: Combination): boolean {
  let reads = false;
  if (expression === undefined) return reads;
  walk(expression, (part) => {
    reads ||= (part.kind === 'column' || part.kind === 'attribute') && main.request.columns.has(part.name);
  });
  return reads;
}

/** Whether a call or a comparison takes two names of the request, or a call takes one for its pattern or its role. */
function comparesTokens(
  expression: Expression,
  main: Combination,
  asksForRole: (call: Extract<Expression, { kind: 'call' }>) => boolean,
): boolean {
  let compares = false;
  walk(expression, (part) => {
    if (part.kind !== 'binary' && part.kind !== 'in' && part.kind !== 'call') return;
    const names = new Set<string>();
    walk(part, (at) => {
      if ((at.kind === 'column' || at.kind === 'attribute') && main.request.columns.has(at.name)) names.add(at.name);
    });
    compares ||= names.size > 1 && !(part.kind === 'call' && asksForRole(part));
    if (part.kind === 'call') compares ||= readsRequest(part.args[1], main);
  });
  return compares;
}

/** Whether an expression is true or false, or errs. */
function mayBeTruth(expression: Expression): boolean {
  switch (expression.kind) {
    case 'and':
    case 'or':
    case 'in':
      return true;
    case 'unary':
      return expression.operator === '!';
    case 'binary':
      return ['==', '!=', '<', '<=', '>', '>=', '=~', '!~'].includes(expression.operator);
    case 'quantified':
      return expression.quantifier !== 'count';
    default:
      return false;
  }
}
