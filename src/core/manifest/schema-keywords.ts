/** Checks the values of a schema's keywords, so that a slip is found with its place when the set loads. */
import { FunctionError } from '../matcher/functions/function-definition.js';
import { compileRegularExpression } from '../matcher/functions/regular-expression.js';
import { isObject, ownMember } from '../matcher/values.js';
import type { Json, JsonObject } from '../request.js';
import { definitionName } from './json-schema.js';
import { schemaFormats } from './schema-formats.js';
import type { YamlNode } from './yaml-document.js';

const types: readonly string[] = ['null', 'boolean', 'object', 'array', 'number', 'string', 'integer'];

/** Says what is wrong with the value of a keyword; undefined if it is right. */
type Fault = (value: Json) => string | undefined;

const wants = (what: string, holds: (value: Json) => boolean): Fault => {
  return (value) => (holds(value) ? undefined : `must be ${what}`);
};
const isText = (value: Json): value is string => typeof value === 'string';
const count = wants('a whole number, 0 or more', (value) => Number.isSafeInteger(value) && (value as number) >= 0);
const number = wants('a number', (value) => typeof value === 'number');
const text = wants('a text', isText);
const texts = wants('a list of texts', (value) => Array.isArray(value) && value.every(isText));

const faults: Readonly<Record<string, Fault>> = {
  type: (value) => {
    const unknown = [value].flat().find((type) => !isText(type) || !types.includes(type));
    return unknown === undefined && value !== null
      ? undefined
      : `must be one of ${types.join(', ')}, or a list of them`;
  },
  enum: wants('a list that is not empty', (value) => Array.isArray(value) && value.length > 0),
  required: texts,
  dependentRequired: wants('a mapping of names to lists of texts', (value) => {
    return isObject(value) && Object.values(value).every((names) => texts(names) === undefined);
  }),
  minProperties: count,
  maxProperties: count,
  minItems: count,
  maxItems: count,
  minLength: count,
  maxLength: count,
  uniqueItems: wants('true or false', (value) => typeof value === 'boolean'),
  minimum: number,
  maximum: number,
  exclusiveMinimum: number,
  exclusiveMaximum: number,
  multipleOf: wants('a number above 0', (value) => typeof value === 'number' && value > 0),
  pattern: text,
  format: wants(`one of ${[...schemaFormats.keys()].join(', ')}`, (value) => isText(value) && schemaFormats.has(value)),
};

/** Reports what is wrong with the value of a keyword. `definitions` are those that a `$ref` may name. */
export function checkKeyword(keyword: string, node: YamlNode, definitions: JsonObject): void {
  if (keyword === 'patternProperties') {
    for (const [pattern, below] of node.isMapping ? (node.members(keyword) ?? []) : []) checkPattern(pattern, below);
  } else if (keyword === 'allOf' || keyword === 'anyOf' || keyword === 'oneOf') {
    if (node.isList && node.items(keyword)?.length === 0) node.refuse('wrong_value', `"${keyword}" must not be empty`);
  }
  const fault = Object.hasOwn(faults, keyword) ? faults[keyword] : undefined;
  if (fault === undefined && keyword !== '$ref') return;
  // Read only here: keywords that hold schemas are checked level by level.
  const value = node.json();
  const message = fault?.(value);
  if (message !== undefined) node.refuse('wrong_value', `"${keyword}" ${message}`);
  else if (keyword === 'pattern') checkPattern(value as string, node);
  else if (keyword === '$ref') {
    const name = isText(value) ? definitionName(value) : undefined;
    if (name !== undefined && ownMember(definitions, name) !== undefined) return;
    const known = Object.keys(definitions).slice(0, 10);
    const hint =
      known.length === 0 ? 'define it under "$defs", beside "subject"' : `the file defines ${known.join(', ')}`;
    node.refuse('wrong_value', '"$ref" must be #/$defs/ and a name that "$defs" of the file defines', hint);
  }
}

function checkPattern(pattern: string, node: YamlNode): void {
  try {
    compileRegularExpression(pattern);
  } catch (error) {
    if (!(error instanceof FunctionError)) throw error;
    node.refuse('bad_pattern', error.message);
  }
}

/**
 * Definitions that refer to themselves without a step into the value, which would never end: `#/$defs/a` that is `{
 * allOf: [{ $ref: '#/$defs/a' }] }`.
 */
export function endlessDefinitions(definitions: JsonObject): readonly string[] {
  const state = new Map<string, 'open' | 'ends' | 'endless'>();
  const leads = (schema: Json | undefined): boolean => {
    if (!isObject(schema)) return false;
    const { $ref, allOf, anyOf, oneOf } = schema;
    const name = isText($ref ?? null) ? definitionName($ref as string) : undefined;
    const parts = [allOf, anyOf, oneOf].flatMap((part) => (Array.isArray(part) ? part : []));
    const inside = [...parts, schema.not, schema.if, schema.then, schema.else];
    return (name !== undefined && isEndless(name)) || inside.some(leads);
  };
  const isEndless = (name: string): boolean => {
    const known = state.get(name);
    if (known !== undefined) return known !== 'ends';
    state.set(name, 'open');
    const endless = leads(ownMember(definitions, name));
    state.set(name, endless ? 'endless' : 'ends');
    return endless;
  };
  return Object.keys(definitions).filter(isEndless);
}
