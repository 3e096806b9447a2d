/**
 * What the OpenAPI document says of bodies beyond the schemas that validate them: what is refused before any schema is asked
 * (NUL, integers that a double cannot hold), and that open objects are open. NUL and inexact integers within open objects
 * are refused too, which a schema could say only by naming every value.
 */
import type { JsonSchema } from '../http/json-schema.js';

const largestInteger = Number.MAX_SAFE_INTEGER;

const textPattern = '^[^\\u0000]*$';

/** Schemas that described requests refer to. */
export const describedSchemas: Readonly<Record<string, JsonSchema>> = {
  TimeZone: {
    type: 'string',
    enum: ['UTC', ...Intl.supportedValuesOf('timeZone')],
    description: 'An IANA time zone. Older names of these zones are taken as well.',
  },
};

/**
 * The schema of a request, or of a part of one, as the document shows it.
 *
 *     describedRequest({ type: 'object', properties: { id: { type: 'string' } }, additionalProperties: false })
 *     // the same, with a pattern for `id` that refuses NUL
 */
function describedRequest(schema: JsonSchema): JsonSchema {
  // Only Ajv knows it; how deep attributes may be nested is in the page on limits.
  const { attributeDepth: _, ...same } = schema;
  const described: JsonSchema = { ...same };
  for (const name of ['anyOf', 'allOf', 'oneOf']) {
    if (Array.isArray(same[name])) described[name] = (same[name] as JsonSchema[]).map(describedRequest);
  }
  switch (same.type) {
    case 'object': {
      const properties = same.properties as Record<string, JsonSchema> | undefined;
      if (properties !== undefined) {
        described.properties = Object.fromEntries(
          Object.entries(properties).map(([name, property]) => [name, describedRequest(property)]),
        );
      }
      return { additionalProperties: true, ...described };
    }
    case 'array':
      return { ...described, items: describedRequest((same.items as JsonSchema | undefined) ?? {}) };
    case 'integer':
      return { minimum: -largestInteger, maximum: largestInteger, ...described };
    case 'string': {
      const isFree = ['pattern', 'format', 'enum', 'const'].every((name) => same[name] === undefined);
      return isFree ? { ...described, pattern: textPattern } : described;
    }
    default:
      return described;
  }
}

/** As `describedRequest`, for schemas by their names. */
export function describedRequests(schemas: Readonly<Record<string, JsonSchema>>): Record<string, JsonSchema> {
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, describedRequest(schema)]));
}
