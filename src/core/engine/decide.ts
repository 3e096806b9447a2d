/** Verdict's own question: subject, action, resource and attributes, bound to the model's request definition. */
import type { Diagnostic, EngineDecision, Reason, ReasonCode } from '../decision.js';
import type { Explanation } from '../explanation.js';
import { Scope, withScope } from '../matcher/scope.js';
import type { BindingError } from '../policy/binding.js';
import { isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { DecisionRequest, Json } from '../request.js';
import { MatchingFunctionFailed } from '../roles/name-matching.js';
import type { Rule } from '../rules/rule-store.js';
import { defaultStepBudget, StepBudgetExceeded } from '../step-budget.js';
import { finish } from '../steps.js';
import { bindScope } from './ask.js';
import { evaluateGuarded } from './enforce.js';
import { type Evaluation, requestError } from './evaluate.js';
import { explainInSteps } from './explain.js';
import { diagnosticsOf, failedRuleLine, ruleLine } from './report.js';
import { answersOf } from './rule-answers.js';

export interface DecideOptions {
  /** The decision's clock, in milliseconds since the epoch. */
  readonly now: number;
  /** How much is explained; `brief` by default. */
  readonly explain?: 'none' | 'brief' | 'full';
}

const noObligations: readonly Json[] = Object.freeze([]);

/** The steps of several decisions together. */
export interface StepCount {
  steps: number;
}

/** @param count the steps of the decision, without its explanation, are added to it */
export function decide(
  set: CompiledPolicySet,
  request: DecisionRequest,
  options: DecideOptions,
  count?: StepCount,
): EngineDecision {
  if (options.explain === 'full') return finish(decideInSteps(set, request, options));
  return withScope((scope) => {
    const decision = decideIn(scope, set, request, options.now);
    if (count !== undefined) count.steps += stepBudgetOf(set) - Math.max(scope.stepsLeft, 0);
    return decision;
  });
}

function stepBudgetOf({ manifest }: CompiledPolicySet): number {
  return manifest.stepBudget ?? defaultStepBudget;
}

/** As `decide`, pausing before and within a full explanation: the decision itself is one step. */
export function* decideInSteps(
  set: CompiledPolicySet,
  request: DecisionRequest,
  options: DecideOptions,
): Generator<void, EngineDecision> {
  const decision = withScope((scope) => decideIn(scope, set, request, options.now));
  if (options.explain !== 'full') return decision;
  yield;
  // A scope of its own, since other requests are evaluated while it pauses.
  const explanation = yield* explainIn(new Scope(), set, request, options.now, decision);
  return explanation === undefined ? decision : { ...decision, explanation };
}

function decideIn(scope: Scope, set: CompiledPolicySet, request: DecisionRequest, now: number): EngineDecision {
  const combination = set.main;
  if (!isCombination(combination)) return answer(requestError(combination.code, combination.message));
  const error = bindScope(scope, set, combination, request, now);
  return error === undefined ? answer(evaluateGuarded(combination, scope), scope.warnings) : answerBindingError(error);
}

/** Undefined if the request does not fit the set or cannot be evaluated, so that there is nothing to explain. */
function* explainIn(
  scope: Scope,
  set: CompiledPolicySet,
  request: DecisionRequest,
  now: number,
  decision: EngineDecision,
): Generator<void, Explanation | undefined> {
  if (!isCombination(set.main) || bindScope(scope, set, set.main, request, now) !== undefined) return undefined;
  try {
    return yield* explainInSteps(set, request, scope, decision);
  } catch (error) {
    if (error instanceof StepBudgetExceeded || error instanceof RangeError || error instanceof MatchingFunctionFailed)
      return undefined;
    throw error;
  }
}

/** The deny of a request that cannot be evaluated by the set. */
export function answerBindingError({ reason, details }: BindingError): EngineDecision {
  return { decision: 'deny', reason: { code: reason }, obligations: noObligations, errors: details };
}

/** @param warnings what was found before the rules were asked */
function answer(evaluation: Evaluation, warnings?: readonly Diagnostic[]): EngineDecision {
  const { allowed, rule, by } = evaluation;
  const deciding = by === 'rule' || by === 'failure' ? rule : undefined;
  const decision = allowed ? ('allow' as const) : ('deny' as const);
  const found = diagnosticsOf(evaluation.errors, { withType: true });
  const errors = warnings === undefined ? found : [...warnings, ...found];
  if (deciding === undefined)
    return { decision, reason: { code: reasonCode(evaluation) }, obligations: noObligations, errors };
  const code = reasonCode(evaluation);
  // The message of a rule is for a match. It is unknown whether a rule that failed would have matched.
  if (by === 'failure') {
    const { file, line } = deciding;
    return {
      decision,
      reason: { code, rule: failedRuleLine(deciding), file, line },
      obligations: noObligations,
      errors,
    };
  }
  const { message, obligations, advice } = answersOf(deciding);
  const reason = reasonOf(code, deciding, message);
  // Without object spreads, which would cost more than the rest of this function.
  return advice.length > 0
    ? { decision, reason, obligations, advice, errors }
    : { decision, reason, obligations, errors };
}

function reasonCode({ allowed, by, errors }: Evaluation): ReasonCode {
  switch (by) {
    case 'rule':
      return allowed ? 'rule_allowed' : 'rule_denied';
    case 'failure':
      return 'evaluation_error';
    case 'matcher':
      return 'rule_allowed';
    case 'default':
      if (allowed) return 'allowed_by_default';
      return errors.length > 0 ? 'evaluation_error' : 'no_matching_rule';
    case 'error':
      return errors.some(({ code }) => code === 'step_budget_exceeded') ? 'step_budget_exceeded' : 'evaluation_error';
    default:
      return by satisfies never;
  }
}

function reasonOf(code: ReasonCode, rule: Rule, message: Json | undefined): Reason {
  const { file, line } = rule;
  return message === undefined
    ? { code, rule: ruleLine(rule), file, line }
    : { code, rule: ruleLine(rule), file, line, message };
}
