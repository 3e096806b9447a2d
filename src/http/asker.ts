import type { FastifyRequest } from 'fastify';
import type { Asker } from '../pdp/question.js';
import { traceIdOf } from './request-ids.js';

/** Who asks the PDP by this request; `via` names the API that was used, for the record. */
export function askerOf({ caller, id: requestId, headers, span }: FastifyRequest, via: string): Asker {
  const { name, method: authentication, grants } = caller;
  const traceId = span?.traceId ?? traceIdOf(headers);
  return { caller: name, authentication, grants, via, requestId, traceId, span };
}
