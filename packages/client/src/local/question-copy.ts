/**
 * A question as JSON says it, apart from its caller's own: what is evaluated is what the record says, whatever becomes of the objects
 * that were given. It has what `JSON.stringify` would write of them.
 */
import type { DecideRequest } from '../types.js';

/** What is wrong with a value that no question can hold, and where: a JSON pointer. */
export class UncopiedValue extends Error {
  override readonly name = 'UncopiedValue';
  pointer = '';

  constructor(readonly detail: string) {
    super(detail);
  }
}

/** A question, and how long its texts are together, with a little for each value: about its length as JSON. */
export interface CopiedQuestion {
  readonly question: DecideRequest;
  readonly length: number;
}

/** Deeper than any question may be. */
const mostDepth = 20;

/** @throws UncopiedValue */
export function copyOf(question: DecideRequest): CopiedQuestion {
  length = 0;
  return { question: copied(question, 0) as unknown as DecideRequest, length };
}

/** Of the question that is being copied. */
let length = 0;
/** What a value that is no text counts, and what each name of a member does beside its own length. */
const lengthOfValue = 8;

function copied(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      if (isOdd.test(value) && !isWhole(value)) throw new UncopiedValue('holds half of a character, or a NUL');
      length += value.length;
      return value;
    case 'boolean':
      length += lengthOfValue;
      return value;
    case 'number':
      length += lengthOfValue;
      return copiedNumber(value);
    case 'object':
      break;
    default:
      throw new UncopiedValue(`is a ${typeof value}, which JSON does not have`);
  }
  length += lengthOfValue;
  if (value === null) return null;
  if (depth >= mostDepth) throw new UncopiedValue('is nested too deeply');
  const { toJSON } = value as { readonly toJSON?: unknown };
  if (typeof toJSON === 'function') return copied(toJSON.call(value), depth + 1);
  if (Array.isArray(value)) {
    const list: unknown[] = [];
    // Not `map`, which leaves holes where there are some.
    for (let index = 0; index < value.length; index++) list.push(below(index, value[index], depth));
    return list;
  }
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[name];
    // As in JSON: a member that is undefined is none.
    if (member === undefined || typeof member === 'function' || typeof member === 'symbol') continue;
    length += name.length + lengthOfValue;
    if (name === '__proto__') throw new UncopiedValue('has a member __proto__');
    if (isOdd.test(name) && !isWhole(name)) throw new UncopiedValue('has a member with half of a character, or a NUL');
    copy[name] = below(name, member, depth);
  }
  return copy;
}

function below(step: string | number, value: unknown, depth: number): unknown {
  // Most members are texts, and need no frame to catch anything.
  if (typeof value === 'string' && !isOdd.test(value)) {
    length += value.length;
    return value;
  }
  try {
    return copied(value, depth + 1);
  } catch (error) {
    if (error instanceof UncopiedValue) {
      error.pointer = `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}${error.pointer}`;
    }
    throw error;
  }
}

function copiedNumber(value: number): number {
  if (!Number.isFinite(value)) throw new UncopiedValue('is a number that JSON does not have');
  // JSON writes larger ones with an exponent, which nobody takes for exact.
  if (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < 1e21) {
    throw new UncopiedValue('is a number that is too large to be exact');
  }
  return value === 0 ? 0 : value;
}

/** Finds what few texts have: a NUL, or a part of a character of two. */
const isOdd = /[\u0000\ud800-\udfff]/;

function isWhole(text: string): boolean {
  return !text.includes('\0') && !/\p{Surrogate}/u.test(text);
}
