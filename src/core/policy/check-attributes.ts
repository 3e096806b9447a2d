/** Attributes that a matcher, a condition or a binding reads, or an entity has, and the schema does not know. */

import type { CasbinModel } from '../casbin/casbin-model.js';
import type { ReportProblem } from '../casbin/document-problem.js';
import { closest } from '../closest.js';
import type { BindingPath } from '../manifest/binding-text.js';
import type { EntityStore, StoredEntity } from '../manifest/entities.js';
import type { Manifest } from '../manifest/manifest.js';
import { type AttributeSchema, allowsPath, knowsPath, namesAt, type SchemaPart } from '../manifest/schema.js';
import type { NamedText } from '../manifest/yaml-document.js';
import { type Expression, walk } from '../matcher/ast.js';
import { isObject } from '../matcher/values.js';
import { cut, quote } from '../quote.js';
import type { JsonObject } from '../request.js';
import { entityNodes, storedValueCheck } from '../rules/stored-values.js';
import type { Semantics } from '../semantics.js';
import { type AttributeReading, attributeReading, readingOfPath } from './attribute-reading.js';
import type { TokenBinding } from './binding.js';
import { checkTexts } from './check-texts.js';
import { type Combination, conditionColumns } from './combination.js';

export interface CheckedAttributes {
  readonly model: CasbinModel;
  readonly manifest: Manifest;
  readonly main: Combination;
  readonly schema: AttributeSchema;
  /** The files that the rules were read from, for places in them. */
  readonly rules: readonly NamedText[];
  readonly report: ReportProblem;
}

export function* checkAttributes(set: CheckedAttributes): Generator<void> {
  const { model, manifest, main, schema, report } = set;
  if (schema.parts.size === 0) return;
  const definition = model.matchers.get(manifest.definitions.m);
  for (const fault of faultsIn(main.program.expression, set)) {
    report({ ...fault.problem, file: model.file, ...(definition?.place(fault.at) ?? { line: 1, column: 1 }) });
  }
  for (const { token, line } of main.tokens) {
    const paths = line === undefined ? [] : line.kind === 'path' ? [line.path] : line.parts;
    for (const path of paths) {
      const problem = typeof path === 'string' ? undefined : unknownInBinding(path, schema);
      if (problem !== undefined) report({ ...problem, ...manifest.placeOf('request', token) });
    }
  }
  const columns = main.callsEval ? conditionColumns(main.program.expression, main.policy) : [];
  for (const column of columns) {
    yield* checkTexts(set, main.rules, column, (text) => {
      const condition = main.conditions.find(text);
      const faults = condition.run === undefined ? [] : faultsIn(condition.expression, set);
      return faults.map(({ problem: { code, message, hint }, at }) => ({ code, message, at, ...(hint && { hint }) }));
    });
  }
}

interface Fault {
  readonly at: number;
  readonly problem: {
    readonly severity: 'error';
    readonly code: 'unknown_attribute';
    readonly message: string;
    readonly hint: string;
  };
}

function faultsIn(expression: Expression, { main, schema }: CheckedAttributes): readonly Fault[] {
  const faults: Fault[] = [];
  walk(expression, (part) => {
    if (part.kind !== 'attribute') return;
    const token = main.tokens[main.request.columns.get(part.name) ?? -1];
    if (token === undefined) return;
    const read = readingOf(token, part.path);
    if (read === undefined || knowsPath(schema, read.part, read.path)) return;
    const text = [`r.${token.token}`, ...part.path].join('.');
    faults.push({ at: part.at, problem: unknownAttribute(text, read.part, read.path, schema) });
  });
  return faults;
}

/**
 * What `r.token.path` reads; undefined if the schema does not describe it: an entity's own id, attributes as a whole.
 */
function readingOf({ token, role }: TokenBinding, path: readonly string[]): AttributeReading | undefined {
  switch (role) {
    case 'subject':
    case 'resource':
    case 'action':
      return attributeReading(role, path);
    case 'token':
      return path.length < 2 ? undefined : { part: 'token', path };
    case 'environment':
      return path.length === 0 ? undefined : { part: 'environment', path };
    case 'domain':
    case 'attribute':
      return { part: 'environment', path: [token, ...path] };
    default:
      return role satisfies never;
  }
}

function unknownInBinding(path: BindingPath, schema: AttributeSchema): Fault['problem'] | undefined {
  const { root, steps } = path;
  const read = readingOfPath(path);
  if (read === undefined || knowsPath(schema, read.part, read.path)) return undefined;
  return unknownAttribute([root, ...steps].join('.'), read.part, read.path, schema);
}

function unknownAttribute(
  text: string,
  part: SchemaPart,
  path: readonly string[],
  schema: AttributeSchema,
): Fault['problem'] {
  const owner = part === 'environment' ? 'the request' : `any ${part}`;
  return {
    severity: 'error',
    code: 'unknown_attribute',
    message: part === 'token' ? `${cut(text)} is no claim of that token` : `${cut(text)} is no attribute of ${owner}`,
    hint: hintFor(path, namesAt(schema, schema.parts.get(part) ?? [], path)),
  };
}

function hintFor(path: readonly string[], names: readonly string[]): string {
  const meant = closest(path.at(-1) as string, names);
  const known = names.length === 0 ? 'schema.yaml names none there' : `schema.yaml knows ${cut(names.join(', '))}`;
  return meant === undefined ? known : `did you mean ${quote(meant)}?`;
}

/** Checks attributes of stored entities whose type the schema names. */
export function* checkEntities(
  entities: EntityStore,
  source: NamedText | undefined,
  schema: AttributeSchema,
  report: ReportProblem,
  semantics: Semantics,
): Generator<void> {
  if (schema.types.size === 0) return;
  const faultsOf = entityCheck(schema);
  const faulty: StoredEntity[] = [];
  let looked = 0;
  for (const entity of entities) {
    if (looked++ % entitiesPerStep === 0) yield;
    if (faultsOf(entity).length > 0) faulty.push(entity);
  }
  if (source === undefined || faulty.length === 0) return;
  // Places are looked up only here, since the tree of a large file is not kept.
  const nodeOf = yield* entityNodes(source, semantics);
  for (const entity of faulty) {
    const node = nodeOf(entity);
    for (const { path, ...fault } of faultsOf(entity)) {
      const place = node?.placeOfKey(['attributes', ...path]) ?? { file: source.file, line: 1, column: 1 };
      report({ severity: 'error', ...fault, ...place });
    }
  }
}

/** What is wrong with an attribute of an entity, or with a part of it. */
export interface StoredAttributeFault {
  readonly code: 'schema_violation' | 'unknown_attribute';
  readonly message: string;
  readonly hint?: string;
  /** From the attributes to the fault. */
  readonly path: readonly string[];
}

/** Finds the attributes of an entity that break the schema of its type, and those that it does not know. */
export function entityCheck(schema: AttributeSchema): (entity: StoredEntity) => readonly StoredAttributeFault[] {
  const faultsOf = storedValueCheck(schema);
  return (entity) => {
    const { type, id } = entity;
    const unknown = unknownPaths(entity, schema);
    const faults: StoredAttributeFault[] = [];
    for (const { path, message } of faultsOf(entity)) {
      // Unknown attributes are reported once, below.
      if (unknown.some((known) => isBeginning(known, path) || isBeginning(path, known))) continue;
      const what = `the attribute ${quote(path.join('.'))} of ${cut(type)} ${quote(id)} ${message}`;
      faults.push({ code: 'schema_violation', message: what, path });
    }
    for (const path of unknown) {
      const message = `${cut(type)} ${quote(id)} has an attribute ${quote(path.join('.'))} that the schema does not know`;
      const hint = hintFor(path, namesAt(schema, schema.types.get(type) ?? [], path));
      faults.push({ code: 'unknown_attribute', message, hint, path });
    }
    return faults;
  };
}

function isBeginning(path: readonly string[], longer: readonly string[]): boolean {
  return path.every((step, at) => step === longer[at]);
}

/** Entities between two pauses; checking one takes some microseconds. */
const entitiesPerStep = 500;

function unknownPaths({ type, attributes }: StoredEntity, schema: AttributeSchema): readonly (readonly string[])[] {
  const candidates = schema.types.get(type);
  if (candidates === undefined) return [];
  const unknown: (readonly string[])[] = [];
  const look = (members: JsonObject, above: readonly string[]): void => {
    for (const [name, value] of Object.entries(members)) {
      const path = [...above, name];
      if (!allowsPath(schema, candidates, path)) unknown.push(path);
      else if (isObject(value)) look(value, path);
    }
  };
  look(attributes, []);
  return unknown;
}
