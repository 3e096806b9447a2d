/** Evaluates a request on a set, for decisions and for callers that only need to know whether it is allowed. */
import type { Diagnostic } from '../decision.js';
import { type AssumedLink, type AttributeSource, type Scope, withScope } from '../matcher/scope.js';
import { BindingError, type BoundRequest, bindRequest, tokenSource, tokenValue } from '../policy/binding.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { DecisionRequest, Json } from '../request.js';
import { stepBudgetExceeded } from '../step-budget.js';
import { evaluateGuarded } from './enforce.js';

/** Whether a request is allowed. */
export function isAllowed(set: CompiledPolicySet, request: DecisionRequest, now: number): boolean {
  return isAllowedWithin({ left: Number.MAX_SAFE_INTEGER }, set, request, now, undefined);
}

/** Steps that several decisions share. */
export interface SharedBudget {
  left: number;
}

/**
 * True if a request is allowed. A role link can be assumed to exist.
 *
 * @throws StepBudgetExceeded if the shared budget is used up first
 */
export function isAllowedWithin(
  budget: SharedBudget,
  set: CompiledPolicySet,
  request: DecisionRequest,
  now: number,
  assumedLink: AssumedLink | undefined,
): boolean {
  return withScope((scope) => {
    const combination = set.main;
    if (!isCombination(combination) || bindScope(scope, set, combination, request, now) !== undefined) return false;
    const most = scope.stepsLeft;
    scope.stepsLeft = Math.min(most, budget.left);
    const given = scope.stepsLeft;
    scope.assumedLink = assumedLink;
    const { allowed } = evaluateGuarded(combination, scope);
    budget.left -= given - Math.max(scope.stepsLeft, 0) + stepsPerDecision;
    if (given < most && scope.stepsLeft < 0) throw stepBudgetExceeded;
    return allowed;
  });
}

/** Steps for putting a request into a scope. */
const stepsPerDecision = 100;

/** The request's values in the order of the request definition, as `enforce` and stock Casbin take them. */
export function bindValues(set: CompiledPolicySet, request: DecisionRequest): BoundValues | BindingError {
  const combination = set.main;
  if (!isCombination(combination)) return { values: [], sources: [], warnings: [] };
  return withScope((scope) => {
    const error = bindScope(scope, set, combination, request, 0);
    return error ?? { values: scope.values, sources: scope.sources, warnings: scope.warnings ?? [] };
  });
}

export interface BoundValues {
  readonly values: readonly (Json | undefined)[];
  readonly sources: readonly AttributeSource[];
  /** Warnings for the answer. */
  readonly warnings: readonly Diagnostic[];
}

/** Puts a request into a scope; returns why it does not fit the set, if it does not. */
export function bindScope(
  scope: Scope,
  set: CompiledPolicySet,
  combination: Combination,
  request: DecisionRequest,
  now: number,
): BindingError | undefined {
  const bound: BoundRequest | BindingError = bindRequest(request, set.entities, set.manifest.precedence);
  if (bound instanceof BindingError) return bound;
  const found = set.admission?.(bound);
  if (found instanceof BindingError) return found;
  scope.warnings = found;
  const values: (Json | undefined)[] = [];
  const sources: AttributeSource[] = [];
  for (const token of combination.tokens) {
    const value = tokenValue(token, bound);
    if (value instanceof BindingError && token.readAsValue) return value;
    values.push(value instanceof BindingError ? undefined : value);
    sources.push(tokenSource(token, bound));
  }
  scope.values = values;
  scope.sources = sources;
  scope.now = now;
  scope.stepsLeft = set.manifest.stepBudget ?? scope.stepsLeft;
  return undefined;
}
