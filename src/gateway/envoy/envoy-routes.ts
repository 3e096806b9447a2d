/**
 * `/v1/gateway/envoy/…`: Envoy's external authorisation over HTTP. Envoy asks with the method, path, query and host of the
 * client's request, behind this prefix, and with those of its headers that Envoy is told to send.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { VerdictError } from '../../errors.js';
import { askerOf } from '../../http/asker.js';
import type { Operation } from '../../http/operation.js';
import { idOnBase, type PolicySetBase, policySetBases, policySetOf } from '../../http/policy-set-base.js';
import { authorizationOfClient, oneHeader } from '../client-headers.js';
import { partialBody, readGatewayBody } from '../gateway-body.js';
import { checkRequest, type GatewayServices } from '../gateway-check.js';
import type { GatewayBody, GatewayRequest } from '../gateway-request.js';
import { decisionIdHeader } from '../header-text.js';
import { certificateNameIn } from './forwarded-client-cert.js';
import { upstreamHeaders } from './upstream-headers.js';

export interface EnvoyServices extends GatewayServices {
  /** Longest body in bytes. */
  readonly bodyBytes: number;
}

const prefix = '/v1/gateway/envoy';
/** The prefix as Envoy is configured with it. Another spelling, which the router may take, is not cut. */
const prefixFormat = /^(?:\/sets\/[^/?#]+)?\/v1\/gateway\/envoy(?=[/?]|$)/;

export function registerEnvoyRoutes(fastify: FastifyInstance, services: EnvoyServices): void {
  for (const base of policySetBases) {
    for (const rest of ['', '/*']) {
      fastify.route({
        method: fastify.supportedMethods,
        url: `${base}${prefix}${rest}`,
        bodyLimit: services.bodyBytes,
        config: {
          access: 'decide',
          limit: 'decide',
          forGateways: true,
          clientTarget: true,
          // The path of the client's request may be any, so a document cannot describe it.
          ...(rest === '' && { operation: described(base) }),
        },
        // The body is any client's, of any type: it is read only where the mapping names a part of it.
        onRequest: (request, reply) => answer(request, reply, services),
        onSend: (_request, reply, _payload, done) => {
          reply.header('cache-control', 'no-store');
          done();
        },
        handler: () => undefined,
      });
    }
  }
}

function described(base: PolicySetBase): Operation {
  return {
    id: idOnBase('checkEnvoyRequest', base),
    tag: 'gateway',
    summary: 'May the request that Envoy holds go forward?',
    shownMethod: 'GET',
    answers: {
      200: {
        description:
          "It may; the path is that of the client's request behind this one. X-Envoy-Auth-Headers-To-Remove names what the server must not see.",
      },
    },
    refusals: [
      'malformed_request',
      'unauthenticated',
      'denied',
      'ambiguous_path',
      'unmapped_path',
      'unreadable_body',
      'policy_set_not_found',
      'payload_too_large',
      'policy_set_unavailable',
      'policy_too_old',
    ],
  };
}

async function answer(request: FastifyRequest, reply: FastifyReply, services: EnvoyServices): Promise<FastifyReply> {
  const verdict = await checkRequest(services, {
    caller: request.caller,
    asker: askerOf(request, 'gateway'),
    set: policySetOf(request, services.policySets),
    request: clientRequest(request),
    authorization: authorizationOfClient(request),
    header: (name) => oneHeader(request, name),
    body: () => bodyOf(request, services),
  });
  if (!verdict.allowed) {
    if (verdict.decision !== undefined) reply.header(decisionIdHeader, verdict.decision.decisionId);
    if (verdict.challenge !== undefined) reply.header('www-authenticate', verdict.challenge);
    throw new VerdictError(verdict.code, verdict.detail);
  }
  const headers = upstreamHeaders(verdict);
  if (headers === undefined) throw new VerdictError('denied', 'What the server must be told does not fit its headers.');
  for (const [name, value] of headers.set) reply.header(name, value);
  return reply.header('x-envoy-auth-headers-to-remove', headers.remove.join(',')).code(200).send();
}

/** @throws VerdictError `malformed_request` if a header that describes the client's request occurs twice */
function clientRequest(request: FastifyRequest): GatewayRequest {
  const { method, headers, ip: clientAddress, originalUrl } = request;
  const found = prefixFormat.exec(originalUrl)?.[0];
  if (found === undefined) throw new VerdictError('malformed_request', `The path does not begin with ${prefix}.`);
  const rest = originalUrl.slice(found.length);
  const scheme = oneHeader(request, 'x-forwarded-proto');
  const shown = oneHeader(request, 'x-forwarded-client-cert');
  const certificate = shown === undefined ? undefined : certificateNameIn(shown);
  const target = rest.startsWith('/') ? rest : `/${rest}`;
  return { method, target, host: headers.host, scheme, clientAddress, headers, certificate };
}

async function bodyOf(request: FastifyRequest, services: EnvoyServices): Promise<GatewayBody> {
  const partial = request.headers['x-envoy-auth-partial-body'];
  if (partial !== undefined && partial !== 'false') return partialBody;
  return readGatewayBody(await readBytes(request, services.bodyBytes), services.limits);
}

/** @throws VerdictError `payload_too_large`, or the error of the connection */
async function readBytes({ raw, headers }: FastifyRequest, most: number): Promise<Buffer> {
  const tooLarge = new VerdictError('payload_too_large', `The body is longer than ${most} bytes.`);
  if (Number(headers['content-length'] ?? 0) > most) throw tooLarge;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of raw as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > most) throw tooLarge;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
