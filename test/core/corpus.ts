/** Reads the cases under `test/cases`: Casbin's behaviour (JSON) and the project's own corpus (YAML). */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
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

/**
 * One case of `test/cases/*.yaml`: definitions, rules, requests and what the answer must be. Either `model` has the
 * whole text of the model file, or the definitions say only what differs from the usual ones; a list defines r, r2 …
 */
export interface CorpusCase {
  /** A sentence: what the case shows. */
  readonly case: string;
  readonly model?: string;
  readonly request_definition?: string | string[];
  readonly policy_definition?: string | string[];
  readonly role_definition?: string | string[];
  readonly constraint_definition?: string | string[];
  readonly policy_effect?: string | string[];
  readonly matcher?: string | string[];
  readonly rules?: string;
  readonly roleMatching?: CasbinCase['roleMatchers'];
  readonly linkConditions?: CasbinCase['linkConditions'];
  readonly fieldIndex?: CasbinCase['fieldIndex'];
  readonly acceptJson?: boolean;
  /** Model or rules must not load. */
  readonly refused?: true;
  readonly requests?: readonly CorpusRequest[];
  /** Why the answers are not Casbin's: promise P2, or what Casbin lets pass and we refuse. */
  readonly differs?: string;
}

export interface CorpusRequest {
  readonly args: Value[];
  readonly matcher?: string;
  readonly context?: Context;
  readonly decision: 'allow' | 'deny';
  /** The deciding rule without its type; missing when no rule decided. */
  readonly rule?: readonly string[];
  /** The codes of all errors, in order; undefined if there are none. */
  readonly errors?: readonly string[];
  /** What Casbin says instead: `allow`, `deny`, or `error` where it fails the whole request. */
  readonly casbin?: 'allow' | 'deny' | 'error';
}

export function corpusFiles(): { readonly name: string; readonly cases: readonly CorpusCase[] }[] {
  return read('', '.yaml').map(({ name, text }) => ({ name, cases: parse(text) }));
}

/** The model file of a case. */
export function modelOf(example: CorpusCase): string {
  if (example.model !== undefined) return example.model;
  const section = (title: string, key: string, lines: string | string[] | undefined) =>
    lines === undefined
      ? ''
      : `[${title}]\n${[lines]
          .flat()
          .map((line, i) => `${key}${i === 0 ? '' : i + 1} = ${line}\n`)
          .join('')}`;
  return [
    section('request_definition', 'r', example.request_definition ?? 'sub, obj, act'),
    section('policy_definition', 'p', example.policy_definition ?? 'sub, obj, act'),
    section('role_definition', 'g', example.role_definition),
    section('constraint_definition', 'c', example.constraint_definition),
    section('policy_effect', 'e', example.policy_effect ?? 'some(where (p.eft == allow))'),
    section('matchers', 'm', example.matcher),
  ].join('');
}

function read(path: string, extension: string): { name: string; text: string }[] {
  const directory = new URL(path, folder);
  return readdirSync(directory)
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => ({ name, text: readFileSync(new URL(name, directory), 'utf8') }));
}
