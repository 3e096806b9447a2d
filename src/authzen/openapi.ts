/** AuthZEN's routes in the OpenAPI document, by the schemas that their requests are validated by. */

import { type JsonSchema, jsonSchemas } from '../http/json-schema.js';
import { jsonBody, jsonContent, type OpenApiPart, problems } from '../http/openapi-part.js';
import { policySetBases } from '../http/policy-set-base.js';
import type { RequestLimits } from '../http/request-rules.js';
import { EvaluationsRequest, evaluationShapes } from './authzen-request.js';
import { wellKnown } from './metadata.js';
import { searchShapes } from './search-request.js';

const refPrefix = '#/components/schemas/';

const decision: JsonSchema = {
  type: 'object',
  properties: { decision: { type: 'boolean' }, context: { type: 'object' } },
  required: ['decision'],
};
const decisions: JsonSchema = {
  type: 'object',
  properties: { evaluations: { type: 'array', items: decision } },
  required: ['evaluations'],
};
const found: JsonSchema = {
  type: 'object',
  properties: {
    page: {
      type: 'object',
      properties: { next_token: { type: 'string' }, count: { type: 'integer' }, properties: { type: 'object' } },
      required: ['next_token'],
    },
    context: { type: 'object' },
    results: { type: 'array', items: { type: 'object' } },
  },
  required: ['results'],
};

/** What is asked where, by which shape, and answered how. */
const operations: readonly (readonly [path: string, request: string, summary: string, answer: JsonSchema])[] = [
  ['evaluation', 'EvaluationRequest', 'Access Evaluation', decision],
  ['evaluations', 'EvaluationsRequest', 'Access Evaluations', { anyOf: [decisions, decision] }],
  ['search/subject', 'SubjectSearchRequest', 'Subject Search', found],
  ['search/resource', 'ResourceSearchRequest', 'Resource Search', found],
  ['search/action', 'ActionSearchRequest', 'Action Search', found],
];

export function authzenOpenApi(limits: RequestLimits): OpenApiPart {
  const shapes = [...new Set([...evaluationShapes, ...searchShapes])];
  const paths: Record<string, unknown> = {};
  for (const base of policySetBases) {
    const ofSet = base === '' ? {} : { parameters: [setParameter] };
    const suffix = base === '' ? '' : 'OfSet';
    for (const [path, request, summary, answer] of operations) {
      paths[`${base.replace(':set', '{set}')}/access/v1/${path}`] = {
        post: {
          ...ofSet,
          operationId: `authzen${request.replace('Request', '')}${suffix}`,
          tags: ['authzen'],
          summary: `AuthZEN 1.0: ${summary}`,
          requestBody: jsonBody({ $ref: refPrefix + request }),
          responses: {
            200: { description: 'The answer.', ...jsonContent(answer) },
            ...problems('malformed_request', 'policy_set_not_found', 'payload_too_large', 'policy_set_unavailable'),
          },
        },
      };
    }
    paths[wellKnown + base.replace(':set', '{set}')] = {
      get: {
        ...ofSet,
        operationId: `authzenMetadata${suffix}`,
        tags: ['authzen'],
        summary: 'AuthZEN 1.0: where what is offered',
        responses: {
          200: { description: 'The metadata.', ...jsonContent({ type: 'object' }) },
          ...problems('not_found'),
        },
      },
    };
  }
  const schemas = jsonSchemas(shapes, limits, { unknownFields: 'ignore', refPrefix: refPrefix });
  // Without evaluations the defaults are one question, and have to be whole; the document shows the ordinary form.
  const evaluations = schemas[EvaluationsRequest.name] as { properties: Record<string, JsonSchema> };
  schemas[EvaluationsRequest.name] = {
    ...evaluations,
    properties: { ...evaluations.properties, evaluations: { ...evaluations.properties.evaluations, minItems: 1 } },
    required: ['evaluations'],
  };
  return { paths, schemas };
}

const setParameter = { name: 'set', in: 'path', required: true, schema: { type: 'string' } };
