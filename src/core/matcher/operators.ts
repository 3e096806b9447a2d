/** The operators on values (govaluate 1.3, `evaluationStage.go`). */
import type { Json } from '../request.js';
import { stepsForText } from '../step-budget.js';
import type { BinaryOperator } from './ast.js';
import { bitwiseAnd, bitwiseNot, bitwiseOr, bitwiseXor, shiftLeft, shiftRight } from './integers.js';
import { fault, type Outcome, type Scope } from './scope.js';
import { compareStrings, describeValue, formatValue, sameValue } from './values.js';

export type BinaryOperation = (left: Json, right: Json, scope: Scope) => Outcome;

/** All but `=~` and `!~`, which need a regular expression engine. */
export const binaryOperations: Readonly<Record<Exclude<BinaryOperator, '=~' | '!~'>, BinaryOperation>> = {
  '==': sameValue,
  '!=': (left, right, scope) => !sameValue(left, right, scope),
  '<': comparison('<', (order) => order < 0),
  '<=': comparison('<=', (order) => order <= 0),
  '>': comparison('>', (order) => order > 0),
  '>=': comparison('>=', (order) => order >= 0),
  '+': add,
  '-': arithmetic('-', (left, right) => left - right),
  '*': arithmetic('*', (left, right) => left * right),
  '/': arithmetic('/', (left, right) => left / right),
  '%': arithmetic('%', (left, right) => left % right),
  '**': arithmetic('**', power),
  '&': arithmetic('&', bitwiseAnd),
  '|': arithmetic('|', bitwiseOr),
  '^': arithmetic('^', bitwiseXor),
  '<<': arithmetic('<<', shiftLeft),
  '>>': arithmetic('>>', shiftRight),
};

function comparison(operator: string, holds: (order: number) => boolean): BinaryOperation {
  return (left, right, scope) => {
    // Compared without subtraction: `Infinity - Infinity` is NaN.
    if (typeof left === 'number' && typeof right === 'number') {
      return left === right ? holds(0) : left < right ? holds(-1) : left > right ? holds(1) : false;
    }
    if (typeof left === 'string' && typeof right === 'string') {
      // Character by character, since the order is not that of JavaScript.
      scope.spend(Math.min(left.length, right.length) >> 1);
      return holds(compareStrings(left, right));
    }
    return typeError(scope, operator, left, right, 'two numbers or two texts');
  };
}

const stepsPerText = 5;

function add(left: Json, right: Json, scope: Scope): Outcome {
  if (typeof left === 'number' && typeof right === 'number') return left + right;
  if (typeof left === 'string' || typeof right === 'string') {
    const text = formatValue(left, scope) + formatValue(right, scope);
    // JavaScript joins texts when they are first read; each join counts as if that happened now.
    scope.spend(stepsPerText + 2 * stepsForText(text.length));
    return text;
  }
  return typeError(scope, '+', left, right, 'two numbers or a text');
}

function arithmetic(operator: string, compute: (left: number, right: number) => number): BinaryOperation {
  return (left, right, scope) => {
    if (typeof left === 'number' && typeof right === 'number') return compute(left, right);
    return typeError(scope, operator, left, right, 'two numbers');
  };
}

/** Go's `math.Pow`. JavaScript's `**` differs if the base is 1 or -1 and the exponent is not finite. */
function power(base: number, exponent: number): number {
  if (base === 1 || (base === -1 && Math.abs(exponent) === Number.POSITIVE_INFINITY)) return 1;
  return base ** exponent;
}

export function negate(value: Json, scope: Scope): Outcome {
  return typeof value === 'number' ? -value : operandError(scope, '-', value, 'a number');
}

export function invert(value: Json, scope: Scope): Outcome {
  return typeof value === 'boolean' ? !value : operandError(scope, '!', value, 'true or false');
}

export function complement(value: Json, scope: Scope): Outcome {
  return typeof value === 'number' ? bitwiseNot(value) : operandError(scope, '~', value, 'a number');
}

/** `x in list`: elements compare without conversion. Two lists or two objects are an error, as in Go. */
export function isIn(left: Json, right: Json | readonly Json[], scope: Scope): Outcome {
  if (!Array.isArray(right)) return operandError(scope, 'in', right as Json, 'a list on its right');
  const stepsPerItem = typeof left === 'string' ? 1 + stepsForText(left.length) : 1;
  scope.spend(right.length * stepsPerItem);
  if (typeof left !== 'object' || left === null) return right.indexOf(left) >= 0;
  for (const item of right) {
    if (typeof item === 'object' && item !== null && Array.isArray(item) === Array.isArray(left)) {
      return operandError(scope, 'in', left, 'a single value on its left');
    }
  }
  return false;
}

export function typeError(scope: Scope, operator: string, left: Json, right: Json, wanted: string): typeof fault {
  return scope.fail(
    'type_mismatch',
    () => `"${operator}" wants ${wanted}, not ${describeValue(left)} and ${describeValue(right)}`,
  );
}

export function operandError(scope: Scope, operator: string, value: Json, wanted: string): typeof fault {
  return scope.fail('type_mismatch', () => `"${operator}" wants ${wanted}, not ${describeValue(value)}`);
}
