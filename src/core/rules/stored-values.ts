/**
 * Values of stored attributes against the schema of their entity's type. Members that a request may add are not
 * required here.
 */

import type { StoredEntity } from '../manifest/entities.js';
import { definitionName, SchemaCompiler } from '../manifest/json-schema.js';
import type { AttributeSchema } from '../manifest/schema.js';
import type { SchemaCheck, SchemaFault } from '../manifest/schema-checking.js';
import { type NamedText, readYamlInSteps, type YamlNode } from '../manifest/yaml-document.js';
import { isObject, ownMember } from '../matcher/values.js';
import type { Json, JsonObject } from '../request.js';
import type { Semantics } from '../semantics.js';

/** The nodes of a list of entities, by entity. They are not kept, since only problems need them. */
export function* entityNodes(
  source: NamedText,
  semantics?: Semantics,
): Generator<void, (entity: StoredEntity) => YamlNode | undefined> {
  const nodes = new Map<string, YamlNode>();
  for (const node of (yield* readYamlInSteps(source, () => {}, semantics))?.items('the list of entities') ?? []) {
    const { type, id } = node.json() as { readonly type: string; readonly id: string };
    nodes.set(JSON.stringify([type, id]), node);
  }
  return ({ type, id }) => nodes.get(JSON.stringify([type, id]));
}

/** Finds the attributes of an entity that no schema of its type allows, each with its first fault. */
export type StoredValueCheck = (entity: StoredEntity) => readonly SchemaFault[];

export function storedValueCheck({ entities, definitions }: AttributeSchema): StoredValueCheck {
  const compiler = new SchemaCompiler(definitions);
  const byType = new Map<string, SchemaCheck[]>();
  for (const schemas of [entities.subject, entities.resource]) {
    for (const [type, schema] of schemas) {
      byType.set(type, [...(byType.get(type) ?? []), compiler.compile(ofEachAttribute(schema, definitions))]);
    }
  }
  return ({ type, attributes }) => {
    const checks = byType.get(type);
    if (checks === undefined) return [];
    return Object.entries(attributes).flatMap(([name, value]) => {
      const alone: JsonObject = Object.create(null);
      alone[name] = value;
      const found = checks.map((check) => check(alone));
      const [fault] = found;
      if (fault === undefined || found.includes(undefined)) return [];
      return fault === 'step_budget_exceeded' ? [{ path: [name], message: 'takes too many steps to check' }] : [fault];
    });
  };
}

/**
 * The schema of each attribute by itself, without `required` and rules about several attributes, since a request may
 * bring the others.
 */
function ofEachAttribute(schema: Json, definitions: JsonObject): Json {
  if (!isObject(schema)) return schema;
  const kept: JsonObject = {};
  for (const keyword of ['properties', 'patternProperties', 'additionalProperties', 'propertyNames']) {
    const value = schema[keyword];
    if (value !== undefined) kept[keyword] = value;
  }
  const name = typeof schema.$ref === 'string' ? definitionName(schema.$ref) : undefined;
  const referred = name === undefined ? undefined : ownMember(definitions, name);
  const parts = [...(Array.isArray(schema.allOf) ? schema.allOf : []), ...(referred === undefined ? [] : [referred])];
  return { ...kept, allOf: parts.map((part) => ofEachAttribute(part, definitions)) };
}
