/** Expressions that can only be numbers. */
import type { Expression } from './ast.js';
import type { Environment } from './environment.js';

const arithmetic: ReadonlySet<string> = new Set(['-', '*', '/', '%', '**', '&', '|', '^', '<<', '>>']);

/** Whether an expression that has a value has a number, whatever the request is. */
export function isNumber(expression: Expression, environment: Environment): boolean {
  const isNumeric = (part: Expression): boolean => isNumber(part, environment);
  switch (expression.kind) {
    case 'literal':
      return typeof expression.value === 'number';
    case 'unary':
      return expression.operator !== '!';
    case 'binary':
      if (expression.operator === '+') return isNumeric(expression.left) && isNumeric(expression.right);
      return arithmetic.has(expression.operator);
    case 'otherwise': {
      const { value, fallback } = expression;
      return isNumeric(value.kind === 'then' ? value.value : value) && isNumeric(fallback);
    }
    case 'call': {
      const { roles, customFunctions, functions } = environment;
      const isBuiltIn = !roles.has(expression.name) && !customFunctions.has(expression.name);
      return isBuiltIn && functions.get(expression.name)?.returns === 'number';
    }
    case 'quantified':
      return expression.quantifier === 'count';
    default:
      return false;
  }
}
