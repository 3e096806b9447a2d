/** Compiles a tree to closures. Names are looked up here, not when the expression runs. */

import { cut, quote } from '../quote.js';
import type { Json } from '../request.js';
import { longText, stepsForText } from '../step-budget.js';
import type { Expression } from './ast.js';
import { compileCall } from './calls.js';
import { columnHint } from './column-hint.js';
import type { Environment } from './environment.js';
import { constantList } from './expression-steps.js';
import { binaryOperations, complement, invert, isIn, negate, operandError } from './operators.js';
import { readItem, readPath } from './paths.js';
import { compileQuantified } from './quantified.js';
import { type Evaluator, fault, type Outcome, type Scope } from './scope.js';
import { authorsName } from './source-text.js';
import { describeValue, sameValue } from './values.js';

/**
 * Compiles an expression for one environment. Unknown names are reported and become errors of every rule that reaches
 * them, as in the reference; only a syntax error stops a matcher as a whole.
 */
export function compileExpression(expression: Expression, environment: Environment): Evaluator {
  const run = compilePart(expression, environment);
  return environment.observe === undefined ? run : environment.observe(expression, run);
}

function compilePart(expression: Expression, environment: Environment): Evaluator {
  const compile = (part: Expression): Evaluator => compileExpression(part, environment);
  switch (expression.kind) {
    case 'literal': {
      const { value } = expression;
      return () => value;
    }
    case 'column':
      return compileColumn(expression, environment);
    case 'attribute':
      return compileAttribute(expression, environment);
    case 'unary': {
      const operand = compile(expression.operand);
      const operation = { '-': negate, '!': invert, '~': complement }[expression.operator];
      return (scope) => {
        const value = operand(scope);
        return value === fault ? fault : operation(value, scope);
      };
    }
    case 'binary':
      return compileBinary(expression, environment, compile);
    case 'in': {
      const leftOf = compile(expression.left);
      const constants = constantList(expression.right);
      if (constants !== undefined) {
        return (scope) => {
          const left = leftOf(scope);
          return left === fault ? fault : isIn(left, constants, scope);
        };
      }
      const rightOf = compile(expression.right);
      return (scope) => {
        const left = leftOf(scope);
        if (left === fault) return fault;
        const right = rightOf(scope);
        return right === fault ? fault : isIn(left, right, scope);
      };
    }
    case 'and':
      return compileLogical(compile(expression.left), compile(expression.right), '&&', false);
    case 'or':
      return compileLogical(compile(expression.left), compile(expression.right), '||', true);
    case 'then': {
      const conditionOf = compile(expression.condition);
      const resultOf = compile(expression.value);
      return (scope) => {
        const condition = conditionOf(scope);
        if (condition === fault) return fault;
        if (typeof condition !== 'boolean') return operandError(scope, '?', condition, 'true or false');
        return condition ? resultOf(scope) : null;
      };
    }
    case 'otherwise': {
      const resultOf = compile(expression.value);
      const fallbackOf = compile(expression.fallback);
      return (scope) => {
        const value = resultOf(scope);
        return value === null ? fallbackOf(scope) : value;
      };
    }
    case 'list':
      return compileList(expression.items.map(compile));
    case 'call':
      return compileCall(expression, environment, compile);
    case 'quantified':
      return compileQuantified(expression, compile);
    case 'item': {
      const { path } = expression;
      if (path.length === 0) return (scope) => scope.item;
      return (scope) => readItem(scope, path);
    }
    default:
      return expression satisfies never;
  }
}

function compileColumn(column: Extract<Expression, { kind: 'column' }>, environment: Environment): Evaluator {
  const request = environment.requestColumns.get(column.name);
  if (request !== undefined) {
    const label = cut(authorsName(column.name));
    return unlessMasked(environment, label, (scope) => {
      const value = scope.values[request];
      return value === undefined ? scope.fail('missing_attribute', () => `the request has no ${label}`) : value;
    });
  }
  const policy = environment.policyColumns.get(column.name);
  if (policy !== undefined) return (scope) => scope.rules.text(policy, scope.rule);
  return unknownColumn(column.name, column.at, environment);
}

function compileAttribute(attribute: Extract<Expression, { kind: 'attribute' }>, environment: Environment): Evaluator {
  const { name, path } = attribute;
  const label = cut(authorsName(name));
  const request = environment.requestColumns.get(name);
  if (request !== undefined) return unlessMasked(environment, label, (scope) => readPath(scope, request, path, label));
  if (environment.policyColumns.has(name)) {
    return (scope) => scope.fail('not_an_object', () => `${label} is a text, it has no ${quote(path[0])}`);
  }
  return unknownColumn(name, attribute.at, environment);
}

function unlessMasked({ isMasked }: Environment, label: string, read: Evaluator): Evaluator {
  if (isMasked === undefined) return read;
  return (scope) => {
    const value = read(scope);
    if (value === fault || !isMasked(value, scope)) return value;
    return scope.fail('masked_attribute', () => `${label} is masked, or a part of it that is read`);
  };
}

function unknownColumn(name: string, at: number, environment: Environment): Evaluator {
  const message = `there is no column ${cut(authorsName(name))}`;
  const hint = columnHint(name, environment);
  const of = /^([rp])\d*_/.exec(name)?.[1] as 'r' | 'p' | undefined;
  environment.report({ code: 'unknown_column', message, at, of, ...(hint !== undefined && { hint }) });
  return (scope) => scope.fail('unknown_column', () => message);
}

function compileBinary(
  binary: Extract<Expression, { kind: 'binary' }>,
  environment: Environment,
  compile: (expression: Expression) => Evaluator,
): Evaluator {
  const { operator, left, right } = binary;
  if (operator === '==') return compileEquality(compile(left), compile(right));
  if (operator === '=~' || operator === '!~') {
    // The operators `=~` and `!~` are `regexMatch`, except that a list is an operand of the wrong type here.
    const compileText = (operand: Expression): Evaluator => {
      const textOf = compile(operand);
      return (scope) => {
        const value = textOf(scope);
        if (value === fault || typeof value === 'string') return value;
        return scope.fail('type_mismatch', () => `${quote(operator)} wants texts, not ${describeValue(value)}`);
      };
    };
    const call = compileCall(
      { kind: 'call', name: 'regexMatch', args: [left, right], at: binary.at },
      environment,
      compileText,
    );
    if (operator === '=~') return call;
    return (scope) => {
      const matches = call(scope);
      return matches === fault ? fault : !matches;
    };
  }
  const leftOf = compile(left);
  const rightOf = compile(right);
  const operation = binaryOperations[operator];
  return (scope) => {
    const a = leftOf(scope);
    if (a === fault) return fault;
    const b = rightOf(scope);
    return b === fault ? fault : operation(a, b, scope);
  };
}

function compileEquality(leftOf: Evaluator, rightOf: Evaluator): Evaluator {
  return (scope) => {
    const left = leftOf(scope);
    if (left === fault) return fault;
    const right = rightOf(scope);
    if (right === fault) return fault;
    if (typeof left === 'object') return sameValue(left, right, scope);
    if (typeof left === 'string' && left.length > longText) scope.spend(stepsForText(left.length));
    return left === right;
  };
}

/** `&&` and `||`: the right side is not evaluated if the left one decides. */
function compileLogical(leftOf: Evaluator, rightOf: Evaluator, operator: string, decisive: boolean): Evaluator {
  return (scope) => {
    const left = leftOf(scope);
    if (left === fault || left === decisive) return left;
    const right = rightOf(scope);
    if (right === fault) return fault;
    if (typeof left !== 'boolean') return operandError(scope, operator, left, 'true or false');
    return typeof right === 'boolean' ? right : operandError(scope, operator, right, 'true or false');
  };
}

/** `(a, b)`. If the first item is a list, the others are appended to its items, as in the reference. */
function compileList(items: readonly Evaluator[]): Evaluator {
  return (scope: Scope): Outcome => {
    const list: Json[] = [];
    for (const [index, item] of items.entries()) {
      const value = item(scope);
      if (value === fault) return fault;
      if (index === 0 && Array.isArray(value)) {
        scope.spend(value.length);
        for (const member of value) list.push(member);
      } else {
        list.push(value);
      }
    }
    return list;
  };
}
