/** Steps for running an expression, from its form alone. Calls and long values count the rest while they run. */
import type { Json } from '../request.js';
import { type BinaryOperator, childrenOf, type Expression } from './ast.js';

/** Reading a value. */
const stepsPerNode = 1;
/** A look-up by name. */
const stepsPerPathStep = 3;
/** Converting numbers to 64-bit integers and back. */
const stepsPerBitOperation = 40;
const stepsPerOperation = 2;
const stepsPerCall = 8;
const stepsPerList = 8;

const bitOperators: ReadonlySet<BinaryOperator> = new Set(['&', '|', '^', '<<', '>>']);

/** Both sides of `||` and `?` count, although one may not be evaluated. */
export function expressionSteps(expression: Expression): number {
  // A list of literals is made once.
  if (expression.kind === 'in' && constantList(expression.right) !== undefined) {
    return stepsPerOperation + expressionSteps(expression.left);
  }
  // The condition counts with each item.
  if (expression.kind === 'quantified') return stepsPerCall + expressionSteps(expression.list);
  let steps = nodeSteps(expression);
  for (const child of childrenOf(expression)) steps += expressionSteps(child);
  return steps;
}

/** The values of a list of literals; undefined for any other expression. */
export function constantList(expression: Expression): readonly Json[] | undefined {
  if (expression.kind !== 'list') return undefined;
  const values: Json[] = [];
  for (const item of expression.items) {
    // A list that comes first is not an item: its items are.
    if (item.kind !== 'literal' || typeof item.value === 'object') return undefined;
    values.push(item.value);
  }
  return values;
}

function nodeSteps(part: Expression): number {
  switch (part.kind) {
    case 'attribute':
    case 'item':
      return stepsPerNode + stepsPerPathStep * part.path.length;
    case 'unary':
      return part.operator === '~' ? stepsPerBitOperation : stepsPerOperation;
    case 'binary':
      return bitOperators.has(part.operator) ? stepsPerBitOperation : stepsPerOperation;
    case 'call':
      return stepsPerCall;
    case 'list':
      return stepsPerList;
    default:
      return stepsPerNode;
  }
}
