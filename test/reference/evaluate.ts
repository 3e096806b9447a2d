/** The value of an expression, by walking its tree. */
import type { Expression, Value } from './expression.js';
import { compile, EvaluationError, getters, matchings } from './functions.js';

export interface Surroundings {
  /** The value of a whole column, `r_sub` or `p_obj`. */
  column(name: string): Value;
  /** Functions beyond the built-ins: roles, `eval`, the caller's own. */
  call(name: string, args: readonly Value[]): Value;
}

export function evaluate(node: Expression, around: Surroundings): Value {
  switch (node.kind) {
    case 'literal':
      return node.value;
    case 'group':
      return evaluate(node.inner, around);
    case 'variable':
      return node.path.reduce(attribute, around.column(node.name));
    case 'call':
      return callFunction(node.name, node.argument, around);
    case 'prefix':
      return prefix(node.operator, evaluate(node.operand, around));
    case 'binary':
      return binary(node, around);
  }
}

/** Own data only: a list has no `length`, an object no `constructor`. */
function attribute(value: Value, name: string): Value {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new EvaluationError('not_an_object', `no attribute "${name}" in a value that is no object`);
  }
  if (!Object.hasOwn(value, name)) throw new EvaluationError('missing_attribute', `no attribute "${name}"`);
  return value[name]!;
}

function callFunction(name: string, argument: Expression | null, around: Surroundings): Value {
  if (name === 'eval' && argument !== null && !isPolicyText(argument)) {
    throw new EvaluationError('eval_of_request', 'what comes with the request is never parsed');
  }
  const args = argument === null ? [] : argumentsOf(argument, around);
  const matching = Object.hasOwn(matchings, name) ? matchings[name] : undefined;
  const getter = Object.hasOwn(getters, name) ? getters[name] : undefined;
  if (matching === undefined && getter === undefined) return around.call(name, args);
  const texts = requireTexts(name, args, matching || name === 'keyGet' ? 2 : 3);
  return matching ? matching(texts[0]!, texts[1]!) : getter!(...texts);
}

/** True for expressions of columns of the rule and literals only. */
function isPolicyText(node: Expression): boolean {
  switch (node.kind) {
    case 'literal':
      return true;
    case 'variable':
      return node.name.startsWith('p') && node.path.length === 0;
    case 'call':
      return false;
    case 'group':
      return isPolicyText(node.inner);
    case 'prefix':
      return isPolicyText(node.operand);
    case 'binary':
      return isPolicyText(node.left) && isPolicyText(node.right);
  }
}

/** One value for each comma. In Casbin a list from the request in the first place becomes several arguments. */
function argumentsOf(node: Expression, around: Surroundings): Value[] {
  if (node.kind !== 'binary' || node.operator !== ',') return [evaluate(node, around)];
  return [...argumentsOf(node.left, around), evaluate(node.right, around)];
}

export function requireTexts(name: string, args: readonly Value[], count?: number): string[] {
  if (count !== undefined && args.length !== count) {
    throw new EvaluationError('wrong_argument_count', `${name} takes ${count} arguments, not ${args.length}`);
  }
  return args.map((arg) => {
    if (typeof arg !== 'string') throw new EvaluationError('type_mismatch', `${name} takes strings`);
    return arg;
  });
}

function prefix(operator: string, value: Value): Value {
  switch (operator) {
    case '!':
      return !requireBoolean(value, '!');
    case '-':
      return -requireNumber(value, '-');
    default:
      return Number(~integer(requireNumber(value, '~')));
  }
}

function binary(node: Expression & { kind: 'binary' }, around: Surroundings): Value {
  const { operator } = node;
  const left = evaluate(node.left, around);
  if (operator === '&&' && left === false) return false;
  if (operator === '||' && left === true) return true;
  if (operator === '?' && left === false) return null;
  // `a ? b : c` is `(a ? b) : c`, and the colon takes its right side when the left is null, as `??` does.
  if ((operator === ':' || operator === '??') && left !== null) return left;

  const right = evaluate(node.right, around);
  switch (operator) {
    case ',':
      return Array.isArray(left) ? [...left, right] : [left, right];
    case '&&':
    case '||':
      requireBoolean(left, operator);
      return requireBoolean(right, operator);
    case '?':
      requireBoolean(left, '?');
      return right;
    case ':':
    case '??':
      return right;
    case '==':
      return sameValue(left, right);
    case '!=':
      return !sameValue(left, right);
    case 'in':
      return isIn(left, node.right, right);
    case '=~':
      return findsPattern(left, right);
    case '!~':
      return !findsPattern(left, right);
    case '<':
      return order(left, right) < 0;
    case '<=':
      return order(left, right) <= 0;
    case '>':
      return order(left, right) > 0;
    case '>=':
      return order(left, right) >= 0;
    case '+':
      if (typeof left === 'string' || typeof right === 'string') return goText(left) + goText(right);
      return arithmetic(operator, requireNumber(left, operator), requireNumber(right, operator));
    default:
      return arithmetic(operator, requireNumber(left, operator), requireNumber(right, operator));
  }
}

function requireBoolean(value: Value, operator: string): boolean {
  if (typeof value !== 'boolean') throw new EvaluationError('type_mismatch', `${operator} takes booleans`);
  return value;
}

function requireNumber(value: Value, operator: string): number {
  if (typeof value !== 'number') throw new EvaluationError('type_mismatch', `${operator} takes numbers`);
  return value;
}

/** Two numbers or two strings; strings by code point. NaN has no order, so every comparison with it is false. */
function order(left: Value, right: Value): number {
  if (typeof left === 'number' && typeof right === 'number') return left < right ? -1 : left > right ? 1 : left - right;
  if (typeof left === 'string' && typeof right === 'string')
    return Buffer.compare(Buffer.from(left), Buffer.from(right));
  throw new EvaluationError('type_mismatch', 'only two numbers or two strings have an order');
}

/** Type and value agree; lists and objects by content. */
export function sameValue(left: Value, right: Value): boolean {
  if (left === null || right === null || typeof left !== 'object' || typeof right !== 'object') return left === right;
  if (Array.isArray(left) || Array.isArray(right)) {
    if (!Array.isArray(left) || !Array.isArray(right)) return false;
    return left.length === right.length && left.every((item, i) => sameValue(item, right[i]!));
  }
  const names = Object.keys(left);
  return (
    names.length === Object.keys(right).length &&
    names.every((name) => Object.hasOwn(right, name) && sameValue(left[name]!, right[name]!))
  );
}

function isIn(item: Value, node: Expression, list: Value): boolean {
  // One literal in parentheses is a list of one; anything else in them must be a list by itself.
  const items = node.kind === 'group' && node.inner.kind === 'literal' ? [list] : list;
  if (!Array.isArray(items)) throw new EvaluationError('type_mismatch', '"in" takes a list');
  return items.some((candidate) => {
    if (item !== null && typeof item === 'object' && candidate !== null && typeof candidate === 'object') {
      if (Array.isArray(item) === Array.isArray(candidate)) {
        throw new EvaluationError('type_mismatch', '"in" does not compare lists or objects');
      }
    }
    return item === candidate;
  });
}

function findsPattern(text: Value, pattern: Value): boolean {
  if (typeof text !== 'string' || typeof pattern !== 'string') {
    throw new EvaluationError('type_mismatch', 'a pattern and its text must be strings');
  }
  return compile(pattern).matcher(text).find();
}

function arithmetic(operator: string, left: number, right: number): number {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return left / right;
    case '%':
      return left % right;
    case '**':
      return left ** right;
    case '&':
      return Number(integer(left) & integer(right));
    case '|':
      return Number(integer(left) | integer(right));
    case '^':
      return Number(integer(left) ^ integer(right));
    case '<<':
      return unsigned(right) > 63n ? 0 : Number(BigInt.asUintN(64, unsigned(left) << unsigned(right)));
    case '>>':
      return unsigned(right) > 63n ? 0 : Number(unsigned(left) >> unsigned(right));
    default:
      throw new Error(`not an operator: ${operator}`);
  }
}

/** The 64-bit integer that Go's conversion gives where it is defined: the fraction is cut off. */
function integer(number: number): bigint {
  if (!Number.isFinite(number) || Math.abs(number) >= 2 ** 63) return -(2n ** 63n);
  return BigInt(Math.trunc(number));
}

/** Shifts take their operands as unsigned, so that a negative number is a very large one. */
function unsigned(number: number): bigint {
  return number >= 2 ** 63 && number < 2 ** 64 ? BigInt(number) : BigInt.asUintN(64, integer(number));
}

/** How Go's `%v` writes a value, which is what `+` joins. */
export function goText(value: Value): string {
  if (value === null) return '<nil>';
  if (typeof value === 'number') return goNumber(value);
  if (typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return `[${value.map(goText).join(' ')}]`;
  const names = Object.keys(value).sort();
  return `map[${names.map((name) => `${name}:${goText(value[name]!)}`).join(' ')}]`;
}

function goNumber(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (Object.is(value, -0)) return '-0';
  const [digits = '', exponent = '0'] = value.toExponential().split('e');
  const power = Number(exponent);
  if (value === 0 || (power >= -4 && power < 6)) return String(value);
  return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}
