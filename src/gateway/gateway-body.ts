import type { RequestLimits } from '../core/asked/attribute-count.js';
import { VerdictError } from '../errors.js';
import { parseStrictJson, parseStrictJsonInTurns } from '../http/strict-json.js';
import type { GatewayBody } from './gateway-request.js';

/** Bodies longer than this, in bytes, are parsed in turns. */
const atOnceBytes = 64 * 1024;

/** What a gateway tells when it sends only the beginning of a body. */
export const partialBody: GatewayBody = Object.freeze({ fault: 'The gateway does not send the whole body.' });

/**
 * Reads the body of a client's request as JSON, whatever content type it claims, since the server behind the gateway may
 * not look at that either. What two readers could read differently is a fault (`http/strict-json.ts`).
 */
export async function readGatewayBody(
  bytes: Buffer,
  { attributeDepth: depth, attributeMembers, attributeElements }: RequestLimits,
): Promise<GatewayBody> {
  if (bytes.length === 0) return { value: undefined };
  const limits = { depth, values: 2 * (attributeMembers + attributeElements) };
  try {
    const value =
      bytes.length <= atOnceBytes ? parseStrictJson(bytes, limits) : await parseStrictJsonInTurns(bytes, limits);
    return { value };
  } catch (error) {
    if (error instanceof VerdictError) return { fault: 'The body is not strict JSON.' };
    throw error;
  }
}
