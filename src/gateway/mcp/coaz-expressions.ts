/**
 * The expressions of COAZ mappings: Common Expression Language over `params` and `token` (COAZ framework, section "The Expression
 * Contract"). Who writes them is the server whose tools they are of, so they are bounded: in their size, in what they may run
 * through, and in what they may call.
 */
import { type ASTNode, Environment, Optional } from '@marcbachmann/cel-js';
import type { Json, JsonObject } from '../../core/request.js';

/** What expressions see. */
export interface MappingInputs {
  /** Of the JSON-RPC request. */
  readonly params: JsonObject;
  /** Claims of the verified token. */
  readonly token: JsonObject;
}

/** Why no question can be made: a mapping, or a call that does not fit it. */
export class MappingError extends Error {
  override readonly name = 'MappingError';
}

/** Stands for a value that is left out, such as that of `token.?client_id` without such a claim. */
export const absent = Symbol('absent');

const longestExpression = 2_000;
/** Most values that the loops of an expression may run through. */
const mostLooped = 100_000;
/** Most compiled expressions that are remembered. */
const mostCompiled = 1_000;

const environment = new Environment({
  enableOptionalTypes: true,
  homogeneousAggregateLiterals: false,
  limits: { maxAstNodes: 300, maxDepth: 20, maxListElements: 100, maxMapEntries: 100, maxCallArguments: 10 },
})
  .registerVariable('params', 'map')
  .registerVariable('token', 'map');

interface Compiled {
  readonly run: (inputs: MappingInputs) => unknown;
  /** How deep loops are within loops. */
  readonly loops: number;
}

const compiled = new Map<string, Compiled>();

/**
 * The value of an expression.
 *
 * @param values number of values in the inputs
 * @throws MappingError
 */
export function evaluateExpression(text: string, inputs: MappingInputs, values: number): Json | typeof absent {
  const { run, loops } = compiledOf(text);
  if (values ** loops > mostLooped) throw new MappingError(`${shown(text)} runs through too many values`);
  let value: unknown;
  try {
    value = run(inputs);
  } catch (error) {
    throw new MappingError(`${shown(text)} failed: ${firstLine(error)}`);
  }
  return jsonOf(value, text);
}

function compiledOf(text: string): Compiled {
  let found = compiled.get(text);
  if (found === undefined) {
    found = compile(text);
    if (compiled.size >= mostCompiled) compiled.clear();
    compiled.set(text, found);
  }
  return found;
}

function compile(text: string): Compiled {
  if (text.length > longestExpression) throw new MappingError(`${shown(text)} is too long`);
  try {
    const parsed = environment.parse(text);
    const loops = loopsIn(parsed.ast);
    const { valid, error } = parsed.check();
    if (!valid) throw error ?? new Error('it is not valid');
    return { run: (inputs) => parsed({ ...inputs }), loops };
  } catch (error) {
    if (error instanceof MappingError) throw error;
    throw new MappingError(`${shown(text)} is not an expression: ${firstLine(error)}`);
  }
}

const macros = new Set(['all', 'exists', 'exists_one', 'filter', 'map', 'transformList', 'transformMap']);

/** @throws MappingError for a call of a function whose time nobody can bound */
function loopsIn({ op, args }: ASTNode): number {
  if (op === 'call' || op === 'rcall') {
    const [name, ...rest] = args;
    // Regular expressions as the engine of JavaScript runs them can take for ever.
    if (name === 'matches') throw new MappingError('matches() is not available in mappings');
    const inner = rest.flat() as ASTNode[];
    const target = op === 'rcall' ? inner.shift() : undefined;
    const ofTarget = target === undefined ? 0 : loopsIn(target);
    const ofArguments = Math.max(0, ...inner.map(loopsIn));
    return Math.max(ofTarget, ofArguments + (macros.has(name) ? 1 : 0));
  }
  const nodes = (Array.isArray(args) ? args.flat() : [args]) as unknown[];
  return Math.max(0, ...nodes.filter(isNode).map(loopsIn));
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value;
}

/** @throws MappingError for what JSON does not have */
function jsonOf(value: unknown, text: string): Json | typeof absent {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      if (Number.isFinite(value)) return value;
      break;
    case 'bigint': {
      const number = Number(value);
      if (Number.isSafeInteger(number)) return number;
      break;
    }
    case 'object':
      return value === null ? null : jsonOfObject(value, text);
    default:
  }
  throw new MappingError(`${shown(text)} has no value that JSON has`);
}

function jsonOfObject(value: object, text: string): Json | typeof absent {
  if (Array.isArray(value)) {
    return value.map((element) => jsonOf(element, text)).filter((element) => element !== absent) as Json[];
  }
  if (value instanceof Optional) return value.hasValue() ? jsonOf(value.value(), text) : absent;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    const primitive: unknown = value.valueOf();
    // An unsigned number.
    if (typeof primitive === 'bigint') return jsonOf(primitive, text);
    throw new MappingError(`${shown(text)} has no value that JSON has`);
  }
  const copy: JsonObject = {};
  for (const [name, member] of Object.entries(value)) {
    if (name === '__proto__') throw new MappingError(`${shown(text)} has a member __proto__`);
    const converted = jsonOf(member, text);
    if (converted !== absent) copy[name] = converted as Json;
  }
  return copy;
}

function shown(text: string): string {
  return `the expression '$${text.length > 100 ? `${text.slice(0, 100)}…` : text}'`;
}

function firstLine(error: unknown): string {
  return String((error as Error).message).split('\n', 1)[0] as string;
}
