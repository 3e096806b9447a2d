/** Conditions that do not depend on the request: always true, or never. */
import type { Expression } from '../matcher/ast.js';
import { conjunction } from '../matcher/program.js';
import { compareStrings, sameValue } from '../matcher/values.js';
import type { Json } from '../request.js';
import { columnUses } from './column-use.js';
import { type Check, type LintedSet, rulesPerStep } from './linted-set.js';

export function* findConstantConditions(set: LintedSet): Check {
  const { main } = set;
  const uses = columnUses(main);
  const conditions = uses.flatMap((use, column) => (use.kind === 'condition' ? [column] : []));
  const equalities = uses.flatMap((use, column) => (use.kind === 'equal' ? [{ ...use, column }] : []));
  for (const [index, rule] of (conditions.length === 0 ? [] : set.rules).entries()) {
    if (index % rulesPerStep === 0) yield;
    // Where the condition is looked at, the columns that must be equal are.
    const known = new Map<string, Json>();
    for (const { token, column, always } of equalities) {
      const text = rule.fields[column] ?? '';
      if (text !== always) known.set(`${main.request.key}_${token}`, text);
    }
    for (const column of conditions) {
      const text = rule.fields[column] ?? '';
      const condition = main.conditions.find(text);
      // A rule without a condition has `true`.
      if (condition.run === undefined || text.trim() === 'true') continue;
      const truth = truthOf(condition.expression, known);
      if (truth === undefined) continue;
      const message = truth
        ? 'the condition is always true, or an error'
        : 'the condition is never true: the rule never applies';
      const code = truth ? 'condition_always_true' : 'condition_always_false';
      yield { severity: 'warning', code, message, ...set.places.ofField(rule, column) };
    }
  }
}

/**
 * True or false if an expression has this value for every request; otherwise undefined. Errors are not considered:
 * `r.sub.age == r.sub.age` is true where there is an age.
 */
export function truthOf(expression: Expression, known: ReadonlyMap<string, Json> = new Map()): boolean | undefined {
  switch (expression.kind) {
    case 'literal':
      return typeof expression.value === 'boolean' ? expression.value : undefined;
    case 'unary': {
      const truth = expression.operator === '!' ? truthOf(expression.operand, known) : undefined;
      return truth === undefined ? undefined : !truth;
    }
    case 'and':
      return conjunctionTruth(conjunction(expression), known);
    case 'or': {
      const left = truthOf(expression.left, known);
      const right = truthOf(expression.right, known);
      if (left === true || right === true || isNegation(expression.left, expression.right)) return true;
      return left === false && right === false ? false : undefined;
    }
    case 'binary':
      return comparisonTruth(expression, known);
    case 'in': {
      const value = constantOf(expression.left, known);
      const list =
        expression.right.kind === 'list' ? expression.right.items.map((item) => constantOf(item, known)) : [];
      if (value === undefined || list.length === 0 || list.includes(undefined)) return undefined;
      return list.some((item) => sameValue(item as Json, value));
    }
    default:
      return undefined;
  }
}

function conjunctionTruth(terms: readonly Expression[], known: ReadonlyMap<string, Json>): boolean | undefined {
  const truths = terms.map((term) => truthOf(term, known));
  if (truths.includes(false)) return false;
  if (truths.every((truth) => truth === true)) return true;
  for (const [index, term] of terms.entries()) {
    if (terms.slice(index + 1).some((other) => isNegation(term, other))) return false;
  }
  return isContradiction(terms, known) ? false : undefined;
}

/** `a` and `!a`. */
function isNegation(left: Expression, right: Expression): boolean {
  if (left.kind === 'unary' && left.operator === '!' && isSame(left.operand, right)) return true;
  return right.kind === 'unary' && right.operator === '!' && isSame(right.operand, left);
}

type Comparison = Extract<Expression, { kind: 'binary' }>;

function comparisonTruth({ operator, left, right }: Comparison, known: ReadonlyMap<string, Json>): boolean | undefined {
  const [a, b] = [constantOf(left, known), constantOf(right, known)];
  if (a !== undefined && b !== undefined) return holds(operator, a, b);
  if (left.kind === 'call' || !isSame(left, right)) return undefined;
  if (['==', '<=', '>='].includes(operator)) return true;
  return ['!=', '<', '>'].includes(operator) ? false : undefined;
}

function holds(operator: string, a: Json, b: Json): boolean | undefined {
  if (operator === '==') return sameValue(a, b);
  if (operator === '!=') return !sameValue(a, b);
  const order =
    typeof a === 'number' && typeof b === 'number'
      ? a - b
      : typeof a === 'string' && typeof b === 'string'
        ? compareStrings(a, b)
        : undefined;
  if (order === undefined) return undefined;
  switch (operator) {
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
    default:
      return undefined;
  }
}

function constantOf(expression: Expression, known: ReadonlyMap<string, Json>): Json | undefined {
  if (expression.kind === 'literal') return expression.value;
  return expression.kind === 'column' ? known.get(expression.name) : undefined;
}

const mirrored: Readonly<Record<string, string>> = {
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
  '==': '==',
  '!=': '!=',
};

/** Comparisons of one path with constants that no value meets: `x == 1 && x == 2`, `x > 5 && x < 3`. */
function isContradiction(terms: readonly Expression[], known: ReadonlyMap<string, Json>): boolean {
  const byPath = new Map<string, { readonly operator: string; readonly value: Json }[]>();
  for (const term of terms) {
    if (term.kind !== 'binary') continue;
    const [path, constant] = isPath(term.left) ? [term.left, term.right] : [term.right, term.left];
    const value = constantOf(constant, known);
    const operator = path === term.left ? term.operator : mirrored[term.operator];
    if (!isPath(path) || value === undefined || operator === undefined) continue;
    const key = keyOf(path);
    byPath.set(key, [...(byPath.get(key) ?? []), { operator, value }]);
  }
  return [...byPath.values()].some((comparisons) =>
    comparisons.some((first, index) => comparisons.slice(index + 1).some((second) => excludes(first, second))),
  );
}

interface Bound {
  readonly operator: string;
  readonly value: Json;
}

/** Whether no value meets both. */
function excludes(first: Bound, second: Bound): boolean {
  if (first.operator === '==') return holds(second.operator, first.value, second.value) === false;
  if (second.operator === '==') return holds(first.operator, second.value, first.value) === false;
  const isLower = ({ operator }: Bound): boolean => operator.startsWith('>');
  const isUpper = ({ operator }: Bound): boolean => operator.startsWith('<');
  const [lower, upper] = isLower(first) ? [first, second] : [second, first];
  if (!isLower(lower) || !isUpper(upper)) return false;
  const strict = lower.operator === '>' || upper.operator === '<';
  return holds(strict ? '<' : '<=', lower.value, upper.value) === false;
}

function isPath(expression: Expression): boolean {
  return expression.kind === 'column' || expression.kind === 'attribute';
}

function isSame(left: Expression, right: Expression): boolean {
  return keyOf(left) === keyOf(right);
}

/** The expression without its places. */
function keyOf(expression: Expression): string {
  return JSON.stringify(expression, (name, value: unknown) => (name === 'at' ? undefined : value));
}
