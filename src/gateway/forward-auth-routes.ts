/**
 * `/v1/gateway/forward-auth`: a gateway asks whether a client's request may pass (NGINX `auth_request`, Caddy
 * `forward_auth`, Traefik ForwardAuth, HAProxy by a script). It describes that request in `X-Forwarded-*` headers and
 * nowhere else: clients could use a second way.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { VerdictError } from '../errors.js';
import { askerOf } from '../http/asker.js';
import type { Operation } from '../http/operation.js';
import { idOnBase, type PolicySetBase, policySetBases, policySetOf } from '../http/policy-set-base.js';
import { authorizationOfClient, oneHeader } from './client-headers.js';
import { checkRequest, type GatewayServices } from './gateway-check.js';
import type { GatewayRequest } from './gateway-request.js';
import { decisionIdHeader, headerText, subjectHeader } from './header-text.js';

export function registerForwardAuthRoutes(fastify: FastifyInstance, services: GatewayServices): void {
  for (const base of policySetBases) {
    fastify.route({
      method: fastify.supportedMethods,
      url: `${base}/v1/gateway/forward-auth`,
      config: { access: 'decide', limit: 'decide', forGateways: true, operation: described(base) },
      // Answered before the body is read: some gateways send the client's body, which is not needed.
      onRequest: (request, reply) => answer(request, reply, services),
      onSend: (_request, reply, _payload, done) => {
        reply.header('cache-control', 'no-store');
        done();
      },
      handler: () => undefined,
    });
  }
}

/** The route answers every method; the OpenAPI document shows the one that gateways use. */
function described(base: PolicySetBase): Operation {
  return {
    id: idOnBase('checkForwardedRequest', base),
    tag: 'gateway',
    summary: 'May the request that a gateway holds go forward?',
    shownMethod: 'GET',
    headers: [
      { name: 'X-Forwarded-Method', required: true },
      { name: 'X-Forwarded-Uri', required: true },
      { name: 'X-Forwarded-Host' },
      { name: 'X-Forwarded-Proto' },
    ],
    answers: { 200: { description: 'It may; X-Verdict-Decision-Id and X-Verdict-Subject can be passed on.' } },
    refusals: [
      'malformed_request',
      'unauthenticated',
      'denied',
      'policy_set_not_found',
      'policy_set_unavailable',
      'policy_too_old',
    ],
  };
}

async function answer(request: FastifyRequest, reply: FastifyReply, services: GatewayServices): Promise<FastifyReply> {
  const verdict = await checkRequest(services, {
    caller: request.caller,
    asker: askerOf(request, 'gateway'),
    set: policySetOf(request, services.policySets),
    request: forwardedRequest(request),
    authorization: authorizationOfClient(request),
    header: (name) => oneHeader(request, name),
  });
  if (verdict.decision !== undefined) reply.header(decisionIdHeader, verdict.decision.decisionId);
  if (verdict.allowed) return reply.header(subjectHeader, headerText(verdict.question.subject.id)).code(200).send();
  if (verdict.challenge !== undefined) reply.header('www-authenticate', verdict.challenge);
  throw new VerdictError(verdict.code, verdict.detail);
}

/**
 * @throws VerdictError `malformed_request` if a header that describes the client's request is missing or occurs twice
 */
function forwardedRequest(request: FastifyRequest): GatewayRequest {
  const { headers, ip: clientAddress } = request;
  const method = oneHeader(request, 'x-forwarded-method');
  const target = oneHeader(request, 'x-forwarded-uri');
  if (method === undefined || target === undefined) {
    throw new VerdictError('malformed_request', 'The gateway must set X-Forwarded-Method and X-Forwarded-Uri.');
  }
  const host = oneHeader(request, 'x-forwarded-host');
  const scheme = oneHeader(request, 'x-forwarded-proto');
  return { method, target, host, scheme, clientAddress, headers };
}
