/** A tree back to text, as an author would write it: for explanations and for tests of the parser. */
import type { Json } from '../request.js';
import type { Expression } from './ast.js';
import { authorsName } from './source-text.js';

/** How tightly each kind binds; the parser's levels, from the loosest. */
const tightness: Readonly<Record<string, number>> = {
  ',': 0,
  '?': 1,
  ':': 1,
  '||': 2,
  '&&': 3,
  '==': 4,
  '!=': 4,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  '=~': 4,
  '!~': 4,
  in: 4,
  '&': 5,
  '|': 5,
  '^': 5,
  '<<': 6,
  '>>': 6,
  '+': 7,
  '-': 7,
  '*': 8,
  '/': 8,
  '%': 8,
  '**': 9,
};
const prefixed = 10;
const operand = 11;

/**
 * The text of an expression, with parentheses only where they are needed.
 *
 *     printExpression(parse('(r.sub == p.sub) && g(r.sub, "x")'))   // r.sub == p.sub && g(r.sub, "x")
 */
export function printExpression(expression: Expression): string {
  return printWith(inMatcher)(expression, 0);
}

/** As `printExpression`, for the text of a condition: a backslash escapes what stands behind it there. */
export function printCondition(expression: Expression): string {
  return printWith(inCondition)(expression, 0);
}

type Quoted = (text: string) => string;
type Print = (expression: Expression, least: number) => string;

// A literal cannot hold either quote; a backslash stands for itself in a matcher.
const inMatcher: Quoted = (text) => (text.includes('"') ? JSON.stringify(text) : `"${text}"`);
const inCondition: Quoted = (text) => `"${text.replaceAll(/[\\"]/g, '\\$&')}"`;

function printWith(quoted: Quoted): Print {
  const print: Print = (expression, least) => {
    const [text, level] = printBare(expression, print, quoted);
    return level < least ? `(${text})` : text;
  };
  return print;
}

function printBare(expression: Expression, print: Print, quoted: Quoted): [text: string, level: number] {
  const infix = (operator: string, left: Expression, right: Expression): [string, number] => {
    // All levels bind from the left: the right side needs parentheses unless it binds tighter.
    const level = tightness[operator] as number;
    return [`${print(left, level)} ${operator} ${print(right, level + 1)}`, level];
  };
  switch (expression.kind) {
    case 'literal':
      return [
        printLiteral(expression.value, quoted),
        typeof expression.value === 'number' && expression.value < 0 ? prefixed : operand,
      ];
    case 'column':
      return [authorsName(expression.name), operand];
    case 'attribute':
      return [[authorsName(expression.name), ...expression.path].join('.'), operand];
    case 'unary':
      return [`${expression.operator}${print(expression.operand, operand)}`, prefixed];
    case 'binary':
      return infix(expression.operator, expression.left, expression.right);
    case 'in': {
      const { left, right } = expression;
      // The one place where parentheses around a single literal make a list.
      if (right.kind !== 'list' || right.items.length !== 1 || right.items[0]?.kind !== 'literal')
        return infix('in', left, right);
      return [`${print(left, 4)} in (${print(right.items[0], 1)})`, 4];
    }
    case 'and':
      return infix('&&', expression.left, expression.right);
    case 'or':
      return infix('||', expression.left, expression.right);
    case 'then':
      return infix('?', expression.condition, expression.value);
    case 'otherwise':
      return infix(':', expression.value, expression.fallback);
    case 'list': {
      const items = expression.items.map((item) => print(item, 1)).join(', ');
      return [expression.items.length < 2 ? `[${items}]` : `(${items})`, operand];
    }
    case 'call':
      return [`${expression.name}(${expression.args.map((argument) => print(argument, 1)).join(', ')})`, operand];
    case 'quantified': {
      const { quantifier, list, condition } = expression;
      return [`${quantifier}(${print(list, 1)}, ${print(condition, 1)})`, operand];
    }
    case 'item':
      return [['it', ...expression.path].join('.'), operand];
    default:
      return expression satisfies never;
  }
}

/** What a value of a request was put in for may be anything: no two values are printed alike. */
function printLiteral(value: Json, quoted: Quoted): string {
  if (value === null) return '()';
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) {
    const items = value.map((item) => printLiteral(item, quoted)).join(', ');
    return value.length < 2 ? `[${items}]` : `(${items})`;
  }
  if (typeof value === 'object') return JSON.stringify(value);
  return typeof value === 'string' ? quoted(value) : String(value);
}
