/** Casbin's own question: request values in the order of the request definition. */
import { AssertionFailed } from '../assert.js';
import type { Diagnostic, Effect } from '../decision.js';
import { type DefinitionNames, definitionNames } from '../manifest/manifest.js';
import { type Scope, withScope } from '../matcher/scope.js';
import { isObject } from '../matcher/values.js';
import { type Combination, isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import type { Json } from '../request.js';
import { MatchingFunctionFailed } from '../roles/name-matching.js';
import { StepBudgetExceeded } from '../step-budget.js';
import { type Evaluation, evaluate, requestError } from './evaluate.js';
import { diagnosticsOf } from './report.js';

export interface EnforceOptions {
  /** A suffix (`"2"` means r2, p2, e2, m2) or the four names, as Casbin's EnforceContext. */
  readonly context?: string | Partial<DefinitionNames>;
  /** A matcher for this request instead of the model's (EnforceWithMatcher). */
  readonly matcher?: string;
  /** Milliseconds since the epoch, for roles and conditions that hold for a time. */
  readonly now?: number;
}

export interface EnforceResult {
  readonly decision: Effect;
  /** The columns of the rule that decided, without its type, as Casbin's EnforceEx gives them. */
  readonly rule: string[] | null;
  readonly errors: readonly Diagnostic[];
}

export function enforce(set: CompiledPolicySet, args: readonly unknown[], options: EnforceOptions): EnforceResult {
  const { allowed, rule, errors } = withScope((scope) => evaluateArguments(set, args, options, scope));
  return {
    decision: allowed ? 'allow' : 'deny',
    rule: rule === undefined ? null : (rule.fields as string[]),
    errors: diagnosticsOf(errors, { withType: false }),
  };
}

function evaluateArguments(
  set: CompiledPolicySet,
  args: readonly unknown[],
  options: EnforceOptions,
  scope: Scope,
): Evaluation {
  const combination = chooseCombination(set, options);
  if (!isCombination(combination)) return requestError(combination.code, combination.message);
  const wanted = combination.width;
  if (args.length !== wanted) {
    return requestError('wrong_request_size', `the request must have ${wanted} values, not ${args.length}`);
  }
  const values = readArguments(args, set.acceptJson);
  if (typeof values === 'number') return requestError('bad_json_argument', `request value ${values} is no JSON object`);
  scope.values = values;
  scope.sources = values;
  scope.now = options.now ?? Date.now();
  scope.stepsLeft = set.manifest.stepBudget ?? scope.stepsLeft;
  return evaluateGuarded(combination, scope);
}

/** The request values; or the position, counted from 1, of the first that should be a JSON object and is not. */
function readArguments(args: readonly unknown[], acceptJson: boolean): readonly Json[] | number {
  if (!acceptJson && !args.includes(undefined)) return args as readonly Json[];
  const values: Json[] = [];
  for (const argument of args) {
    const value = (argument ?? null) as Json;
    if (!acceptJson || typeof value !== 'string' || !/^[{[]/.test(value)) {
      values.push(value);
      continue;
    }
    const parsed = parseJsonObject(value);
    if (parsed === undefined) return values.length + 1;
    values.push(parsed);
  }
  return values;
}

/**
 * There are four ways in which an evaluation can throw: its budget may be used up, values may be nested deeper than the
 * stack is, a function of the embedding program may fail where it is asked for roles and not by a rule, and an assertion
 * may find a defect of the engine. Each denies.
 */
export function evaluateGuarded(combination: Combination, scope: Scope): Evaluation {
  try {
    return evaluate(combination, scope);
  } catch (error) {
    if (error instanceof StepBudgetExceeded) return requestError('step_budget_exceeded', error.message);
    if (error instanceof MatchingFunctionFailed) return requestError('function_error', error.message);
    if (error instanceof AssertionFailed) return requestError('evaluation_failed', error.message);
    if (error instanceof RangeError) return requestError('nested_too_deep', 'the request is nested too deeply');
    throw error;
  }
}

function chooseCombination(set: CompiledPolicySet, { context, matcher }: EnforceOptions) {
  // As in Casbin, an empty matcher means the model's own.
  const given = matcher === '' ? undefined : matcher;
  if (context === undefined && given === undefined) return set.main;
  const names = context === undefined ? set.manifest.definitions : definitionNames(context);
  return set.combine(names, given);
}

/** With `acceptJson` the reference takes objects and nothing else for JSON. */
function parseJsonObject(text: string): Json | undefined {
  try {
    const value = JSON.parse(text) as Json;
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
