/**
 * `/v1/decide`, `/decide` and `/v1/decide/batch`. They are registered on Nest's Fastify instance itself: a controller
 * costs 6 to 11 µs more per request, twenty times the evaluation.
 */
import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify';
import type { JsonObject } from '../core/request.js';
import { VerdictError } from '../errors.js';
import { answerInParts, isGone } from '../http/answer-in-parts.js';
import { askerOf } from '../http/asker.js';
import { Batch } from '../http/batch.js';
import { demandHeaders, demandOf } from '../http/demand-headers.js';
import type { Gate } from '../http/gate.js';
import type { HttpLimits } from '../http/http-limits.js';
import { invalidRequest, Validation, type Validator } from '../http/json-schema.js';
import type { Operation } from '../http/operation.js';
import { problemOf } from '../http/problem.js';
import type { BatchItem } from '../http/strict-json.js';
import { DecisionAnswer } from '../pdp/decision-answer.js';
import { demandsNothing } from '../pdp/demand.js';
import type { BatchOutcome, Pdp } from '../pdp/pdp.js';
import { BatchAnswer, type BatchProblem } from './batch-answer.js';
import { batchExamples, decideExamples } from './decide-examples.js';
import { ActionBody, DecideBatchRequest, DecideRequest, EntityBody } from './decide-request.js';

export const decideShapes = [EntityBody, ActionBody, DecideRequest, DecideBatchRequest] as const;

const decideOperation: Operation = {
  id: 'decide',
  tag: 'decide',
  summary: 'May this subject do this action on this resource?',
  body: DecideRequest,
  examples: decideExamples,
  headers: demandHeaders,
  answers: { 200: { description: 'Allowed or denied: only `allowed: true` may go forward.', json: DecisionAnswer } },
  refusals: [
    'malformed_request',
    'token_unknown',
    'token_invalid',
    'token_expired',
    'unknown_revision',
    'no_revision',
    'policy_set_not_found',
    'payload_too_large',
    'policy_set_unavailable',
    'policy_too_old',
    'token_issuer_unavailable',
  ],
};

const batchOperation: Operation = {
  id: 'decideBatch',
  tag: 'decide',
  summary: 'Many questions, answered in their order from one version of each policy set',
  body: DecideBatchRequest,
  examples: batchExamples,
  headers: demandHeaders,
  answers: { 200: { description: 'A decision or a problem for each request.', json: BatchAnswer } },
  refusals: ['malformed_request', 'payload_too_large', 'decision_log_unavailable'],
};

export function registerDecideRoutes(fastify: FastifyInstance, pdp: Pdp, limits: HttpLimits, gate: Gate): void {
  const validation = new Validation(decideShapes, limits, 'refuse');
  const validated = (shape: (typeof decideShapes)[number], operation: Operation): RouteShorthandOptions => ({
    config: { access: 'decide', limit: 'decide', operation },
    schema: { body: { $ref: shape.name } },
    validatorCompiler: () => validation.of(shape),
    schemaErrorFormatter: invalidRequest,
  });

  for (const [path, operation] of [
    ['/v1/decide', decideOperation],
    ['/decide', { ...decideOperation, id: 'decideAlias', summary: 'The same as /v1/decide' }],
  ] as const) {
    fastify.post<{ Body: DecideRequest }>(path, validated(DecideRequest, operation), (request) =>
      pdp.decide(withDemand(request), askerOf(request, 'decide')),
    );
  }

  const batchOptions = validated(DecideBatchRequest, batchOperation);
  const isRequest = validation.of(DecideRequest);
  fastify.post<{ Body: DecideBatchRequest }>(
    '/v1/decide/batch',
    { ...batchOptions, config: { ...batchOptions.config, list: 'requests' }, bodyLimit: limits.batchBytes },
    (request, reply) => {
      const endsAt = performance.now() + limits.batchSeconds * 1000;
      // What the content type parser leaves of the list.
      const items = request.body.requests as readonly BatchItem[];
      const defaults = { ...demandOf(request), ...request.body.defaults } as JsonObject;
      const batch = new Batch(items, defaults, request.bodyBytes, limits);
      gate.charge('decide', request, reply, batch.count, batch.bytes);
      const parts = pdp.decideBatch(eachRequest(batch, isRequest), askerOf(request, 'batch'), {
        count: batch.count,
        endsAt,
        demands: { defaults, own: batch.demands() },
        isGone: () => isGone(request),
        textOf: (outcome) => JSON.stringify(decisionOrProblem(outcome, request.id)),
      });
      return answerInParts(reply, '{"decisions":[', parts, ']}');
    },
  );
}

/** The question of the body; headers say how fresh its set must be where it does not. */
function withDemand(request: FastifyRequest<{ Body: DecideRequest }>): DecideRequest {
  const demand = demandOf(request);
  return demandsNothing(demand) ? request.body : { ...demand, ...request.body };
}

/** The items with the defaults added, each validated by itself. */
function* eachRequest(batch: Batch, isRequest: Validator): Iterable<DecideRequest | VerdictError> {
  for (const item of batch.each()) {
    if (item instanceof VerdictError) yield item;
    else yield isRequest(item) ? (item as unknown as DecideRequest) : invalidRequest(isRequest.errors!);
  }
}

function decisionOrProblem(answer: BatchOutcome, requestId: string): DecisionAnswer | BatchProblem {
  return answer instanceof VerdictError ? { problem: problemOf(answer, requestId) } : answer;
}
