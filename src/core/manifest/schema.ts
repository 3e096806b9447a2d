/**
 * `schema.yaml`: JSON Schemas of attributes, by type of subject and resource, for actions, for the request's own
 * attributes, and of the claims of tokens. Rules may read only these, and requests are held against them.
 */

import { closest } from '../closest.js';
import { builtInFunctions } from '../matcher/functions/built-in-functions.js';
import { FunctionError } from '../matcher/functions/function-definition.js';
import {
  anyType,
  booleanType,
  listType,
  nullType,
  numberType,
  objectType,
  type Types,
  textType,
  typeOf,
} from '../matcher/value-types.js';
import { isObject, ownMember } from '../matcher/values.js';
import { quote } from '../quote.js';
import type { Json, JsonObject } from '../request.js';
import { currentSemantics, type Semantics } from '../semantics.js';
import { unmetered } from '../step-budget.js';
import { checkKeyword, endlessDefinitions } from './schema-keywords.js';
import type { NamedText, ReportFatal, YamlNode } from './yaml-document.js';
import { readYamlInSteps } from './yaml-document.js';

/** The parts of a request that a schema can describe. */
export type SchemaPart = 'subject' | 'action' | 'resource' | 'environment' | 'token';

export interface AttributeSchema {
  /** Possible schemas of each part. A part without an entry may have any attribute. */
  readonly parts: ReadonlyMap<SchemaPart, readonly JsonObject[]>;
  /** Schemas of each named type, as a subject, a resource or both. */
  readonly types: ReadonlyMap<string, readonly JsonObject[]>;
  /** Schemas as in the file, by type. */
  readonly entities: {
    readonly subject: ReadonlyMap<string, Json>;
    readonly resource: ReadonlyMap<string, Json>;
  };
  readonly action: Json | undefined;
  readonly environment: Json | undefined;
  /** One schema of all tokens: their names are its properties, and those that it does not name may hold any claim. */
  readonly tokens: JsonObject | undefined;
  /** Definitions, `#/$defs/…`, that every schema of the file may refer to. */
  readonly definitions: JsonObject;
}

export const noSchema: AttributeSchema = Object.freeze({
  parts: new Map(),
  types: new Map(),
  entities: { subject: new Map(), resource: new Map() },
  action: undefined,
  environment: undefined,
  tokens: undefined,
  definitions: {},
});

/** Keywords of JSON Schema draft 2020-12 that the file may use. Any other is reported as a slip. */
const keywords: ReadonlySet<string> = new Set([
  ...['$ref', '$defs', '$comment', 'title', 'description', 'default', 'examples', 'deprecated', 'format'],
  ...['type', 'enum', 'const', 'properties', 'patternProperties', 'additionalProperties', 'required'],
  ...['minProperties', 'maxProperties', 'propertyNames', 'dependentRequired', 'items', 'prefixItems', 'contains'],
  ...[
    'minItems',
    'maxItems',
    'uniqueItems',
    'minimum',
    'maximum',
    'exclusiveMinimum',
    'exclusiveMaximum',
    'multipleOf',
  ],
  ...['minLength', 'maxLength', 'pattern', 'allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else'],
]);

/** Keywords whose value holds schemas: one, a list, or a mapping of names to schemas. */
const nested: ReadonlyMap<string, 'schema' | 'list' | 'mapping'> = new Map([
  ...(['additionalProperties', 'propertyNames', 'items', 'contains', 'not', 'if', 'then', 'else'] as const).map(
    (keyword) => [keyword, 'schema'] as const,
  ),
  ...(['prefixItems', 'allOf', 'anyOf', 'oneOf'] as const).map((keyword) => [keyword, 'list'] as const),
  ...(['properties', 'patternProperties', '$defs'] as const).map((keyword) => [keyword, 'mapping'] as const),
]);

/** Reads a schema. Problems are reported, and the set does not load. */
export function* readSchema(
  source: NamedText,
  report: ReportFatal,
  semantics: Semantics = currentSemantics,
): Generator<void, AttributeSchema> {
  let isSound = semantics !== 1;
  const note: ReportFatal = (problem) => {
    isSound = false;
    report(problem);
  };
  const root = (yield* readYamlInSteps(source, note, semantics))?.knownMembers('the schema', [
    'subject',
    'action',
    'resource',
    'environment',
    'tokens',
    '$defs',
  ]);
  if (root === undefined) return noSchema;
  const definitions = schemaOf(root.$defs?.json() ?? {});
  // 0.1 never checked values against a schema, so its schemas are not checked for that.
  const check = (node: YamlNode): void => checkSchema(node, semantics === 1 ? undefined : definitions);
  const parts = new Map<SchemaPart, readonly JsonObject[]>();
  const ofTypes = new Map<string, readonly JsonObject[]>();
  const entities = { subject: new Map<string, Json>(), resource: new Map<string, Json>() };
  for (const part of ['subject', 'resource'] as const) {
    const types = root[part]?.members(part);
    if (types === undefined) continue;
    for (const node of types.values()) check(node);
    for (const [type, node] of types) entities[part].set(type, node.json());
    const schemas = [...entities[part]].map(([type, schema]) => [type, schemaOf(schema)] as const);
    parts.set(
      part,
      schemas.map(([, schema]) => schema),
    );
    for (const [type, schema] of schemas) ofTypes.set(type, [...(ofTypes.get(type) ?? []), schema]);
  }
  for (const part of ['action', 'environment'] as const) {
    const node = root[part];
    if (node === undefined) continue;
    check(node);
    parts.set(part, [schemaOf(node.json())]);
  }
  const tokens = root.tokens === undefined ? undefined : readTokens(root.tokens, check);
  if (tokens !== undefined) parts.set('token', [tokens]);
  const defined = root.$defs?.members('$defs');
  for (const node of defined?.values() ?? []) check(node);
  for (const name of semantics === 1 ? [] : endlessDefinitions(definitions)) {
    defined?.get(name)?.refuse('wrong_value', 'the definition leads to itself without a step into the value');
  }
  return Object.freeze({
    parts,
    types: ofTypes,
    entities: isSound ? entities : noSchema.entities,
    action: isSound ? root.action?.json() : undefined,
    environment: isSound ? root.environment?.json() : undefined,
    tokens: isSound ? tokens : undefined,
    definitions,
  });
}

/** `tokens: { user: <a JSON Schema of its claims> }`. */
function readTokens(node: YamlNode, check: (node: YamlNode) => void): JsonObject {
  const properties: JsonObject = Object.create(null);
  for (const [name, value] of node.members('tokens') ?? []) {
    check(value);
    properties[name] = value.json();
  }
  return { properties, additionalProperties: true };
}

function checkSchema(node: YamlNode, definitions: JsonObject | undefined): void {
  if (!node.isMapping && typeof node.json() === 'boolean') return;
  for (const [keyword, value] of node.members('a JSON Schema') ?? []) {
    if (!keywords.has(keyword)) {
      const meant = closest(keyword, keywords);
      const hint = meant === undefined ? 'attributes are named under "properties"' : `did you mean ${quote(meant)}?`;
      value.refuse('unknown_key', `JSON Schema has no keyword ${quote(keyword)}`, hint);
    }
    const form = nested.get(keyword);
    if (definitions !== undefined) checkKeyword(keyword, value, definitions);
    if (form === 'schema') checkSchema(value, definitions);
    else if (form === 'list') for (const item of value.items(keyword) ?? []) checkSchema(item, definitions);
    else if (form === 'mapping')
      for (const member of value.members(keyword)?.values() ?? []) checkSchema(member, definitions);
  }
}

/** `true` and `false` are schemas, too: every value fits, and none. */
function schemaOf(value: Json): JsonObject {
  if (value === true) return { additionalProperties: true };
  return isObject(value) ? value : { properties: {} };
}

/** True if the schema allows an attribute at `path` for some entity of the part. */
export function knowsPath(schema: AttributeSchema, part: SchemaPart, path: readonly string[]): boolean {
  const schemas = schema.parts.get(part);
  return schemas === undefined || allowsPath(schema, schemas, path);
}

/** Whether one of the schemas allows an attribute at `path`; `$ref` leads to the definitions of `schema`. */
export function allowsPath(
  schema: AttributeSchema,
  candidates: readonly JsonObject[],
  path: readonly string[],
): boolean {
  return candidates.some((candidate) => leads(schema, candidate, path, 0));
}

/** True if the schema says explicitly that an attribute may be null. */
export function mayBeNull(schema: AttributeSchema, part: SchemaPart, path: readonly string[]): boolean {
  const isNullable = (candidate: JsonObject, step: number): boolean =>
    [...branchesOf(schema, candidate)].some((branch) => {
      if (step === path.length) return namesNull(branch);
      const properties = objectMember(branch, 'properties');
      const next = properties === undefined ? undefined : objectMember(properties, path[step] as string);
      return next !== undefined && isNullable(next, step + 1);
    });
  return (schema.parts.get(part) ?? []).some((candidate) => isNullable(candidate, 0));
}

/**
 * The types that an attribute at `path` can have, by what the schemas of the part say: of any type of entity, and of any
 * branch of a composed schema. What they do not speak of may be anything.
 */
export function typesAtPath(schema: AttributeSchema, part: SchemaPart, path: readonly string[]): Types {
  const candidates = schema.parts.get(part);
  if (candidates === undefined) return anyType;
  const typesOf = (candidate: JsonObject, step: number): Types => {
    // What several say of one value is not put together: one that says nothing is not wrong of any.
    const branches = [...branchesOf(schema, candidate)];
    if (branches.length > 1) return anyType;
    if (step === path.length) return typesNamed(candidate);
    const properties = objectMember(candidate, 'properties');
    const next = properties === undefined ? undefined : ownMember(properties, path[step] as string);
    if (isObject(next)) return typesOf(next, step + 1);
    // One that knows no such attribute says nothing of it.
    return leads(schema, candidate, path, step) ? anyType : 0;
  };
  const types = candidates.reduce((sum, candidate) => sum | typesOf(candidate, 0), 0);
  return types === 0 ? anyType : types;
}

/** Types by the names of JSON Schema. */
const typesByName: Readonly<Record<string, Types>> = {
  string: textType,
  number: numberType,
  integer: numberType,
  boolean: booleanType,
  array: listType,
  object: objectType,
  null: nullType,
};

function typesNamed({ type, enum: values, const: value }: JsonObject): Types {
  const names = typeof type === 'string' ? [type] : Array.isArray(type) ? type : Object.keys(typesByName);
  let types = names.reduce<Types>((sum, name) => sum | (typesByName[String(name)] ?? anyType), 0);
  if (Array.isArray(values)) types &= values.reduce<Types>((sum, each) => sum | typeOf(each), 0);
  if (value !== undefined) types &= typeOf(value);
  return types;
}

function namesNull({ type, enum: values, const: value }: JsonObject): boolean {
  if (type === 'null' || value === null) return true;
  return (Array.isArray(type) && type.includes('null')) || (Array.isArray(values) && values.includes(null));
}

/** The names that the schemas have for the last step of `path`, for a hint. */
export function namesAt(
  schema: AttributeSchema,
  candidates: readonly JsonObject[],
  path: readonly string[],
): readonly string[] {
  const names = new Set<string>();
  const collect = (candidate: JsonObject, step: number): void => {
    for (const branch of branchesOf(schema, candidate)) {
      const properties = objectMember(branch, 'properties');
      if (step === path.length - 1) for (const name of Object.keys(properties ?? {})) names.add(name);
      else {
        const next = properties === undefined ? undefined : objectMember(properties, path[step] as string);
        if (next !== undefined) collect(next, step + 1);
      }
    }
  };
  for (const candidate of candidates) collect(candidate, 0);
  return [...names];
}

/**
 * Unlike in JSON Schema, an object is closed unless it has `additionalProperties`, since this check looks for names
 * that the schema does not have. A schema without `properties` allows any member.
 */
function leads(schema: AttributeSchema, candidate: JsonObject, path: readonly string[], step: number): boolean {
  if (step === path.length) return true;
  const branches = [...branchesOf(schema, candidate)];
  const name = path[step] as string;
  const speaks = branches.some((branch) => memberKeywords.some((keyword) => Object.hasOwn(branch, keyword)));
  if (!speaks) return step > 0 && branches.every(({ type }) => type === undefined || mayBeObject(type));
  return branches.some((branch) => {
    const properties = objectMember(branch, 'properties');
    const property = properties === undefined ? undefined : ownMember(properties, name);
    if (property !== undefined) return property !== false && leads(schema, schemaOf(property), path, step + 1);
    for (const [pattern, value] of Object.entries(objectMember(branch, 'patternProperties') ?? {})) {
      if (matchesPattern(pattern, name)) return leads(schema, schemaOf(value), path, step + 1);
    }
    const additional = branch.additionalProperties;
    return additional === true || (isObject(additional) && leads(schema, additional, path, step + 1));
  });
}

const memberKeywords = ['properties', 'patternProperties', 'additionalProperties'];

function mayBeObject(type: Json): boolean {
  return type === 'object' || (Array.isArray(type) && type.includes('object'));
}

/** Searches for a pattern of JSON Schema. A pattern that RE2 cannot compile counts as a match. */
function matchesPattern(pattern: string, name: string): boolean {
  const search = builtInFunctions.get('regexMatch')?.prepare;
  try {
    return search?.(pattern)(name, unmetered) !== false;
  } catch (error) {
    if (error instanceof FunctionError) return true;
    throw error;
  }
}

/** The schema and what it is composed of, each once: references may lead in a circle. */
function branchesOf(schema: AttributeSchema, candidate: JsonObject): ReadonlySet<JsonObject> {
  const branches = new Set([candidate]);
  for (const branch of branches) {
    const parts = ['allOf', 'anyOf', 'oneOf', 'then', 'else'].flatMap((keyword) => ownMember(branch, keyword) ?? []);
    const name = typeof branch.$ref === 'string' ? /^#\/\$defs\/(.+)$/.exec(branch.$ref)?.[1] : undefined;
    const target = name === undefined ? undefined : ownMember(schema.definitions, name);
    for (const part of [...parts, target]) if (isObject(part)) branches.add(part);
  }
  return branches;
}

function objectMember(object: JsonObject, name: string): JsonObject | undefined {
  const value = ownMember(object, name);
  return isObject(value) ? value : undefined;
}
