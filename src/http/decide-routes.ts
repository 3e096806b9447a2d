/**
 * `/v1/decide`, `/decide` and `/v1/decide/batch`. They are registered on Nest's Fastify instance itself: a controller
 * costs 11 µs more per request, twenty times the evaluation.
 */
import type { FastifyInstance, RouteShorthandOptions } from 'fastify';
import { VerdictError } from '../core/errors.js';
import type { DecisionAnswer } from '../pdp/decision-answer.js';
import type { Pdp } from '../pdp/pdp.js';
import { askerOf } from './asker.js';
import { ActionBody, DecideBatchRequest, DecideRequest, EntityBody } from './decide-request.js';
import type { HttpLimits } from './fastify-adapter.js';
import type { Gate } from './gate.js';
import { invalidRequest, Validation } from './json-schema.js';
import { type Problem, problemOf } from './problem.js';

export const decideShapes = [EntityBody, ActionBody, DecideRequest, DecideBatchRequest] as const;

export function registerDecideRoutes(fastify: FastifyInstance, pdp: Pdp, limits: HttpLimits, gate: Gate): void {
  const validation = new Validation(decideShapes, limits, 'refuse');
  const validated = (shape: (typeof decideShapes)[number]): RouteShorthandOptions => ({
    config: { access: 'decide', limit: 'decide' },
    schema: { body: { $ref: shape.name } },
    validatorCompiler: () => validation.of(shape),
    schemaErrorFormatter: invalidRequest,
  });

  for (const path of ['/v1/decide', '/decide']) {
    fastify.post<{ Body: DecideRequest }>(path, validated(DecideRequest), (request) =>
      pdp.decide(request.body, askerOf(request, 'decide')),
    );
  }

  const batchOptions = { ...validated(DecideBatchRequest), bodyLimit: limits.batchBytes };
  fastify.post<{ Body: DecideBatchRequest }>('/v1/decide/batch', batchOptions, async (request, reply) => {
    gate.charge('decide', request, reply, request.body.requests.length, request.bodyBytes);
    const questions = eachRequest(request.body, validation);
    const answers = await pdp.decideBatch(questions, askerOf(request, 'batch'));
    return { decisions: answers.map((answer) => decisionOrProblem(answer, request.id)) };
  });
}

/** The items with the defaults added, each validated by itself, one at a time as the batch gets to them. */
function* eachRequest(
  { defaults, requests }: DecideBatchRequest,
  validation: Validation,
): Iterable<DecideRequest | VerdictError> {
  const validate = validation.of(DecideRequest);
  for (const item of requests) {
    const isObject = typeof item === 'object' && item !== null && !Array.isArray(item);
    const request: unknown = isObject ? { ...defaults, ...item } : item;
    yield validate(request) ? (request as DecideRequest) : invalidRequest(validate.errors!);
  }
}

function decisionOrProblem(
  answer: DecisionAnswer | VerdictError,
  requestId: string,
): DecisionAnswer | { problem: Problem } {
  return answer instanceof VerdictError ? { problem: problemOf(answer, requestId) } : answer;
}
