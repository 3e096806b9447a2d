/** A matcher or condition as a tree. `at` is an offset into the author's text. */
import type { Json } from '../request.js';

export type BinaryOperator =
  | '=='
  | '!='
  | '<'
  | '<='
  | '>'
  | '>='
  | '=~'
  | '!~'
  | '+'
  | '-'
  | '*'
  | '/'
  | '%'
  | '**'
  | '&'
  | '|'
  | '^'
  | '<<'
  | '>>';

export type Expression =
  | { readonly kind: 'literal'; readonly value: Json; readonly at: number }
  /** A column, in Casbin's inner spelling: `r_sub`, `p2_obj`. */
  | { readonly kind: 'column'; readonly name: string; readonly at: number }
  /** An attribute of a column: `r_sub` and `['address', 'city']`. */
  | { readonly kind: 'attribute'; readonly name: string; readonly path: readonly string[]; readonly at: number }
  | { readonly kind: 'unary'; readonly operator: '-' | '!' | '~'; readonly operand: Expression; readonly at: number }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
      readonly at: number;
    }
  | { readonly kind: 'in'; readonly left: Expression; readonly right: Expression; readonly at: number }
  | { readonly kind: 'and'; readonly left: Expression; readonly right: Expression; readonly at: number }
  | { readonly kind: 'or'; readonly left: Expression; readonly right: Expression; readonly at: number }
  /** `condition ? value`: the value, or null when the condition is false. */
  | { readonly kind: 'then'; readonly condition: Expression; readonly value: Expression; readonly at: number }
  /** `value : fallback` and `value ?? fallback`: the fallback where the value is null. */
  | { readonly kind: 'otherwise'; readonly value: Expression; readonly fallback: Expression; readonly at: number }
  | { readonly kind: 'list'; readonly items: readonly Expression[]; readonly at: number }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[]; readonly at: number }
  /** `any(list, condition)`: `condition` is asked of each item of the list. */
  | {
      readonly kind: 'quantified';
      readonly quantifier: Quantifier;
      readonly list: Expression;
      readonly condition: Expression;
      readonly at: number;
    }
  /** `it`, or `it.address.city`, in the condition of `any`, `all` or `count`. */
  | { readonly kind: 'item'; readonly path: readonly string[]; readonly at: number };

export type Quantifier = 'any' | 'all' | 'count';

/** Calls `visit` for the expression and everything in it, outer first. */
export function walk(expression: Expression, visit: (expression: Expression) => void): void {
  visit(expression);
  for (const child of childrenOf(expression)) walk(child, visit);
}

export function childrenOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'literal':
    case 'column':
    case 'attribute':
    case 'item':
      return [];
    case 'unary':
      return [expression.operand];
    case 'binary':
    case 'in':
    case 'and':
    case 'or':
      return [expression.left, expression.right];
    case 'then':
      return [expression.condition, expression.value];
    case 'otherwise':
      return [expression.value, expression.fallback];
    case 'list':
      return expression.items;
    case 'call':
      return expression.args;
    case 'quantified':
      return [expression.list, expression.condition];
    default:
      return expression satisfies never;
  }
}

/** The expression as if all of it stood at one offset: what a name is defined as, where the name stands. */
export function relocated(expression: Expression, at: number): Expression {
  const inner = (part: Expression): Expression => relocated(part, at);
  switch (expression.kind) {
    case 'literal':
    case 'column':
    case 'attribute':
    case 'item':
      return { ...expression, at };
    case 'unary':
      return { ...expression, operand: inner(expression.operand), at };
    case 'binary':
    case 'in':
    case 'and':
    case 'or':
      return { ...expression, left: inner(expression.left), right: inner(expression.right), at };
    case 'then':
      return { ...expression, condition: inner(expression.condition), value: inner(expression.value), at };
    case 'otherwise':
      return { ...expression, value: inner(expression.value), fallback: inner(expression.fallback), at };
    case 'list':
      return { ...expression, items: expression.items.map(inner), at };
    case 'call':
      return { ...expression, args: expression.args.map(inner), at };
    case 'quantified':
      return { ...expression, list: inner(expression.list), condition: inner(expression.condition), at };
    default:
      return expression satisfies never;
  }
}
