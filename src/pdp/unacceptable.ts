import type { EngineDecision } from '../core/decision.js';
import { VerdictError } from '../errors.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';

/**
 * Whether the engine, which refuses nothing, has denied a request for what it is: it does not fit a schema that the manifest
 * rejects requests by, or names a tenant with control characters.
 */
export function isUnacceptable(
  { compiled }: Pick<ServedPolicySet, 'compiled'>,
  { reason, errors }: Pick<EngineDecision, 'reason' | 'errors'>,
): boolean {
  const isRejected = reason.code === 'schema_violation' && compiled.manifest.schemaRequests === 'reject';
  return isRejected || errors[0]?.code === 'control_character';
}

/**
 * Refuses a request that is not acceptable (`isUnacceptable`).
 *
 * @throws VerdictError invalid_request, with pointers into the request
 */
export function refuseUnacceptable(
  set: Pick<ServedPolicySet, 'compiled'>,
  decision: Pick<EngineDecision, 'reason' | 'errors'>,
): void {
  if (!isUnacceptable(set, decision)) return;
  const { errors } = decision;
  throw new VerdictError('invalid_request', `The request is not valid: ${errors[0]?.message}.`, {
    errors: errors.map(({ pointer = '', message: detail }) => ({ pointer, detail })),
  });
}
