/**
 * Access Evaluation and Access Evaluations (sections 6 and 7): a thin edge over the PDP, so that the same question has the
 * same answer here and at `/v1/decide`.
 */
import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify';
import type { JsonObject } from '../core/request.js';
import { VerdictError } from '../errors.js';
import { answerInParts, isGone } from '../http/answer-in-parts.js';
import { askerOf } from '../http/asker.js';
import { Batch } from '../http/batch.js';
import { demandOf } from '../http/demand-headers.js';
import type { Gate } from '../http/gate.js';
import type { HttpLimits } from '../http/http-limits.js';
import { invalidRequest, Validation } from '../http/json-schema.js';
import type { Operation } from '../http/operation.js';
import { freshPolicySetOf, policySetBases } from '../http/policy-set-base.js';
import type { BatchItem } from '../http/strict-json.js';
import type { Demand } from '../pdp/demand.js';
import type { FreshSets } from '../pdp/fresh-sets.js';
import type { BatchOutcome, Pdp } from '../pdp/pdp.js';
import type { Question } from '../pdp/question.js';
import { AuthzenDecision, AuthzenDecisions, authzenDecision, failedDecision } from './authzen-decision.js';
import { authzenOperation } from './authzen-operation.js';
import {
  EvaluationRequest,
  type EvaluationSemantic,
  EvaluationsRequest,
  evaluationShapes,
  inAuthzenWords,
  questionOf,
} from './authzen-request.js';

export interface EvaluationServices {
  readonly pdp: Pdp;
  readonly freshSets: FreshSets;
  readonly limits: HttpLimits;
  readonly gate: Gate;
  /** Whether callers say which obligations they execute (draft `obligations`). */
  readonly negotiatesObligations: boolean;
}

const viaName = 'authzen';

export function registerEvaluationRoutes(fastify: FastifyInstance, services: EvaluationServices): void {
  const { pdp, freshSets, limits, gate, negotiatesObligations } = services;
  const validation = new Validation(evaluationShapes, limits, 'ignore');
  const isEvaluation = validation.of(EvaluationRequest);
  const validated = (shape: (typeof evaluationShapes)[number], operation: Operation): RouteShorthandOptions => ({
    config: { access: 'decide', limit: 'decide', operation },
    schema: { body: { $ref: shape.name } },
    validatorCompiler: () => validation.of(shape),
    schemaErrorFormatter: invalidRequest,
  });

  async function evaluate(body: EvaluationRequest, request: FastifyRequest): Promise<AuthzenDecision> {
    const demand = demandOf(request);
    const found = freshPolicySetOf(request, freshSets, demand);
    const { name } = found instanceof Promise ? await found : found;
    const answer = pdp.decide(questionOf(body, name, demand, negotiatesObligations), askerOf(request, viaName));
    return authzenDecision(
      await answer.catch((error) => {
        throw inAuthzenWords(error);
      }),
    );
  }

  /** Each item with the defaults added, validated by itself. */
  function* questionsOf(batch: Batch, policySet: string, demand: Demand): Iterable<Question | VerdictError> {
    for (const item of batch.each()) {
      if (item instanceof VerdictError) yield item;
      else if (isEvaluation(item))
        yield questionOf(item as unknown as EvaluationRequest, policySet, demand, negotiatesObligations);
      else yield invalidRequest(isEvaluation.errors!);
    }
  }

  for (const base of policySetBases) {
    const one = authzenOperation(base, {
      id: 'evaluateAccess',
      summary: 'AuthZEN 1.0: Access Evaluation',
      body: EvaluationRequest,
      json: AuthzenDecision,
    });
    fastify.post<{ Body: EvaluationRequest }>(
      `${base}/access/v1/evaluation`,
      validated(EvaluationRequest, one),
      (request) => evaluate(request.body, request),
    );

    const many = authzenOperation(base, {
      id: 'evaluateAccessBatch',
      summary: 'AuthZEN 1.0: Access Evaluations',
      body: EvaluationsRequest,
      json: [AuthzenDecisions, AuthzenDecision],
    });
    const options = validated(EvaluationsRequest, many);
    fastify.post<{ Body: EvaluationsRequest }>(
      `${base}/access/v1/evaluations`,
      { ...options, config: { ...options.config, list: 'evaluations' }, bodyLimit: limits.batchBytes },
      async (request, reply) => {
        const endsAt = performance.now() + limits.batchSeconds * 1000;
        const { body } = request;
        const { evaluations = [], options = {} } = body;
        if (evaluations.length === 0) {
          // Section 7.1: without items it is an Access Evaluation, its errors included.
          if (!isEvaluation(body)) throw invalidRequest(isEvaluation.errors!);
          return evaluate(body as unknown as EvaluationRequest, request);
        }
        const demand = demandOf(request);
        const { name: policySet } = await freshPolicySetOf(request, freshSets, demand);
        // The content type parser leaves the items of the list unparsed.
        const items = evaluations as readonly BatchItem[];
        const batch = new Batch(items, defaultsOf(body), request.bodyBytes, limits);
        gate.charge('decide', request, reply, batch.count, batch.bytes);
        const parts = pdp.decideBatch(questionsOf(batch, policySet, demand), askerOf(request, viaName), {
          count: batch.count,
          endsAt,
          demands: { defaults: { policySet, ...demand }, own: [] },
          isLast: endOf(options.evaluations_semantic ?? 'execute_all'),
          isGone: () => isGone(request),
          textOf: (outcome) => JSON.stringify(decisionOf(outcome)),
        });
        return answerInParts(reply, '{"evaluations":[', parts, ']}');
      },
    );
  }
}

function defaultsOf({ subject, action, resource, context }: EvaluationsRequest): JsonObject {
  return {
    ...(subject !== undefined && { subject }),
    ...(action !== undefined && { action }),
    ...(resource !== undefined && { resource }),
    ...(context !== undefined && { context }),
  };
}

/** Tells after which answer a batch ends (section 7.1.2.1). A failed item counts as a denial. */
function endOf(semantic: EvaluationSemantic): (answer: BatchOutcome) => boolean {
  const permits = (answer: BatchOutcome) => !(answer instanceof VerdictError) && answer.allowed;
  switch (semantic) {
    case 'execute_all':
      return () => false;
    case 'deny_on_first_deny':
      return (answer) => !permits(answer);
    case 'permit_on_first_permit':
      return permits;
    default:
      return semantic satisfies never;
  }
}

function decisionOf(answer: BatchOutcome): AuthzenDecision {
  return answer instanceof VerdictError ? failedDecision(answer) : authzenDecision(answer);
}
