/**
 * `/v1/gateway/forward-auth`: a gateway asks whether a client's request may pass (NGINX `auth_request`, Caddy
 * `forward_auth`, Traefik ForwardAuth, HAProxy by a script). It describes that request in `X-Forwarded-*` headers and
 * nowhere else: clients could use a second way.
 */
import { isUtf8 } from 'node:buffer';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AccessTokens } from '../auth/access-tokens.js';
import { Authenticator } from '../auth/authenticator.js';
import { AttributeCount, type RequestLimits } from '../core/asked/attribute-count.js';
import type { GatewayMapping } from '../core/manifest/gateway-mapping.js';
import { VerdictError } from '../errors.js';
import { askerOf } from '../http/asker.js';
import type { Operation } from '../http/operation.js';
import { idOnBase, type PolicySetBase, policySetBases, policySetOf } from '../http/policy-set-base.js';
import type { DecisionAnswer } from '../pdp/decision-answer.js';
import type { FreshSets } from '../pdp/fresh-sets.js';
import type { Pdp } from '../pdp/pdp.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import { type GatewayIdentity, type GatewayRequest, gatewayQuestion } from './gateway-request.js';

export interface ForwardAuthServices {
  readonly pdp: Pdp;
  readonly policySets: PolicyStore;
  readonly freshSets: FreshSets;
  /** Undefined if no issuer is configured. Then only trusted proxies can name a user. */
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

async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  { pdp, policySets, freshSets, userTokens, limits }: ForwardAuthServices,
): Promise<FastifyReply> {
  // Headers that demand freshness may be the client's own: gateways pass them on. The mapping says it for all clients.
  const { name, compiled } = policySetOf(request, policySets);
  const { maxStaleness } = compiled.manifest.gateway;
  const set = await freshSets.find(request.caller.grants.policySets('decide'), name, { maxStaleness });
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
    .decide({ ...question, policySet: set.name, maxStaleness: mapping.maxStaleness }, askerOf(request, 'gateway'))
    .catch(denyInvalid);
  reply.header(decisionIdHeader, decision.decisionId);
  if (!decision.allowed) throw new VerdictError('denied', userReason(decision));
  return reply.header(subjectHeader, headerText(question.subject.id)).code(200).send();
}

/** Denies a question that does not fit the schema. A gateway would take 400 for its own fault. */
function denyInvalid(error: unknown): never {
  if (!(error instanceof VerdictError) || error.code !== 'invalid_request') throw error;
  throw new VerdictError('denied', 'You may not do this.', { cause: error });
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

/**
 * The user: named by a trusted proxy, or else by a token that is verified here.
 *
 * @throws VerdictError `unauthenticated` for a wrong token, even if the mapping needs no user
 */
async function identityOf(
  request: FastifyRequest,
  reply: FastifyReply,
  { identity }: GatewayMapping,
  tokens: AccessTokens | undefined,
): Promise<GatewayIdentity | undefined> {
  // Only a key or certificate names a proxy. The holder of an issuer's token may have chosen its own name.
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

/**
 * The user's bearer token. Undefined if the gateway shows no other credential: then `Authorization` is the gateway's
 * own.
 */
function userToken(request: FastifyRequest): string | undefined {
  const { caller, raw } = request;
  if (caller.method !== 'none' && !Authenticator.showsGateway(raw)) return undefined;
  const authorization = oneHeader(request, 'authorization');
  return authorization === undefined ? undefined : /^bearer +(\S+)$/i.exec(authorization)?.[1];
}

/** A header's value. If it occurs twice, two parties set it, and one may be the client. */
function oneHeader({ raw, headers }: FastifyRequest, name: string): string | undefined {
  let count = 0;
  for (let index = 0; index < raw.rawHeaders.length; index += 2) {
    if (raw.rawHeaders[index]!.toLowerCase() === name) count++;
  }
  if (count > 1) throw new VerdictError('malformed_request', `The header ${name} comes ${count} times.`);
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** Decodes UTF-8: Node reads headers as Latin-1. */
function decoded(header: string): string {
  const bytes = Buffer.from(header, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : header;
}

/** Percent-encodes everything but printable ASCII without `%`, so that decoding gives the id back. */
function headerText(id: string): string {
  // A lone surrogate, which a token can hold, cannot be encoded.
  const wellFormed = Buffer.from(id).toString();
  return wellFormed.replace(/[^\x21-\x24\x26-\x7e]+/g, encodeURIComponent);
}

/** The message of the deciding rule. Gateways show it to the client, so it holds nothing else of the policy. */
function userReason({ reason: { message } }: DecisionAnswer): string {
  if (typeof message === 'string') return message;
  const isObject = typeof message === 'object' && message !== null && !Array.isArray(message);
  const english = isObject ? message.en : undefined;
  return typeof english === 'string' ? english : 'You may not do this.';
}
