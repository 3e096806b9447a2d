/** Reads the cases under `test/cases`: Casbin's behaviour (JSON) and the project's own corpus (YAML). */
import { readdirSync, readFileSync } from 'node:fs';
import type { Value } from '../reference/expression.js';
import type { Context, ReferenceOptions } from '../reference/reference.js';

const folder = new URL('../cases/', import.meta.url);

/** One file of `test/cases/casbin`; its README says what the fields mean. */
export interface CasbinCase {
  readonly name: string;
  /** The tests that it comes from; `reference run` when no suite asserts it. */
  readonly origin: string;
  readonly model: string;
  readonly policy: string;
  readonly load_error?: string;
  readonly context?: Context;
  readonly roleMatchers?: NonNullable<ReferenceOptions['roleMatching']>;
  readonly linkConditions?: readonly { ptype: string; user: string; role: string; domain?: string; fn: string }[];
  readonly fieldIndex?: NonNullable<ReferenceOptions['fieldIndex']>;
  readonly acceptJson?: boolean;
  readonly needs_function?: readonly {
    readonly name: string;
    readonly table: readonly { args: Value[]; result: Value }[];
    readonly default: Value;
  }[];
  readonly requests: readonly {
    readonly args: Value[];
    readonly matcher?: string;
    readonly allow?: boolean;
    readonly matched?: readonly string[][];
    readonly error?: string;
    readonly verdict?: { readonly allow: boolean };
  }[];
  readonly steps?: readonly { readonly add: readonly string[]; readonly allow?: boolean; readonly error?: string }[];
}

export function casbinCases(): CasbinCase[] {
  return read('casbin/', '.json').map(({ text }) => JSON.parse(text));
}

/** The functions that a case needs, from their tables. */
export function functionsOf(example: CasbinCase): Record<string, (...args: Value[]) => Value> {
  const functions = example.needs_function ?? [];
  return Object.fromEntries(
    functions.map(({ name, table, default: otherwise }) => [
      name,
      (...args: Value[]) => table.find((row) => JSON.stringify(row.args) === JSON.stringify(args))?.result ?? otherwise,
    ]),
  );
}

function read(path: string, extension: string): { name: string; text: string }[] {
  const directory = new URL(path, folder);
  return readdirSync(directory)
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }));
}
