/** Headers of a client's request in the request of a gateway that asks about it over HTTP. */
import type { FastifyRequest } from 'fastify';
import { Authenticator } from '../auth/authenticator.js';
import { VerdictError } from '../errors.js';

/**
 * A header's value. If it occurs twice, two parties set it, and one may be the client.
 *
 * @throws VerdictError `malformed_request`
 */
export function oneHeader({ raw, headers }: FastifyRequest, name: string): string | undefined {
  let count = 0;
  for (let index = 0; index < raw.rawHeaders.length; index += 2) {
    if (raw.rawHeaders[index]!.toLowerCase() === name) count++;
  }
  if (count > 1) throw new VerdictError('malformed_request', `The header ${name} comes ${count} times.`);
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

/**
 * The client's `Authorization`. Undefined if the gateway shows no other credential of its own: then the header is the
 * gateway's.
 */
export function authorizationOfClient(request: FastifyRequest): string | undefined {
  const { caller, raw } = request;
  if (caller.method !== 'none' && !Authenticator.showsGateway(raw)) return undefined;
  return oneHeader(request, 'authorization');
}
