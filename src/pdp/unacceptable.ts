import type { EngineDecision } from '../core/decision.js';
import { VerdictError } from '../errors.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';

/**
 * Refuses a request that the engine, which refuses nothing, has denied for what it is: it does not fit a schema that the
 * manifest rejects requests by, or names a tenant with control characters.
 *
 * @throws VerdictError invalid_request, with pointers into the request
 */
export function refuseUnacceptable(
  { compiled }: Pick<ServedPolicySet, 'compiled'>,
  { reason, errors }: Pick<EngineDecision, 'reason' | 'errors'>,
): void {
  const isRejected = reason.code === 'schema_violation' && compiled.manifest.schemaRequests === 'reject';
  if (!isRejected && errors[0]?.code !== 'control_character') return;
  throw new VerdictError('invalid_request', `The request is not valid: ${errors[0]?.message}.`, {
    errors: errors.map(({ pointer = '', message: detail }) => ({ pointer, detail })),
  });
}
