/**
 * A question as JSON says it, apart from its caller's own: what is evaluated is what the record says, whatever becomes of the objects
 * that were given. It has what `JSON.stringify` would write of them, and what it writes is made in the same pass.
 */
import type { DecideRequest } from '../types.js';
import { isEscaped } from './json-text.js';

/** What is wrong with a value that no question can hold, and where: a JSON pointer. */
export class UncopiedValue extends Error {
  override readonly name = 'UncopiedValue';
  pointer = '';

  constructor(readonly detail: string) {
    super(detail);
  }
}

export interface CopiedQuestion {
  readonly question: DecideRequest;
  /** Of it what a record holds, as JSON. */
  readonly text: string;
}

/** The members of a question that its record holds; the others say how it is answered. */
const recorded = new Set(['subject', 'action', 'resource', 'attributes', 'at']);

/** Deeper than any question may be. */
const mostDepth = 20;

/** @throws UncopiedValue */
export function copyOf(question: DecideRequest): CopiedQuestion {
  written = '';
  const copy = copied(question, 0, recorded) as unknown as DecideRequest;
  return { question: copy, text: written };
}

/** JSON of what was copied of a question so far. */
let written = '';

/** @param kept of the members of an object those that are written; without it, all are */
function copied(value: unknown, depth: number, kept?: ReadonlySet<string>): unknown {
  switch (typeof value) {
    case 'string':
      written += isEscaped(value) ? escaped(value, 'holds') : `"${value}"`;
      return value;
    case 'boolean':
      written += value;
      return value;
    case 'number': {
      const number = copiedNumber(value);
      written += number;
      return number;
    }
    case 'object':
      break;
    default:
      throw new UncopiedValue(`is a ${typeof value}, which JSON does not have`);
  }
  if (value === null) {
    written += 'null';
    return null;
  }
  if (depth >= mostDepth) throw new UncopiedValue('is nested too deeply');
  const { toJSON } = value as { readonly toJSON?: unknown };
  if (typeof toJSON === 'function') return copied(toJSON.call(value), depth + 1, kept);
  return Array.isArray(value) ? copiedList(value, depth) : copiedMembers(value, depth, kept);
}

function copiedList(value: readonly unknown[], depth: number): readonly unknown[] {
  const list: unknown[] = [];
  written += '[';
  // Not `map`, which leaves holes where there are some.
  for (let index = 0; index < value.length; index++) {
    if (index > 0) written += ',';
    list.push(below(index, value[index], depth));
  }
  written += ']';
  return list;
}

function copiedMembers(value: object, depth: number, kept: ReadonlySet<string> | undefined): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  let before = '{';
  for (const name of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[name];
    // As in JSON: a member that is undefined is none.
    if (member === undefined || typeof member === 'function' || typeof member === 'symbol') continue;
    const until = written;
    written += before + (nameTexts.get(name) ?? nameText(name));
    copy[name] = below(name, member, depth);
    if (kept === undefined || kept.has(name)) before = ',';
    else written = until;
  }
  written += before === '{' ? '{}' : '}';
  return copy;
}

function below(step: string | number, value: unknown, depth: number): unknown {
  // Most members are texts, and need no frame to catch anything.
  if (typeof value === 'string' && !isEscaped(value)) {
    written += `"${value}"`;
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

/** `"name":` of members that were met before: the names are few, and the questions many. */
const nameTexts = new Map<string, string>();
const mostNameTexts = 500;

function nameText(name: string): string {
  if (name === '__proto__') throw new UncopiedValue('has a member __proto__');
  const text = `${isEscaped(name) ? escaped(name, 'has a member with') : `"${name}"`}:`;
  if (name.length < 100 && nameTexts.size < mostNameTexts) nameTexts.set(name, text);
  return text;
}

/** @param verb what is said of it where it is no text that a question can have: it holds half of a character */
function escaped(text: string, verb: string): string {
  if (text.includes('\0') || /\p{Surrogate}/u.test(text))
    throw new UncopiedValue(`${verb} half of a character, or a NUL`);
  return JSON.stringify(text);
}
