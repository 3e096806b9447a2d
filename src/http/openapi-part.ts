/** What a folder with routes of Fastify's own adds to the OpenAPI document, and what the descriptions share. */
import { type ErrorCode, errorTable } from '../errors.js';
import type { JsonSchema } from './json-schema.js';
import { problemType } from './problem.js';

export const schemaRef = '#/components/schemas/';

/** Routes of Fastify's own, as the folder that has them describes them. */
export interface OpenApiPart {
  readonly paths: Record<string, unknown>;
  readonly schemas: Record<string, JsonSchema>;
}

export interface Example {
  readonly summary: string;
  readonly value: unknown;
}

export function problems(...codes: ErrorCode[]): Record<number, unknown> {
  return Object.fromEntries(
    codes.map((code) => {
      const { status, title } = errorTable[code];
      return [status, { description: title, content: { [problemType]: { schema: { $ref: `${schemaRef}Problem` } } } }];
    }),
  );
}

export function jsonBody(schema: JsonSchema, examples?: Record<string, Example>) {
  const content = { schema, ...(examples !== undefined && { examples }) };
  return { required: true, content: { 'application/json': content } };
}

export function jsonContent(schema: JsonSchema) {
  return { content: { 'application/json': { schema } } };
}
