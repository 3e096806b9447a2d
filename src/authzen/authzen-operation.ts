import type { AnswerShape } from '../answers/members.js';
import { demandHeaders } from '../http/demand-headers.js';
import type { Operation } from '../http/operation.js';
import { idOnBase, type PolicySetBase } from '../http/policy-set-base.js';

/** The OpenAPI description of a route of the Authorization API, which exists at the root and below each set. */
export function authzenOperation(
  base: PolicySetBase,
  asked: Pick<Operation, 'id' | 'summary' | 'body'> & { readonly json: AnswerShape | readonly AnswerShape[] },
): Operation {
  const { id, summary, body, json } = asked;
  return {
    id: idOnBase(id, base),
    tag: 'authzen',
    summary,
    ...(body !== undefined && { body, ignoresUnknown: true }),
    headers: demandHeaders,
    answers: { 200: { description: 'The answer.', json } },
    refusals: [
      'malformed_request',
      'unknown_revision',
      'no_revision',
      'policy_set_not_found',
      'payload_too_large',
      'policy_set_unavailable',
      'policy_too_old',
    ],
  };
}
