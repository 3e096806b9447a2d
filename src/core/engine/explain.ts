/**
 * Explains a decision and what would change it, in a separate pass over the same programs that runs only on request.
 */
import type { EngineDecision } from '../decision.js';
import type { Explanation, MatchingRule, NearMiss, RolePath, SmallestChange } from '../explanation.js';
import { type Expression, walk } from '../matcher/ast.js';
import type { Scope } from '../matcher/scope.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { DecisionRequest } from '../request.js';
import type { Rule } from '../rules/rule-store.js';
import { StepBudgetExceeded } from '../step-budget.js';
import { describeRule } from './report.js';
import { findSmallestChanges } from './smallest-change.js';
import { type Miss, TermReader } from './term-reader.js';

/** Limits of an explanation. */
const maxRules = 10_000;
const maxMatching = 50;
const maxNearMisses = 5;

/**
 * The steps of an explanation in budgets of an evaluation: for looking at rules, for saying what was found, and for all
 * the decisions that verify changes. What exceeds them is left out, and the explanation says so.
 */
const lookingBudgets = 2;
const tellingBudgets = 1;
const changingBudgets = 2;
/** Between two pauses; an evaluation that verifies a change is not interrupted. */
const stepsPerTurn = 200_000;

/**
 * Explains a decision, pausing now and then. `scope` is bound to the request; `decided` is what the evaluation answered.
 */
export function* explainInSteps(
  set: CompiledPolicySet,
  request: DecisionRequest,
  scope: Scope,
  decided: EngineDecision,
): Generator<void, Explanation> {
  const combination = set.main;
  if (!isCombination(combination)) {
    return { summary: `denied: ${combination.message}`, matching: [], nearMisses: [], changes: [], complete: true };
  }
  scope.roles = combination.roles;
  if (!combination.readsRules || combination.rules.length === 0) return explainOnce(combination, scope, decided);
  const terms = new TermReader(combination);
  const budget = scope.stepsLeft;
  scope.rules = combination.rules;
  const { matched, misses, complete } = yield* lookAtRules(combination, terms, scope, budget * lookingBudgets);
  const told = { complete };
  scope.stepsLeft = budget * tellingBudgets;
  const matching = asFarAsPossible(told, matched, (rule): MatchingRule => {
    return { ...describeRule(rule), roles: rolePaths(set, terms, rule, scope) };
  });
  if (decided.decision === 'allow') {
    return { summary: summarise(decided, []), matching, nearMisses: [], changes: [], complete: told.complete };
  }
  const near = misses.filter(({ rule }) => rule.effect === 'allow').slice(0, maxNearMisses);
  const nearMisses = asFarAsPossible(told, near, ({ rule, terms: failed }): NearMiss => {
    return { ...describeRule(rule), failed: failed.map((term) => terms.describe(term, rule, scope)) };
  });
  yield;
  scope.stepsLeft = budget * tellingBudgets;
  const changes: SmallestChange[] = [];
  const found = findSmallestChanges(set, combination, request, scope, misses, terms, budget * changingBudgets);
  try {
    for (const change of found) {
      if (change !== undefined) changes.push(change);
      yield;
    }
  } catch (error) {
    if (!(error instanceof StepBudgetExceeded)) throw error;
    told.complete = false;
  }
  return { summary: summarise(decided, nearMisses), matching, nearMisses, changes, complete: told.complete };
}

interface Looked {
  readonly matched: readonly Rule[];
  /** The nearest first. */
  readonly misses: readonly Miss[];
  readonly complete: boolean;
}

function* lookAtRules(
  combination: Combination,
  terms: TermReader,
  scope: Scope,
  steps: number,
): Generator<void, Looked> {
  const { rules } = combination;
  const matched: Rule[] = [];
  const misses: Miss[] = [];
  let pauseAt = steps - stepsPerTurn;
  let index = 0;
  scope.stepsLeft = steps;
  try {
    for (; index < Math.min(rules.length, maxRules); index++) {
      const rule = rules.at(index);
      const failed = terms.failing(rule, scope);
      if (failed.length > 0) misses.push({ rule, terms: failed, distance: distanceOf(failed, combination) });
      else if (matched.length < maxMatching) matched.push(rule);
      if (scope.stepsLeft > pauseAt) continue;
      yield;
      pauseAt = scope.stepsLeft - stepsPerTurn;
    }
  } catch (error) {
    if (!(error instanceof StepBudgetExceeded)) throw error;
  }
  misses.sort((a, b) => a.distance - b.distance);
  return { matched, misses, complete: index === rules.length && matched.length < maxMatching };
}

/** Leaves out the rest if the steps do not suffice. */
function asFarAsPossible<From, To>(
  told: { complete: boolean },
  items: readonly From[],
  tell: (item: From) => To,
): To[] {
  const found: To[] = [];
  try {
    for (const item of items) found.push(tell(item));
  } catch (error) {
    if (!(error instanceof StepBudgetExceeded)) throw error;
    told.complete = false;
  }
  return found;
}

/**
 * How far a rule is from matching: by its failing terms, and among as many by what they are about. A rule whose role
 * the subject lacks is near; a rule about another action or resource is far.
 */
function distanceOf(terms: readonly Expression[], combination: Combination): number {
  let elsewhere = 0;
  for (const term of terms) {
    walk(term, (part) => {
      if (part.kind !== 'column') return;
      const index = combination.request.columns.get(part.name);
      const role = index === undefined ? undefined : combination.tokens[index]?.role;
      if (role === 'action' || role === 'resource') elsewhere++;
    });
  }
  return terms.length * 1_000 + Math.min(elsewhere, 999);
}

function explainOnce(combination: Combination, scope: Scope, decided: EngineDecision): Explanation {
  const terms = new TermReader(combination);
  const nothing: Pick<Explanation, 'matching' | 'nearMisses' | 'changes' | 'complete'> = {
    matching: [],
    nearMisses: [],
    changes: [],
    complete: true,
  };
  if (decided.decision === 'allow') {
    return { summary: 'allowed: the matcher holds for the request itself, it reads no rules', ...nothing };
  }
  const failed = terms.failingIn(combination.program.expression, scope).map((term) => terms.describeIn(term, scope));
  const why = failed.map(({ message }) => message).join('; ');
  return { summary: `denied: ${why || (decided.errors[0]?.message ?? 'the matcher does not hold')}`, ...nothing };
}

function rolePaths(set: CompiledPolicySet, terms: TermReader, rule: Rule, scope: Scope): readonly RolePath[] {
  scope.rule = rule.index;
  const paths: RolePath[] = [];
  for (const call of terms.roleCalls(scope)) {
    const [name, role, domain] = call.args.map((argument) => terms.evaluate(argument, scope));
    if (typeof name !== 'string' || typeof role !== 'string') continue;
    const inDomain = typeof domain === 'string' ? domain : undefined;
    const path = set.roles.get(call.name)?.pathTo(name, role, inDomain, scope.now, scope);
    if (path !== undefined)
      paths.push({ definition: call.name, path, ...(inDomain !== undefined && { domain: inDomain }) });
  }
  return paths;
}

function summarise(decided: EngineDecision, nearMisses: readonly NearMiss[]): string {
  const { code, rule, file, line } = decided.reason;
  const by = rule === undefined ? '' : ` by ${file}:${line} (${rule.join(', ')})`;
  switch (code) {
    case 'rule_allowed':
      return `allowed${by}`;
    case 'rule_denied':
      return `denied${by}`;
    case 'allowed_by_default':
      return 'allowed, since no rule denies';
    case 'domain_conflict':
    case 'unknown_entity':
    case 'schema_violation':
    case 'step_budget_exceeded':
    case 'obligation_unsupported':
      return `denied: ${decided.errors[0]?.message}`;
    case 'evaluation_error':
      return `denied${by}: ${decided.errors[0]?.message}`;
    case 'no_matching_rule': {
      const [nearest] = nearMisses;
      if (nearest === undefined) return 'denied: there is no rule that could allow';
      const missing = nearest.failed.map(({ message }) => message).join('; ');
      return `denied: no rule matches. The nearest is ${nearest.file}:${nearest.line} (${nearest.rule.join(', ')}): ${missing}`;
    }
    default:
      return code satisfies never;
  }
}
