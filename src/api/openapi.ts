/**
 * The OpenAPI document: what the routes say of themselves in their config (`http/operation.ts`), with the schemas of the
 * very classes that requests are validated by and answers are typed by.
 */
import type { AnswerShape } from '../answers/members.js';
import { plainTextPattern } from '../core/names.js';
import { type ErrorCode, errorTable } from '../errors.js';
import type { DeclaredRoute } from '../http/access.js';
import type { HttpLimits } from '../http/http-limits.js';
import { type JsonSchema, jsonSchemas } from '../http/json-schema.js';
import type { Operation, OperationAnswer } from '../http/operation.js';
import { Problem, problemType } from '../http/problem.js';
import { mayHoldAnything } from '../http/request-target.js';
import { describedRequests, describedSchemas } from './described-requests.js';
import { accessOf, securitySchemes } from './openapi-access.js';

const schemaRef = '#/components/schemas/';

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly description: string; readonly version: string };
  /** By path and method in lower case. */
  readonly paths: Readonly<Record<string, Readonly<Record<string, object>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>>; readonly securitySchemes: object };
}

export function openApiDocument(
  routes: readonly DeclaredRoute[],
  limits: HttpLimits,
  version: string,
): OpenApiDocument {
  const shown = routes.flatMap(({ operation, ...route }) =>
    operation !== undefined && (operation.shownMethod ?? route.method) === route.method && route.method !== 'HEAD'
      ? [{ ...route, operation }]
      : [],
  );
  const paths: Record<string, Record<string, object>> = {};
  for (const route of shown) {
    const path = route.url.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: describe(route, limits) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Verdict',
      description: 'A policy decision point: Casbin models decide, every decision is recorded.',
      version,
    },
    paths,
    components: {
      schemas: schemasOf(
        shown.map(({ operation }) => operation),
        limits,
      ),
      securitySchemes,
    },
  };
}

function describe({ method, url, access, operation }: DeclaredRoute & { operation: Operation }, limits: HttpLimits) {
  const { description, security, refusals: refused } = accessOf(access);
  const parameters = parametersOf(operation, url, limits);
  return {
    operationId: operation.id,
    tags: [operation.tag],
    summary: operation.summary,
    ...(description !== undefined && { description }),
    ...(parameters.length > 0 && { parameters }),
    ...((method === 'POST' || operation.body !== undefined) && { requestBody: bodyOf(operation) }),
    responses: {
      ...refusals(operation.refusals ?? []),
      ...Object.fromEntries(Object.entries(operation.answers).map(([status, answer]) => [status, responseOf(answer)])),
      ...Object.fromEntries(Object.entries(refused).map(([status, why]) => [status, problemResponse(why)])),
      default: problemResponse('Any other refusal'),
    },
    security,
  };
}

function parametersOf({ query, headers = [] }: Operation, url: string, limits: HttpLimits): object[] {
  const string = { type: 'string' };
  const inPath = [...url.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: mayHoldAnything(name!) ? string : { ...string, pattern: plainTextPattern },
  }));
  const inHeader = headers.map(({ name, required = false, description, pattern }) => ({
    name,
    in: 'header',
    required,
    ...(description !== undefined && { description }),
    schema: pattern === undefined ? string : { ...string, pattern },
  }));
  if (query === undefined) return [...inPath, ...inHeader];
  const { [query.name]: schema } = jsonSchemas([query], limits, { unknownFields: 'ignore', refPrefix: schemaRef });
  const { properties, required } = schema as { properties: Record<string, JsonSchema>; required?: string[] };
  const inQuery = Object.entries(properties).map(([name, property]) => ({
    name,
    in: 'query',
    ...(required?.includes(name) && { required: true }),
    schema: property,
  }));
  return [...inPath, ...inQuery, ...inHeader];
}

function bodyOf({ body, bytes, examples }: Operation): object {
  // An HTML form of another site cannot send this content type, so a POST without a body must have it too.
  const schema = body === undefined ? { type: 'object', additionalProperties: false } : refTo(body);
  const json = { schema, ...(examples !== undefined && { examples }) };
  return {
    required: true,
    content: {
      'application/json': json,
      // JSON Schema has no word for bytes; generators know this one.
      ...(bytes !== undefined && { [bytes]: { schema: { type: 'string', format: 'binary' } } }),
    },
  };
}

function responseOf({ description, json, text = [] }: OperationAnswer): object {
  const types = [
    ...(json === undefined ? [] : [['application/json', { schema: oneOf([json].flat()) }]]),
    ...text.map((type) => [type, { schema: { type: 'string' } }]),
  ];
  return types.length === 0 ? { description } : { description, content: Object.fromEntries(types) };
}

/** One response for each status, since several codes can share one. */
function refusals(codes: readonly ErrorCode[]): Record<number, object> {
  const titles = new Map<number, string[]>();
  for (const code of codes) {
    const { status, title } = errorTable[code];
    titles.set(status, [...(titles.get(status) ?? []), title]);
  }
  return Object.fromEntries([...titles].map(([status, all]) => [status, problemResponse(all.join('; '))]));
}

function problemResponse(description: string): object {
  return { description, content: { [problemType]: { schema: refTo(Problem) } } };
}

function oneOf(shapes: readonly AnswerShape[]): JsonSchema {
  return shapes.length === 1 ? refTo(shapes[0]!) : { anyOf: shapes.map(refTo) };
}

function refTo({ name }: AnswerShape): JsonSchema {
  return { $ref: schemaRef + name };
}

/** Every class that an operation names, and what those refer to. */
function schemasOf(operations: readonly Operation[], limits: HttpLimits): Record<string, JsonSchema> {
  const bodies = (ignoresUnknown: boolean) =>
    operations.flatMap(({ body, ignoresUnknown: ignores = false }) =>
      body !== undefined && ignores === ignoresUnknown ? [body] : [],
    );
  const answers = operations.flatMap((operation) =>
    Object.values(operation.answers).flatMap(({ json = [] }) => [json].flat()),
  );
  const document = (shapes: readonly AnswerShape[], unknownFields: 'refuse' | 'ignore') =>
    jsonSchemas(shapes, limits, { unknownFields, refPrefix: schemaRef });
  const groups = [
    describedSchemas,
    describedRequests(document(bodies(false), 'refuse')),
    describedRequests(document(bodies(true), 'ignore')),
    document([...answers, Problem], 'refuse'),
  ];
  const names = groups.flatMap((group) => Object.keys(group));
  // A request and an answer must not share a class: requests and answers allow different additional members.
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`two schemas of the OpenAPI document have the name ${twice}`);
  return Object.assign({}, ...groups);
}
