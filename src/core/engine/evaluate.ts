/** The evaluation: one request, all candidates, one effect. It does not throw; what fails is part of the answer. */

import { matchRule } from '../matcher/program.js';
import { FAULT, noFields, type Scope } from '../matcher/scope.js';
import type { Combination } from '../policy/combination.js';
import type { EffectKind } from '../policy/effect.js';
import type { Rule } from '../policy/rule-table.js';

export interface EvaluationError {
  readonly code: string;
  readonly message: string;
  /** Missing for an error outside any rule. */
  readonly rule?: Rule;
}

export interface Evaluation {
  readonly allowed: boolean;
  /** Who decided: a rule, the effect in default of a rule, the matcher where it reads no rules, or an error. */
  readonly by: 'rule' | 'default' | 'matcher' | 'error';
  /** The rule that the reference explains the decision with. */
  readonly rule: Rule | undefined;
  readonly errors: readonly EvaluationError[];
}

/** An answer with a thousand errors helps nobody more than one with these. */
export const maxReportedErrors = 20;

const noErrors: readonly EvaluationError[] = Object.freeze([]);

/** Evaluates the request in `scope` (its values, sources and clock are set). */
export function evaluate(combination: Combination, scope: Scope): Evaluation {
  if (combination.readsRules && combination.rules.length > 0) {
    return evaluateRules(combination, scope);
  }
  if (combination.callsEval && combination.rules.length === 0) {
    return requestError('eval_without_rules', 'eval() reads rules, and there are none');
  }
  return evaluateOnce(combination, scope);
}

/** An error outside any rule: it denies. */
export function requestError(
  code: string,
  message: string,
  earlier: readonly EvaluationError[] = noErrors,
): Evaluation {
  return { allowed: false, by: 'error', rule: undefined, errors: [...earlier, { code, message }] };
}

/**
 * The matcher reads no rule, or there is none: it is asked once, policy columns being empty texts, and only true and
 * false are answers. `eft` columns are not looked at; true counts as one allow.
 */
function evaluateOnce(combination: Combination, scope: Scope): Evaluation {
  scope.fields = noFields;
  const result = combination.program.run(scope);
  if (result === FAULT) return requestError(...faultOf(scope));
  if (typeof result !== 'boolean') {
    return requestError('wrong_result', 'a matcher that reads no rule must be true or false');
  }
  const { effect } = combination;
  if (effect === undefined) return unsupportedEffect(combination);
  if (effect === 'deny_override') return { allowed: true, by: 'default', rule: undefined, errors: noErrors };
  // The reference explains this allow with the first rule, though no rule had a part in it.
  return {
    allowed: result,
    by: result ? 'matcher' : 'default',
    rule: result ? combination.rules[0] : undefined,
    errors: noErrors,
  };
}

/**
 * Asks the rules in order until the effect is determined. A rule that errs counts for itself alone (P2): an allow does
 * not match, a deny counts as matching wherever the effect reads denies.
 */
function evaluateRules(combination: Combination, scope: Scope): Evaluation {
  const { effect, program, rules } = combination;
  let errors: EvaluationError[] | undefined;
  let unreported = 0;
  let firstAllow: Rule | undefined;
  for (const rule of rules) {
    if (!scope.spend(1)) return requestError('step_budget_exceeded', 'the evaluation takes too many steps', errors);
    scope.fields = rule.fields;
    const outcome = matchRule(program, scope);
    if (scope.stepsLeft < 0) return requestError('step_budget_exceeded', 'the evaluation takes too many steps', errors);
    if (outcome === 'wrong_result') return requestError(...faultOf(scope), errors);
    if (effect === undefined) return unsupportedEffect(combination);
    if (outcome === 'no_match') continue;
    if (outcome === 'error') {
      const [code, message] = faultOf(scope);
      if (errors === undefined) errors = [];
      if (errors.length < maxReportedErrors) errors.push({ code, message, rule });
      else unreported++;
      if (rule.effect !== 'deny' || effect === 'allow_override') continue;
    }
    const decision = decidesAtOnce(effect, rule);
    if (decision !== undefined) return { allowed: decision, by: 'rule', rule, errors: listErrors(errors, unreported) };
    if (rule.effect === 'allow' && firstAllow === undefined) firstAllow = rule;
  }
  const reported = listErrors(errors, unreported);
  if (effect === 'deny_override') return { allowed: true, by: 'default', rule: undefined, errors: reported };
  if (effect === 'allow_and_deny' && firstAllow !== undefined) {
    return { allowed: true, by: 'rule', rule: firstAllow, errors: reported };
  }
  return { allowed: false, by: 'default', rule: undefined, errors: reported };
}

/** What a matching rule decides by itself, before the rules behind it are asked. */
function decidesAtOnce(effect: EffectKind, rule: Rule): boolean | undefined {
  if (rule.effect === 'indeterminate') return undefined;
  const allows = rule.effect === 'allow';
  switch (effect) {
    case 'allow_override':
      return allows ? true : undefined;
    case 'deny_override':
    case 'allow_and_deny':
      return allows ? undefined : false;
    case 'priority':
    case 'subject_priority':
      return allows;
    default:
      return effect satisfies never;
  }
}

function listErrors(errors: readonly EvaluationError[] | undefined, unreported: number): readonly EvaluationError[] {
  if (errors === undefined) return noErrors;
  if (unreported === 0) return errors;
  return [...errors, { code: 'more_errors', message: `${unreported} more rules failed` }];
}

function faultOf(scope: Scope): [code: string, message: string] {
  return [scope.fault?.code ?? 'evaluation_failed', scope.fault?.message ?? 'the evaluation failed'];
}

function unsupportedEffect(combination: Combination): Evaluation {
  return requestError('unsupported_effect', `"${combination.effectText}" is not an effect`);
}
