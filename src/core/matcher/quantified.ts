/** `any`, `all` and `count`: a condition that is asked of each item of a list. */
import type { Json } from '../request.js';
import type { Expression, Quantifier } from './ast.js';
import { expressionSteps } from './expression-steps.js';
import { type Evaluator, fault, type Outcome, type Scope } from './scope.js';
import { describeValue } from './values.js';

/** Beside those of the condition. */
const stepsPerItem = 2;

/**
 * `any` and `all` ask the items in their order and end with the first that decides, as `||` and `&&` do: an item behind
 * it that the condition errs on is not asked. Of an empty list `any` is false, `all` is true, and `count` is 0.
 */
export function compileQuantified(
  { quantifier, list, condition }: Extract<Expression, { kind: 'quantified' }>,
  compile: (expression: Expression) => Evaluator,
): Evaluator {
  const listOf = compile(list);
  const conditionOf = compile(condition);
  const steps = stepsPerItem + expressionSteps(condition);
  return (scope) => {
    const items = listOf(scope);
    if (items === fault) return fault;
    if (!Array.isArray(items)) {
      return scope.fail('type_mismatch', () => `${quantifier}() wants a list, not ${describeValue(items)}`);
    }
    // A condition of a rule that is run for an item may ask items of its own.
    const outer = scope.item;
    const outcome = ask(scope, quantifier, items, conditionOf, steps);
    scope.item = outer;
    return outcome;
  };
}

function ask(
  scope: Scope,
  quantifier: Quantifier,
  items: readonly Json[],
  conditionOf: Evaluator,
  steps: number,
): Outcome {
  let count = 0;
  for (const item of items) {
    scope.spend(steps);
    scope.item = item;
    const holds = conditionOf(scope);
    if (holds === fault) return fault;
    if (typeof holds !== 'boolean') {
      return scope.fail('type_mismatch', () => `the condition of ${quantifier}() is ${describeValue(holds)}`);
    }
    if (holds) count++;
    if (quantifier === 'any' && holds) return true;
    if (quantifier === 'all' && !holds) return false;
  }
  return quantifier === 'count' ? count : quantifier === 'all';
}
