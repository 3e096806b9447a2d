import type { FastifyRequest } from 'fastify';
import type { Asker } from '../pdp/question.js';
import { traceIdOf } from './request-ids.js';

/** On whose behalf a request asks the PDP; `via` names the door. */
export function askerOf({ caller, id: requestId, headers }: FastifyRequest, via: string): Asker {
  const { name, method: authentication, grants } = caller;
  return { caller: name, authentication, grants, via, requestId, traceId: traceIdOf(headers) };
}
