/** `/docs` and `/docs-json`: the schemas are the ones that requests are validated by. */
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DocumentBuilder, type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import type { FastifyInstance } from 'fastify';
import { AuditQuery } from '../audit/audit-event.js';
import { DecisionQuery } from '../decision-log/decision-query.js';
import { ExportQuery } from '../decision-log/export-query.js';
import { StatsQuery } from '../decision-log/stats-query.js';
import type { HttpLimits } from '../http/fastify-adapter.js';
import { type JsonSchema, jsonSchemas } from '../http/json-schema.js';
import { type Example, jsonBody, jsonContent, type OpenApiPart, problems, schemaRef } from '../http/openapi-part.js';
import { Problem } from '../http/problem.js';
import { DecisionAnswer } from '../pdp/decision-answer.js';
import { answerSchemas, answers } from './answer-schemas.js';
import { CreateApiKeyRequest, RotateApiKeyRequest } from './api-keys.requests.js';
import { decideShapes } from './decide-routes.js';
import { describedRequest, describedRequests, describedSchemas } from './described-requests.js';
import { withAccess } from './openapi-access.js';
import { DiffQuery, RollbackRequest, VersionsQuery } from './policy-sets.requests.js';
import { ReplayRequest } from './replay.request.js';

/** Nest's scanner knows the classes of queries, not what their members may be. */
const queries = {
  '/v1/decisions': DecisionQuery,
  '/v1/decisions/stats': StatsQuery,
  '/v1/decisions/export': ExportQuery,
  '/v1/audit-events': AuditQuery,
  '/v1/policy-sets/{set}/versions': VersionsQuery,
  '/v1/policy-sets/{set}/diff': DiffQuery,
};

/** So are those of bodies. */
const bodies = [RollbackRequest, ReplayRequest, CreateApiKeyRequest, RotateApiKeyRequest] as const;

export function openApiDocument(
  app: NestFastifyApplication,
  limits: HttpLimits,
  version: string,
  parts: readonly OpenApiPart[],
): OpenAPIObject {
  const base = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Verdict')
    .setDescription('A policy decision point: Casbin models decide, every decision is recorded.')
    .setVersion(version)
    .build();
  const document = SwaggerModule.createDocument(app, base);
  const requests = jsonSchemas([...decideShapes, ...bodies], limits, {
    unknownFields: 'refuse',
    refPrefix: schemaRef,
  });
  const answered = jsonSchemas([DecisionAnswer, Problem], limits, { unknownFields: 'ignore', refPrefix: schemaRef });
  for (const [path, shape] of Object.entries(queries)) {
    const operation = document.paths[path]!.get!;
    operation.parameters = [...(operation.parameters ?? []), ...queryParameters(shape, limits)];
  }
  const { declaredRoutes } = app.getHttpAdapter().getInstance() as FastifyInstance;
  const schemas = {
    ...document.components?.schemas,
    ...describedSchemas,
    ...describedRequests(requests),
    ...answered,
    ...answerSchemas,
  };
  const whole = {
    ...document,
    // The decide routes are Fastify's own, so Nest does not know them.
    paths: Object.assign(decidePaths(), ...parts.map(({ paths }) => paths), document.paths),
    components: {
      ...document.components,
      schemas: Object.assign(schemas, ...parts.map((part) => describedRequests(part.schemas))),
    },
  } as OpenAPIObject;
  return withAnswers(withAccess(whole, declaredRoutes));
}

/** A copy of the document with the answers of the routes that were found by Nest's scanner. */
function withAnswers(document: OpenAPIObject): OpenAPIObject {
  const paths: Record<string, Record<string, { responses: Record<string, object> }>> = structuredClone(
    document.paths,
  ) as never;
  for (const [route, { content, problems: refusals }] of Object.entries(answers)) {
    const [method, path] = route.split(' ') as [string, string];
    const operation = paths[path]![method]!;
    const body = Object.fromEntries(Object.entries(content).map(([type, schema]) => [type, { schema }]));
    for (const [status, response] of Object.entries(operation.responses)) {
      // Where nothing is well, health says so in the same form.
      const isAnswer = status.startsWith('2') || (status === '503' && path.startsWith('/health'));
      if (isAnswer && Object.keys(body).length > 0) Object.assign(response, { content: body });
    }
    operation.responses = { ...problems(...refusals), ...operation.responses } as Record<string, object>;
  }
  return { ...document, paths } as unknown as OpenAPIObject;
}

/** Swagger UI from this machine: no content delivery network, no validator of others. */
export function serveDocs(app: NestFastifyApplication, document: () => OpenAPIObject): void {
  SwaggerModule.setup('docs', app, document, {
    jsonDocumentUrl: 'docs-json',
    raw: ['json'],
    customSiteTitle: 'Verdict',
    swaggerOptions: { validatorUrl: 'none', requestInterceptor: sendCsrfToken },
  });
}

/**
 * Runs in the browser, as text: with a session (`POST /v1/session`) whatever changes something must repeat its CSRF token.
 */
function sendCsrfToken(request: { headers: Record<string, string> }): object {
  const { document } = globalThis as unknown as { document: { cookie: string } };
  const cookie = document.cookie.split('; ').find((each) => each.startsWith('verdict-csrf='));
  if (cookie !== undefined) request.headers['x-csrf-token'] = cookie.slice('verdict-csrf='.length);
  return request;
}

function decidePaths(): Record<string, unknown> {
  const decide = (operationId: string) => ({
    operationId,
    tags: ['decide'],
    summary: 'May this subject do this action on this resource?',
    requestBody: jsonBody({ $ref: `${schemaRef}DecideRequest` }, decideExamples),
    responses: {
      200: {
        description: 'Allowed or denied: only `allowed: true` may go forward.',
        ...jsonContent({ $ref: `${schemaRef}DecisionAnswer` }),
      },
      ...problems('malformed_request', 'policy_set_not_found', 'payload_too_large', 'policy_set_unavailable'),
    },
  });
  const batchAnswer = {
    type: 'object',
    properties: {
      decisions: {
        type: 'array',
        items: {
          anyOf: [
            { $ref: `${schemaRef}DecisionAnswer` },
            { type: 'object', properties: { problem: { $ref: `${schemaRef}Problem` } }, required: ['problem'] },
          ],
        },
      },
    },
    required: ['decisions'],
  };
  const links = ['service', 'version', 'documentation', 'openapi', 'decide', 'ready'];
  const frontPage = {
    type: 'object',
    properties: Object.fromEntries(links.map((name) => [name, { type: 'string' }])),
    required: links,
  };
  return {
    '/': {
      get: {
        operationId: 'frontPage',
        tags: ['documentation'],
        summary: 'Where to go from here: a page for people, JSON for programs',
        responses: { 200: { description: 'Paths of this service.', ...jsonContent(frontPage) } },
      },
    },
    '/v1/decide': { post: decide('decide') },
    '/decide': { post: { ...decide('decideUnversioned'), summary: 'The same as /v1/decide' } },
    '/v1/decide/batch': {
      post: {
        operationId: 'decideBatch',
        tags: ['decide'],
        summary: 'Many questions, answered in their order from one version of each policy set',
        requestBody: jsonBody({ $ref: `${schemaRef}DecideBatchRequest` }, batchExamples),
        responses: {
          200: { description: 'A decision or a problem for each request.', ...jsonContent(batchAnswer) },
          ...problems('malformed_request', 'payload_too_large', 'decision_log_unavailable'),
        },
      },
    },
  };
}

function queryParameters(shape: new () => object, limits: HttpLimits): [] {
  const schema = jsonSchemas([shape], limits, { unknownFields: 'ignore', refPrefix: schemaRef })[shape.name] as {
    properties: Record<string, JsonSchema>;
    required?: string[];
  };
  const parameters = Object.entries(schema.properties).map(([name, property]) => ({
    name,
    in: 'query',
    ...(schema.required?.includes(name) && { required: true }),
    schema: describedRequest(property),
  }));
  // @nestjs/swagger types schemas as OpenAPI 3.0's; these are JSON Schema, as 3.1 has them.
  return parameters as unknown as [];
}

/** Of the bundled set `default`, a clinic. Swagger UI shows the first one, so it is one that is allowed. */
const ask = (action: string, resource: object) => ({ subject: { type: 'user', id: 'dana' }, action, resource });
const read = ask('read', { type: 'lab-result', id: 'L-2231' });
const write = ask('write', { type: 'prescription', id: 'R-5190' });
const decideExamples: Record<string, Example> = {
  allowed: { summary: 'A nurse reads a lab result', value: read },
  denied: { summary: 'A nurse writes a prescription', value: write },
  explained: { summary: 'The same, and what would have to be otherwise', value: { ...write, explain: 'full' } },
};
const batchExamples: Record<string, Example> = {
  two: { summary: 'Both at once', value: { requests: [read, write] } },
};
