/**
 * `local: { omit: [user.salary] }`: what clients do not get must be nothing that an answer could depend on. What is not certain
 * stops the load: whether an expression is asked about an entity of that type is known only when it is asked.
 */
import type { BindingPath } from '../manifest/binding-text.js';
import { type Place, readYamlInSteps } from '../manifest/yaml-document.js';
import { type Expression, walk } from '../matcher/ast.js';
import { namesAllAttributes } from '../matcher/entity-attributes.js';
import { isObject } from '../matcher/values.js';
import { cut, quote } from '../quote.js';
import type { Json, JsonObject } from '../request.js';
import type { Semantics } from '../semantics.js';
import { attributeReading } from './attribute-reading.js';
import { tokenRole } from './binding.js';
import { checkTexts } from './check-texts.js';
import type { CheckedTexts } from './checked-texts.js';
import { type Combination, conditionColumns } from './combination.js';

export interface CheckedOmissions extends CheckedTexts {
  readonly semantics: Semantics;
}

/** A place in a text where an omitted attribute could be read. */
interface Reading {
  readonly at: number;
  readonly message: string;
}

export function* checkOmitted(set: CheckedOmissions): Generator<void> {
  const { manifest, model, main } = set;
  const omitted = new Omitted(manifest.local?.omit ?? []);
  if (omitted.isEmpty) return;
  const defined = new Set<string>();
  for (const name of manifest.define.keys()) {
    const expression = main.environment.definitions.find(name);
    const [first] = expression === undefined ? [] : readingsIn(expression, omitted, set);
    if (first === undefined) continue;
    defined.add(name);
    refuse(set, `define.${cut(name)}: ${first.message}`, manifest.placeOf('define', name));
  }
  // What comes from a definition is told there.
  const own = (text: string, { at }: Reading): boolean =>
    !defined.has(/^[A-Za-z][A-Za-z0-9]*/.exec(text.slice(at))?.[0] ?? '');
  const matcher = model.matchers.get(manifest.definitions.m);
  for (const reading of readingsIn(main.program.expression, omitted, set)) {
    if (!own(matcher?.value ?? '', reading)) continue;
    refuse(set, reading.message, { file: model.file, ...(matcher?.place(reading.at) ?? { line: 1, column: 1 }) });
  }
  checkBindings(set, omitted);
  yield* checkSchema(set, omitted);
  for (const column of evaluatedColumns(main)) {
    yield* checkTexts(set, main.rules, column, (text) => {
      const condition = main.conditions.find(text);
      const readings = condition.run === undefined ? [] : readingsIn(condition.expression, omitted, set);
      return readings
        .filter((reading) => own(text, reading))
        .map(({ at, message }) => ({ code, message, at, refusedByReference: true }));
    });
  }
}

const code = 'omitted_but_read';

function refuse({ report }: CheckedOmissions, message: string, place: Place): void {
  // It is never downgraded: what a client lacks would be another answer.
  report({ severity: 'error', code, message, ...place, refusedByReference: true });
}

/** The names of `local.omit`, by the attribute. */
class Omitted {
  private readonly byAttribute = new Map<string, string>();

  constructor(private readonly names: readonly string[]) {
    for (const name of names) this.byAttribute.set(attributeOf(name), name);
  }

  get isEmpty(): boolean {
    return this.names.length === 0;
  }

  /** `user.salary`, for `salary`. */
  named(attribute: string): string | undefined {
    return this.byAttribute.get(attribute);
  }

  /** What a path below a subject or resource could read that is left out; the first of all for attributes as a whole. */
  readBy(path: readonly string[]): string | undefined {
    const reading = attributeReading('subject', path);
    if (reading !== undefined) return this.named(reading.path[0] as string);
    return namesAllAttributes(path[0]) ? this.names[0] : undefined;
  }

  *[Symbol.iterator](): Generator<{ readonly name: string; readonly type: string; readonly attribute: string }> {
    for (const name of this.names) {
      yield { name, type: name.slice(0, name.lastIndexOf('.')), attribute: attributeOf(name) };
    }
  }
}

function attributeOf(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

function readingsIn(expression: Expression, omitted: Omitted, { main, manifest }: CheckedOmissions): Reading[] {
  const readings: Reading[] = [];
  const isEvaluated = (text: Expression | undefined): boolean =>
    text?.kind === 'column' && main.policy.columns.has(text.name);
  walk(expression, (part) => {
    if (part.kind === 'call' && part.name === 'eval' && !isEvaluated(part.args[0])) {
      // What it is put together from is known only when it is asked.
      const message = `a condition that is no column of a rule could read ${cut(manifest.local?.omit[0] ?? '')}, which is left out`;
      readings.push({ at: part.at, message });
    }
    if (part.kind !== 'attribute' && part.kind !== 'column') return;
    const index = main.request.columns.get(part.name);
    const token = index === undefined ? undefined : main.request.tokens[index];
    if (token === undefined) return;
    const role = tokenRole(token);
    if (part.kind === 'column') {
      // Without a line of the manifest a domain is the tenant of the resource where the request names none.
      const name = role === 'domain' && !manifest.request.has(token) ? omitted.named('tenant') : undefined;
      if (name !== undefined) readings.push({ at: part.at, message: readMessage(`r.${token}`, name) });
      return;
    }
    if (role !== 'subject' && role !== 'resource') return;
    const name = omitted.readBy(part.path);
    if (name === undefined) return;
    readings.push({ at: part.at, message: readMessage([`r.${token}`, ...part.path].join('.'), name) });
  });
  return readings;
}

function readMessage(what: string, name: string): string {
  return `${cut(what)} could read ${cut(name)}, which local.omit leaves out`;
}

function checkBindings(set: CheckedOmissions, omitted: Omitted): void {
  const { manifest } = set;
  for (const [token, line] of manifest.request) {
    const paths = line.kind === 'path' ? [line.path] : line.parts.filter((part) => typeof part !== 'string');
    for (const path of paths) {
      const name = readByBinding(path, omitted);
      if (name === undefined) continue;
      refuse(set, readMessage([path.root, ...path.steps].join('.'), name), manifest.placeOf('request', token));
    }
  }
}

function readByBinding({ root, steps }: BindingPath, omitted: Omitted): string | undefined {
  return root === 'subject' || root === 'resource' ? omitted.readBy(steps) : undefined;
}

/** Columns whose texts are conditions, of the matcher and of conditions in turn. */
function evaluatedColumns(main: Combination): readonly number[] {
  if (!main.callsEval) return [];
  const columns = new Set(conditionColumns(main.program.expression, main.policy));
  // A set grows while it is walked: conditions may evaluate columns that the matcher does not.
  for (const column of columns) {
    for (const symbol of new Set(main.rules.columns[column] ?? [])) {
      const condition = symbol < 0 ? undefined : main.conditions.find(main.rules.symbols.text(symbol));
      if (condition?.run === undefined) continue;
      for (const other of conditionColumns(condition.expression, main.policy)) columns.add(other);
    }
  }
  return [...columns];
}

function* checkSchema(set: CheckedOmissions, omitted: Omitted): Generator<void> {
  const { schema, schemaText, semantics } = set;
  const read: { part: 'subject' | 'resource'; type: string; attribute: string; name: string }[] = [];
  for (const { name, type, attribute } of omitted) {
    for (const part of ['subject', 'resource'] as const) {
      const ofType = schema.entities[part].get(type);
      if (ofType !== undefined && couldRead(ofType, attribute)) read.push({ part, type, attribute, name });
    }
  }
  if (read.length === 0 || schemaText === undefined) return;
  const root = yield* readYamlInSteps(schemaText, () => {}, semantics);
  for (const { part, type, attribute, name } of read) {
    const place = root?.placeOfKey([part, type, 'properties', attribute]);
    const message = `the schema of the ${part} ${quote(type)} could read ${cut(name)}, which local.omit leaves out`;
    refuse(set, message, place ?? { file: schemaText.file, line: 1, column: 1 });
  }
}

/** Keywords of JSON Schema that say nothing of members. */
const silent: ReadonlySet<string> = new Set(['$comment', 'title', 'description', 'default', 'examples', 'deprecated']);

/** Whether the result of a schema could depend on a member. Where it takes more than a look at the keywords, it could. */
function couldRead(schema: Json, attribute: string): boolean {
  if (!isObject(schema)) return schema !== true;
  return Object.entries(schema).some(([keyword, value]) => {
    if (silent.has(keyword) || keyword === 'type') return false;
    if (keyword === 'properties') return !isObject(value) || Object.hasOwn(value as JsonObject, attribute);
    if (keyword === 'required') return !Array.isArray(value) || value.includes(attribute);
    return keyword !== 'additionalProperties' || value !== true;
  });
}
