/** The evaluation: one request, all candidates, one effect. Errors in rules are part of the answer. */

import { assert } from '../assert.js';
import { matchRule } from '../matcher/program.js';
import { fault, noRules, type Scope } from '../matcher/scope.js';
import type { Combination } from '../policy/combination.js';
import { quote } from '../quote.js';
import type { EffectKind, RuleEffect } from '../rules/effect.js';
import type { Rule, RuleStore } from '../rules/rule-store.js';
import { stepBudgetExceeded } from '../step-budget.js';

export interface EvaluationError {
  readonly code: string;
  readonly message: string;
  /** Missing for an error outside any rule. */
  readonly rule?: Rule;
}

export interface Evaluation {
  readonly allowed: boolean;
  /**
   * Who decided: a rule that matches, a deny rule that failed and counts as matching, the effect in default of a rule, the
   * matcher where it reads no rules, or an error outside any rule.
   */
  readonly by: 'rule' | 'failure' | 'default' | 'matcher' | 'error';
  /** The rule that the reference explains the decision with. */
  readonly rule: Rule | undefined;
  readonly errors: readonly EvaluationError[];
}

/** Most errors in an answer; more would not help. */
export const maxReportedErrors = 20;

const noErrors: readonly EvaluationError[] = Object.freeze([]);

/**
 * Evaluates the request in `scope` (its values, sources, clock and budget are set).
 *
 * @throws StepBudgetExceeded when the budget is used up
 */
export function evaluate(combination: Combination, scope: Scope): Evaluation {
  scope.roles = combination.roles;
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
  scope.rules = noRules;
  scope.spend(combination.program.steps);
  const result = combination.program.run(scope);
  if (result === fault) return requestError(...faultOf(scope));
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
    rule: result && combination.rules.length > 0 ? combination.rules.at(0) : undefined,
    errors: noErrors,
  };
}

/**
 * Asks the rules in order until the effect is determined. A rule that errs counts for itself alone (P2): an allow does
 * not match, a deny counts as matching wherever the effect reads denies.
 */
function evaluateRules(combination: Combination, scope: Scope): Evaluation {
  const { effect, program, rules, plan } = combination;
  const found = plan.candidates(scope);
  const terms = found === undefined ? program : plan;
  const start = found?.start ?? 0;
  const end = found?.end ?? rules.length;
  assert(
    found === undefined || start === end || (found.rules[end - 1] as number) < rules.length,
    'a candidate is one of the rules that are asked',
  );
  let errors: ErrorList | undefined;
  let firstAllow: number | undefined;
  scope.rules = rules;
  for (let at = start; at < end; at++) {
    const rule = found === undefined ? at : (found.rules[at] as number);
    scope.spend(stepsPerRule);
    scope.rule = rule;
    const outcome = matchRule(program, terms, scope);
    // Once the budget is used up, the result of a rule must not decide, since its work was not counted to the end.
    if (scope.stepsLeft < 0) throw stepBudgetExceeded;
    if (outcome === 'wrong_result') return requestError(...faultOf(scope), listOf(errors));
    if (effect === undefined) return unsupportedEffect(combination);
    if (outcome === 'no_match') continue;
    const ruleEffect = rules.effect(rule);
    if (outcome === 'error') {
      errors ??= new ErrorList(rules);
      errors.add(faultOf(scope), rule);
      if (ruleEffect !== 'deny' || effect === 'allow_override') continue;
    }
    const decision = decidesAtOnce(effect, ruleEffect);
    if (decision !== undefined) {
      const by = outcome === 'error' ? ('failure' as const) : ('rule' as const);
      return { allowed: decision, by, rule: rules.at(rule), errors: listOf(errors) };
    }
    if (ruleEffect === 'allow' && firstAllow === undefined) firstAllow = rule;
  }
  // The reference merges only when it has asked a rule; a request that no rule is a candidate for asks none of them.
  if (effect === undefined) return unsupportedEffect(combination);
  if (effect === 'deny_override') return { allowed: true, by: 'default', rule: undefined, errors: listOf(errors) };
  if (effect === 'allow_and_deny' && firstAllow !== undefined) {
    return { allowed: true, by: 'rule', rule: rules.at(firstAllow), errors: listOf(errors) };
  }
  return { allowed: false, by: 'default', rule: undefined, errors: listOf(errors) };
}

/** Steps for going to the next rule. */
const stepsPerRule = 5;

/** Errors in rules. The first of them are reported. */
class ErrorList {
  private readonly errors: EvaluationError[] = [];
  private unreported = 0;

  constructor(private readonly rules: RuleStore) {}

  add([code, message]: readonly [string, string], rule: number): void {
    if (this.errors.length < maxReportedErrors) this.errors.push({ code, message, rule: this.rules.at(rule) });
    else this.unreported++;
  }

  list(): readonly EvaluationError[] {
    if (this.unreported === 0) return this.errors;
    return [...this.errors, { code: 'more_errors', message: `${this.unreported} more rules failed` }];
  }
}

/** Created only for the first error; most evaluations have none. */
function listOf(errors: ErrorList | undefined): readonly EvaluationError[] {
  return errors === undefined ? noErrors : errors.list();
}

/** The decision that a matching rule makes alone, before later rules are evaluated. */
function decidesAtOnce(effect: EffectKind, ruleEffect: RuleEffect): boolean | undefined {
  if (ruleEffect === 'indeterminate') return undefined;
  const allows = ruleEffect === 'allow';
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

function faultOf(scope: Scope): [code: string, message: string] {
  return [scope.fault?.code ?? 'evaluation_failed', scope.fault?.message ?? 'the evaluation failed'];
}

function unsupportedEffect(combination: Combination): Evaluation {
  return requestError('unsupported_effect', `${quote(combination.effectText)} is not an effect`);
}
