/**
 * Who may do what by a policy set: the enumeration of the command line (docs/analysis.md), on what serves or on an older
 * version. Work is bounded by the number of questions, and done in turns.
 */
import type { FastifyInstance } from 'fastify';
import { type ReviewQuery, reviewAccessInSteps } from '../core/analysis/access-review.js';
import type { Entity } from '../core/request.js';
import { parseRfc3339 } from '../core/rfc3339.js';
import type { HttpLimits } from '../http/http-limits.js';
import { invalidRequest, Validation } from '../http/json-schema.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import { inTurns } from '../turns/turns.js';
import { AccessReviewAnswer, permissionAnswer } from './access-review-answer.js';
import { AccessReviewRequest, mostListed, WhatCanRequest, WhoCanRequest } from './access-review-request.js';

/** Most questions of one call: some seconds of work. */
const maxQuestions = 200_000;

const reviewRoutes = [
  { path: 'who-can', id: 'listWhoCan', shape: WhoCanRequest, summary: 'Who may do something, by which role and rule' },
  {
    path: 'what-can',
    id: 'listWhatCan',
    shape: WhatCanRequest,
    summary: 'What somebody may do, by which role and rule',
  },
  { path: 'access-review', id: 'listAccess', shape: AccessReviewRequest, summary: 'Everything that everybody may do' },
] as const;

export function registerAccessReviewRoutes(fastify: FastifyInstance, store: PolicyStore, limits: HttpLimits): void {
  const validation = new Validation(
    reviewRoutes.map(({ shape }) => shape),
    limits,
    'refuse',
  );
  for (const { path, id, shape, summary } of reviewRoutes) {
    fastify.post<{ Params: { readonly set: string }; Body: AccessReviewRequest }>(`/v1/policy-sets/:set/${path}`, {
      config: {
        access: 'policies:read',
        limit: 'search',
        operation: {
          id,
          tag: 'policy sets',
          summary,
          body: shape,
          answers: { 200: { description: 'What is allowed, always or under a condition.', json: AccessReviewAnswer } },
          refusals: [
            'invalid_request',
            'policy_set_not_found',
            'policy_set_unavailable',
            'policy_version_not_found',
            'policy_version_invalid',
          ],
        },
      },
      schema: { body: { $ref: shape.name } },
      validatorCompiler: () => validation.of(shape),
      schemaErrorFormatter: invalidRequest,
      handler: ({ params, body }) => answer(store, params.set, body),
    });
  }
}

async function answer(store: PolicyStore, name: string, body: AccessReviewRequest): Promise<AccessReviewAnswer> {
  const { version, at, limit = mostListed } = body;
  const set = version === undefined ? store.resolve(name) : await store.version(name, version);
  const now = at === undefined ? Date.now() : (parseRfc3339(at) as number);
  const options = { now, maxQuestions, maxPermissions: limit };
  const found = await inTurns(reviewAccessInSteps(set.compiled.compiled, queryOf(body), options));
  return {
    policySet: set.name,
    policyVersion: set.version,
    ...(set.revision !== undefined && { revision: set.revision }),
    clock: new Date(now).toISOString(),
    ...found,
    permissions: found.permissions.map(permissionAnswer),
  };
}

function queryOf({ subject, action, resource, attributes }: AccessReviewRequest): ReviewQuery {
  return {
    ...(subject !== undefined && { subject: entityOf(subject) }),
    ...(action !== undefined && { action }),
    ...(resource !== undefined && { resource: entityOf(resource) }),
    ...(attributes !== undefined && { attributes }),
  };
}

function entityOf(given: string | Entity): Entity {
  return typeof given === 'string' ? { id: given } : given;
}
