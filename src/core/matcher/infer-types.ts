/** What types an expression has, and where they cannot be right. It converts nothing, as the language does not. */

import { cut } from '../quote.js';
import type { BinaryOperator, Expression } from './ast.js';
import type { Environment } from './environment.js';
import type { FunctionDefinition, Parameter } from './functions/function-definition.js';
import { printExpression } from './print.js';
import {
  anyType,
  booleanType,
  describeTypes,
  listType,
  nullType,
  numberType,
  objectType,
  type Types,
  textType,
  typeOf,
} from './value-types.js';

/** Something that is an error, or never true, whatever the request is. */
export interface TypeFault {
  readonly code: 'wrong_operand' | 'never_true' | 'not_a_condition' | 'member_of_text';
  readonly message: string;
  readonly hint: string;
  readonly at: number;
}

export interface KnownTypes {
  readonly environment: Environment;
  /** Types of a column of the request, as a value. */
  ofColumn(name: string): Types;
  ofAttribute(name: string, path: readonly string[]): Types;
  report(fault: TypeFault): void;
}

const orders: ReadonlySet<BinaryOperator> = new Set(['<', '<=', '>', '>=']);

/** The types that an expression can have where it does not err. Each mistake is reported once, where it stands. */
export function inferTypes(expression: Expression, known: KnownTypes): Types {
  const infer = (part: Expression): Types => inferTypes(part, known);
  switch (expression.kind) {
    case 'literal':
      return typeOf(expression.value);
    case 'column':
      return known.environment.policyColumns.has(expression.name) ? textType : known.ofColumn(expression.name);
    case 'attribute':
      return attributeTypes(expression, known);
    case 'unary': {
      const wanted = expression.operator === '!' ? booleanType : numberType;
      wants(expression.operator, expression.operand, wanted, known);
      return wanted;
    }
    case 'binary':
      return binaryTypes(expression, known);
    case 'in':
      return membershipTypes(expression, known);
    case 'and':
    case 'or': {
      const operator = expression.kind === 'and' ? '&&' : '||';
      wants(operator, expression.left, booleanType, known);
      wants(operator, expression.right, booleanType, known);
      return booleanType;
    }
    case 'then':
      wants('?', expression.condition, booleanType, known);
      return infer(expression.value) | nullType;
    case 'otherwise': {
      const value = infer(expression.value);
      return (value & ~nullType) | infer(expression.fallback);
    }
    case 'list':
      for (const item of expression.items) infer(item);
      return listType;
    case 'call':
      return callTypes(expression, known);
    case 'quantified':
      wants(`${expression.quantifier}()`, expression.list, listType, known);
      wants(`${expression.quantifier}()`, expression.condition, booleanType, known);
      return expression.quantifier === 'count' ? numberType : booleanType;
    case 'item':
      return anyType;
    default:
      return expression satisfies never;
  }
}

/** Reports an operand that cannot have a type that is wanted. */
function wants(operator: string, operand: Expression, wanted: Types, known: KnownTypes): void {
  const types = inferTypes(operand, known);
  if ((types & wanted) !== 0) return;
  const isCondition = wanted === booleanType;
  known.report({
    code: isCondition ? 'not_a_condition' : 'wrong_operand',
    message: `${operator} wants ${describeTypes(wanted)}, and ${textOf(operand)} is ${describeTypes(types)}`,
    hint: isCondition
      ? 'a condition is a comparison, a call that is true or false, or both with &&, || and !'
      : hintFor(types, wanted),
    at: operand.at,
  });
}

function attributeTypes({ name, path, at }: Extract<Expression, { kind: 'attribute' }>, known: KnownTypes): Types {
  if (!known.environment.policyColumns.has(name)) return known.ofAttribute(name, path);
  const column = textOf({ kind: 'column', name, at });
  known.report({
    code: 'member_of_text',
    message: `${column} is a text of the rule, so it has no ${cut(path.join('.'))}`,
    hint: 'attributes are those of the request, such as r.obj.owner',
    at,
  });
  return anyType;
}

function binaryTypes(expression: Extract<Expression, { kind: 'binary' }>, known: KnownTypes): Types {
  const { operator, left, right, at } = expression;
  if (operator === '=~' || operator === '!~') {
    wants(operator, left, textType, known);
    wants(operator, right, textType, known);
    return booleanType;
  }
  const isOrder = orders.has(operator);
  if (isOrder || operator === '==' || operator === '!=' || operator === '+') {
    const [a, b] = [inferTypes(left, known), inferTypes(right, known)];
    if (operator === '+') return sumTypes(expression, a, b, known);
    const common = isOrder ? a & b & (numberType | textType) : a & b;
    // One that is always true may be a guard: `r.obj.owner != ()`.
    if (common !== 0 || operator === '!=') return booleanType;
    const isChain = isOrder && left.kind === 'binary' && orders.has(left.operator);
    const sides = `${textOf(left)} is ${describeTypes(a)}, ${textOf(right)} ${describeTypes(b)}`;
    known.report({
      code: isOrder ? 'wrong_operand' : 'never_true',
      message: isOrder ? `${operator} wants two numbers or two texts: ${sides}` : `== is always false: ${sides}`,
      hint: isChain ? 'a chain is written a < b && b < c' : hintFor(a, b),
      at,
    });
    return booleanType;
  }
  wants(operator, left, numberType, known);
  wants(operator, right, numberType, known);
  return numberType;
}

function sumTypes(
  { left, right, at }: Extract<Expression, { kind: 'binary' }>,
  a: Types,
  b: Types,
  known: KnownTypes,
): Types {
  if (((a | b) & textType) === 0 && (a & b & numberType) === 0) {
    known.report({
      code: 'wrong_operand',
      message: `+ wants two numbers or a text: ${textOf(left)} is ${describeTypes(a)}, ${textOf(right)} ${describeTypes(b)}`,
      hint: 'lists are asked with contains, subset, intersects, any, all and count',
      at,
    });
  }
  if (a === textType || b === textType) return textType;
  return a === numberType && b === numberType ? numberType : numberType | textType;
}

function membershipTypes({ left, right, at }: Extract<Expression, { kind: 'in' }>, known: KnownTypes): Types {
  const value = inferTypes(left, known);
  if (right.kind !== 'list') {
    const types = inferTypes(right, known);
    if ((types & listType) !== 0) return booleanType;
    const hint =
      types === textType ? 'contains(text, part) looks into a text; a list is ("a", "b")' : 'a list is ("a", "b")';
    const message = `in wants a list, and ${textOf(right)} is ${describeTypes(types)}`;
    known.report({ code: 'wrong_operand', message, hint, at: right.at });
    return booleanType;
  }
  const items = right.items.map((item) => inferTypes(item, known));
  // The items of a list that comes first are items of the whole.
  const first = (items[0] ?? 0) & listType ? anyType : 0;
  const types = items.reduce((sum, each) => sum | each, first);
  if (items.length > 0 && (types & value) === 0) {
    const message = `in is always false: ${textOf(left)} is ${describeTypes(value)}, and the list has ${describeTypes(types)} alone`;
    known.report({ code: 'never_true', message, hint: hintFor(value, types), at });
  }
  return booleanType;
}

function callTypes(call: Extract<Expression, { kind: 'call' }>, known: KnownTypes): Types {
  const { roles, customFunctions, functions } = known.environment;
  const { name, args } = call;
  if (name === 'has') return booleanType;
  if (roles.has(name)) {
    for (const argument of args) wants(`${name}()`, argument, textType, known);
    return booleanType;
  }
  const definition = customFunctions.has(name) ? undefined : functions.get(name);
  if (definition !== undefined) {
    for (const [index, argument] of args.entries()) {
      wants(`${name}()`, argument, parameterTypes(definition.parameters[index]), known);
    }
    return returnTypes(definition);
  }
  for (const argument of args) inferTypes(argument, known);
  return name === 'hasRole' && !customFunctions.has(name) ? booleanType : anyType;
}

function parameterTypes(parameter: Parameter | undefined): Types {
  switch (parameter?.type) {
    case 'string':
      return textType;
    case 'number':
      return numberType;
    case 'boolean':
      return booleanType;
    case 'list':
      return listType;
    default:
      return anyType;
  }
}

function returnTypes({ returns }: FunctionDefinition): Types {
  return { string: textType, number: numberType, boolean: booleanType, list: listType }[returns];
}

function hintFor(one: Types, other: Types): string {
  if ((one | other) === (textType | numberType)) {
    return 'nothing is converted: number(p.limit) is the number in a text, text(r.obj.level) the text of a number';
  }
  if (((one | other) & (listType | textType)) === (listType | textType))
    return 'x in list, contains(list, x) and any(list, it == x) ask a list';
  if (((one | other) & objectType) !== 0) return 'compare a member of it, such as r.obj.owner.id';
  return 'nothing is converted: the types must be the same';
}

function textOf(expression: Expression): string {
  return cut(printExpression(expression));
}
