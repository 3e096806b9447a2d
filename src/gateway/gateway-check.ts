/** One check of a client's request at a gateway, whichever way the gateway asks: who the user is, the question, the decision. */
import { isUtf8 } from 'node:buffer';
import type { AccessTokens } from '../auth/access-tokens.js';
import type { Caller } from '../auth/caller.js';
import type { RequestLimits } from '../core/asked/attribute-count.js';
import type { GatewayMapping } from '../core/manifest/gateway-mapping.js';
import type { DecisionRequest } from '../core/request.js';
import { VerdictError } from '../errors.js';
import type { DecisionAnswer } from '../pdp/decision-answer.js';
import type { FreshSets } from '../pdp/fresh-sets.js';
import type { Pdp } from '../pdp/pdp.js';
import type { Asker } from '../pdp/question.js';
import type { PolicyStore } from '../policy-store/policy-store.js';
import type { ServedPolicySet } from '../policy-store/served-policy-set.js';
import {
  type GatewayBody,
  type GatewayIdentity,
  type GatewayRefusal,
  type GatewayRequest,
  gatewayQuestion,
} from './gateway-request.js';
import { faultInAttributes } from './mapped-attributes.js';
import { notAllowed, userReason } from './user-reason.js';

export interface GatewayServices {
  readonly pdp: Pdp;
  readonly policySets: PolicyStore;
  readonly freshSets: FreshSets;
  /** Undefined if no issuer is configured. Then only trusted proxies can name a user. */
  readonly userTokens: AccessTokens | undefined;
  readonly limits: RequestLimits;
}

/** What a gateway asks. */
export interface GatewayCall {
  readonly caller: Caller;
  readonly asker: Asker;
  /** The set that the gateway's path or metadata names. */
  readonly set: ServedPolicySet;
  /** The client's request. Its `certificate` is what the gateway says; it counts if the caller is believed. */
  readonly request: GatewayRequest;
  /** The value of the client's `Authorization`; undefined if that is the gateway's own. */
  readonly authorization: string | undefined;
  /**
   * One of the client's headers, as text.
   *
   * @throws VerdictError `malformed_request` if it occurs twice: two parties set it, and one may be the client
   */
  readonly header: (name: string) => string | undefined;
  /** Reads the client's body; called if the mapping names a part of it. */
  readonly body?: () => GatewayBody | Promise<GatewayBody>;
}

export interface AllowedRequest {
  readonly allowed: true;
  readonly decision: DecisionAnswer;
  readonly question: DecisionRequest;
  readonly identity: GatewayIdentity | undefined;
  readonly request: GatewayRequest;
  readonly mapping: GatewayMapping;
  /** True if the user is the one that the mapping's header names. */
  readonly isNamedByHeader: boolean;
}

export interface RefusedRequest {
  readonly allowed: false;
  readonly code: GatewayRefusal['refused'] | 'denied' | 'malformed_request';
  /** For the client: nothing of the policy but the deciding rule's message. */
  readonly detail: string;
  /** `WWW-Authenticate` of a 401. */
  readonly challenge: string | undefined;
  /** Undefined if nobody was asked. */
  readonly decision: DecisionAnswer | undefined;
}

export type GatewayVerdict = AllowedRequest | RefusedRequest;

const challenge = 'Bearer realm="verdict"';
const invalidToken = `${challenge}, error="invalid_token"`;

/**
 * Decides on a client's request. A refusal is a value; what is thrown is an error, and never an allow.
 *
 * @throws VerdictError when the request cannot be decided on now, or the gateway asks wrongly
 */
export async function checkRequest(services: GatewayServices, call: GatewayCall): Promise<GatewayVerdict> {
  const { pdp, freshSets, userTokens, limits } = services;
  const { caller, asker, header } = call;
  // Headers that demand freshness may be the client's own: gateways pass them on. The mapping says it for all clients.
  const { maxStaleness: bySet } = call.set.compiled.manifest.gateway;
  const set = await freshSets.find(caller.grants.policySets('decide'), call.set.name, { maxStaleness: bySet });
  const mapping = set.compiled.manifest.gateway;
  const isBelieved = believes(mapping, caller);
  const request = {
    ...call.request,
    ...(!isBelieved && { certificate: undefined }),
    ...(mapping.readsBody && { body: await call.body?.() }),
  };
  const named = isBelieved ? namedUser(mapping, request, header) : undefined;
  let identity = named?.identity;
  if (identity === undefined) {
    const byToken = await tokenUser(call.authorization, userTokens);
    if (byToken === 'invalid') return refused('unauthenticated', 'The token is not valid.', invalidToken);
    identity = byToken;
  }
  const question = gatewayQuestion(mapping, request, identity);
  if ('refused' in question) {
    return refused(question.refused, question.detail, question.refused === 'unauthenticated' ? challenge : undefined);
  }
  const fault = faultInAttributes(question, limits);
  if (fault !== undefined) return refused('denied', `What the request is mapped to ${fault.detail}.`);
  const { maxStaleness } = mapping;
  let decision: DecisionAnswer;
  try {
    decision = await pdp.decide({ ...question, policySet: set.name, maxStaleness }, asker);
  } catch (error) {
    // A question that does not fit the schema. A gateway would take 400 for its own fault.
    if (error instanceof VerdictError && error.code === 'invalid_request') return refused('denied', notAllowed);
    throw error;
  }
  if (!decision.allowed) return refused('denied', userReason(decision.reason), undefined, decision);
  return { allowed: true, decision, question, identity, request, mapping, isNamedByHeader: named?.by === 'header' };
}

function refused(
  code: RefusedRequest['code'],
  detail: string,
  challenge?: string,
  decision?: DecisionAnswer,
): RefusedRequest {
  return { allowed: false, code, detail, challenge, decision };
}

/** Only a key or certificate names a proxy. The holder of an issuer's token may have chosen its own name. */
function believes({ identity }: GatewayMapping, { method, name }: Caller): boolean {
  return method !== 'jwt' && identity?.proxies.has(name) === true;
}

/** The user by the word of a trusted proxy: by the header, or else by the certificate that the client showed there. */
function namedUser(
  { identity }: GatewayMapping,
  { certificate }: GatewayRequest,
  header: GatewayCall['header'],
): { readonly identity: GatewayIdentity; readonly by: 'header' | 'certificate' } | undefined {
  const name = identity?.header === undefined ? undefined : header(identity.header);
  if (name !== undefined && name !== '') return { identity: { id: decoded(name) }, by: 'header' };
  if (identity?.certificate !== true || certificate === undefined || certificate === '') return undefined;
  return { identity: { id: certificate }, by: 'certificate' };
}

/** The user by a token that is verified here. `invalid` for a wrong token, even if the mapping needs no user. */
async function tokenUser(
  authorization: string | undefined,
  tokens: AccessTokens | undefined,
): Promise<GatewayIdentity | 'invalid' | undefined> {
  const token = authorization === undefined ? undefined : /^bearer +(\S+)$/i.exec(authorization)?.[1];
  if (token === undefined || tokens === undefined) return undefined;
  const user = await tokens.callerOf(token, Date.now());
  if (typeof user === 'string') return 'invalid';
  return { id: user.name, ...(user.claims !== undefined && { claims: user.claims }) };
}

/** Decodes UTF-8: headers are read as Latin-1. */
function decoded(header: string): string {
  const bytes = Buffer.from(header, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : header;
}
