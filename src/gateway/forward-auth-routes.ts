/**
 * `/v1/gateway/forward-auth`: a gateway asks whether the request that it holds may go forward (NGINX `auth_request`, Caddy
 * `forward_auth`, Traefik ForwardAuth, HAProxy by a script). What it holds comes in `X-Forwarded-*`, and nowhere else: a
 * second way to say the same would be one that clients could use.
 */
import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AccessTokens } from '../auth/access-tokens.js';
import { Authenticator } from '../auth/authenticator.js';
import type { GatewayMapping } from '../core/manifest/gateway-mapping.js';
import { VerdictError } from '../errors.js';
import { askerOf } from '../http/asker.js';
import type { Operation } from '../http/operation.js';
import { idOnBase, type PolicySetBase, policySetBases, policySetOf } from '../http/policy-set-base.js';
import { AttributeCount, type RequestLimits } from '../http/request-rules.js';
import type { DecisionAnswer } from '../pdp/decision-answer.js';
import type { Pdp } from '../pdp/pdp.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import { type GatewayIdentity, type GatewayRequest, gatewayQuestion } from './gateway-request.js';

export interface ForwardAuthServices {
  readonly pdp: Pdp;
  readonly policySets: PolicyStore;
  /** Undefined where no issuer is configured: then only trusted proxies can say who a user is. */
  readonly userTokens: AccessTokens | undefined;
  readonly limits: RequestLimits;
}

export const decisionIdHeader = 'x-verdict-decision-id';
export const subjectHeader = 'x-verdict-subject';

const challenge = 'Bearer realm="verdict"';

export function registerForwardAuthRoutes(fastify: FastifyInstance, services: ForwardAuthServices): void {
  for (const base of policySetBases) {
    fastify.route({
      method: fastify.supportedMethods,
      url: `${base}/v1/gateway/forward-auth`,
      config: { access: 'decide', limit: 'decide', forGateways: true, operation: described(base) },
      // Before the body is read: some gateways send the client's along, and nothing here depends on it.
      onRequest: (request, reply) => answer(request, reply, services),
      onSend: (_request, reply, _payload, done) => {
        reply.header('cache-control', 'no-store');
        done();
      },
      handler: () => undefined,
    });
  }
}

/** It answers every method; the document shows the one that gateways use. */
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
    refusals: ['malformed_request', 'unauthenticated', 'denied', 'policy_set_not_found', 'policy_set_unavailable'],
  };
}

async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  { pdp, policySets, userTokens, limits }: ForwardAuthServices,
): Promise<FastifyReply> {
  const set = policySetOf(request, policySets);
  const mapping = set.compiled.manifest.gateway;
  const identity = await identityOf(request, reply, mapping, userTokens);
  const question = gatewayQuestion(mapping, forwardedRequest(request), identity);
  if ('refused' in question) {
    if (question.refused === 'unauthenticated') reply.header('www-authenticate', challenge);
    throw new VerdictError(question.refused, question.detail);
  }
  const count = new AttributeCount(limits);
  for (const attributes of [question.subject.attributes, question.resource.attributes, question.attributes]) {
    const fault = attributes && count.faultIn(attributes);
    if (fault !== undefined) throw new VerdictError('denied', `What the request is mapped to ${fault.detail}.`);
  }
  const decision = await pdp
    .decide({ ...question, policySet: set.name }, askerOf(request, 'gateway'))
    .catch(denyInvalid);
  reply.header(decisionIdHeader, decision.decisionId);
  if (!decision.allowed) throw new VerdictError('denied', userReason(decision));
  return reply.header(subjectHeader, headerText(question.subject.id)).code(200).send();
}

/** What the mapping makes of a request may not fit the schema. A gateway takes 400 for a fault of its own. */
function denyInvalid(error: unknown): never {
  if (!(error instanceof VerdictError) || error.code !== 'invalid_request') throw error;
  throw new VerdictError('denied', 'You may not do this.', { cause: error });
}

/** @throws VerdictError `malformed_request` when the gateway does not say what it holds, or says it twice */
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

/**
 * Who the user is: whoever a trusted proxy names, else whoever a token that is verified here names.
 *
 * @throws VerdictError `unauthenticated` for a token that is wrong, even where nobody needs one
 */
async function identityOf(
  request: FastifyRequest,
  reply: FastifyReply,
  { identity }: GatewayMapping,
  tokens: AccessTokens | undefined,
): Promise<GatewayIdentity | undefined> {
  // A proxy is named by its key or certificate. Whoever an issuer's token names may have chosen that name.
  if (request.caller.method !== 'jwt' && identity?.proxies.has(request.caller.name)) {
    const name = oneHeader(request, identity.header);
    if (name !== undefined && name !== '') return { id: decoded(name) };
  }
  const token = userToken(request);
  if (token === undefined || tokens === undefined) return undefined;
  const now = Date.now();
  const user = tokens.cached(token, now) ?? (await tokens.verify(token, now));
  if (typeof user !== 'string') return { id: user.name, ...(user.claims !== undefined && { claims: user.claims }) };
  reply.header('www-authenticate', `${challenge}, error="invalid_token"`);
  throw new VerdictError('unauthenticated', 'The token is not valid.');
}

/** The user's bearer token; where the gateway shows no credential of its own, what is in `Authorization` is the gateway's. */
function userToken(request: FastifyRequest): string | undefined {
  const { caller, raw } = request;
  if (caller.method !== 'none' && !Authenticator.showsGateway(raw)) return undefined;
  const authorization = oneHeader(request, 'authorization');
  return authorization === undefined ? undefined : /^bearer +(\S+)$/i.exec(authorization)?.[1];
}

/** A header that comes twice was set by two, one of whom may be the client. */
function oneHeader({ raw, headers }: FastifyRequest, name: string): string | undefined {
  let count = 0;
  for (let index = 0; index < raw.rawHeaders.length; index += 2) {
    if (raw.rawHeaders[index]!.toLowerCase() === name) count++;
  }
  if (count > 1) throw new VerdictError('malformed_request', `The header ${name} comes ${count} times.`);
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** Node reads headers byte by byte; names beyond ASCII are sent in UTF-8. */
function decoded(header: string): string {
  const bytes = Buffer.from(header, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : header;
}

/** Printable ASCII but for `%`; everything else percent-encoded, so that decoding it gives the id back. */
function headerText(id: string): string {
  // A lone surrogate, which a token can hold, cannot be encoded.
  const wellFormed = Buffer.from(id).toString();
  return wellFormed.replace(/[^\x21-\x24\x26-\x7e]+/g, encodeURIComponent);
}

/** What the rule itself says to the user; gateways show it to whoever asked, so nothing else of the policy is in it. */
function userReason({ reason: { message } }: DecisionAnswer): string {
  if (typeof message === 'string') return message;
  const isObject = typeof message === 'object' && message !== null && !Array.isArray(message);
  const english = isObject ? message.en : undefined;
  return typeof english === 'string' ? english : 'You may not do this.';
}
