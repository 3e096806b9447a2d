/**
 * The gate before every route (P7, P10): who calls, may the caller do this, is it too often. It runs after the headers
 * and before the body is read, so an unauthenticated request costs no more than its headers.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { AuditEventType } from '../audit/audit-event.js';
import type { AuditLog } from '../audit/audit-log.js';
import type { Authenticator, Refusal } from '../auth/authenticator.js';
import { anonymous, type Caller, callerKey } from '../auth/caller.js';
import type { FailedAuthentications } from '../auth/failed-authentications.js';
import type { Allowance, LimitName } from '../auth/limiters.js';
import { pointsOf, type RateLimits } from '../auth/rate-limits.js';
import { policySetNotFound, VerdictError } from '../errors.js';
import type { Access } from './access.js';
import type { BodyRoom } from './body-room.js';
import type { Connections } from './connections.js';
import { isPerson, type Page, sendPage } from './pages.js';
import { traceOf } from './request-ids.js';

export interface GateOptions {
  /** Undefined while authentication is off: then every caller is `anonymous` and may do everything. */
  readonly authenticator: Authenticator | undefined;
  readonly limits: RateLimits;
  readonly failures: FailedAuthentications;
  readonly audit: AuditLog;
  /** Says whether long answers may be made for a caller, or too many of its answers wait to be read. */
  readonly connections: Pick<Connections, 'hasRoomFor'>;
  readonly bodies: BodyRoom;
  readonly logger: Logger;
  readonly signInPage: Page;
}

/** Bodies up to this length, in bytes, are accepted without reserving room. */
const smallBodyBytes = 64 * 1024;
const bearerChallenge = 'Bearer realm="verdict"';
const basicChallenge = 'Basic realm="verdict", charset="UTF-8"';

type Done = (error?: Error) => void;

export class Gate {
  constructor(private readonly options: GateOptions) {}

  /** Puts the gate in front of every route of the service. */
  guard(fastify: FastifyInstance): void {
    fastify.decorateRequest('caller');
    fastify.decorateRequest('servedVersions');
    fastify.decorateRequest('pointsTaken', 0);
    fastify.addHook('onRequest', (request, reply, done) => this.pass(request, reply, done));
    fastify.addHook('onRoute', (route) => {
      const limit = route.config?.limit;
      if (limit !== undefined && route.method !== 'GET') {
        route.preValidation = [
          ...[route.preValidation ?? []].flat(),
          (request, reply, done) => done(this.chargeUnannounced(limit, request, reply)),
        ];
      }
      const type = route.config?.audit;
      if (type === undefined) return;
      const onSend = [route.onSend ?? []].flat();
      route.onSend = [...onSend, async (request, reply) => this.noteSuccess(type, request, reply)];
    });
  }

  /** Writes the audit event before the answer leaves, so that no read or change is missing from the audit log. */
  private async noteSuccess(type: AuditEventType, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (reply.statusCode >= 400) return;
    const { caller, ip: address, id: requestId, method, url } = request;
    const { set } = request.params as { set?: string };
    // What the path names was changed; a query may say anything.
    const { policySet } = set === undefined ? (request.query as { policySet?: string }) : { policySet: set };
    const { detail, ...served } = request.servedVersions ?? {};
    const event = {
      type,
      actor: caller.name,
      method: caller.method,
      address,
      ...(typeof policySet === 'string' && { policySet }),
      detail: detail === undefined ? `${method} ${url}` : `${method} ${url}: ${detail}`,
      ...served,
      requestId,
    };
    if (method === 'GET' || method === 'HEAD') this.options.audit.note(event);
    else await this.options.audit.record(event);
  }

  /**
   * Counts a batch against a limit, once its body says how many items it has: one point for each item, or one for every
   * 4 KiB of `bytes` if that is more. Points that were taken with the headers count towards it, and are given back if
   * the rest is refused.
   *
   * @throws VerdictError `too_many_requests`, or `too_costly` for what can never pass
   */
  charge(limit: LimitName, request: FastifyRequest, reply: FastifyReply, items: number, bytes: number): void {
    if (!this.counts(limit, request.caller)) return;
    const fault = this.take(limit, request, reply, Math.max(items, pointsOf(bytes)));
    if (fault !== undefined) throw fault;
  }

  /** Counts a body without `Content-Length` when it has been read. */
  private chargeUnannounced(limit: LimitName, request: FastifyRequest, reply: FastifyReply): VerdictError | undefined {
    if (request.headers['content-length'] !== undefined || !this.counts(limit, request.caller)) return undefined;
    return this.take(limit, request, reply, pointsOf(request.bodyBytes));
  }

  /** Synchronous for a caller that is known already; only work that must wait uses a promise. */
  private pass(request: FastifyRequest, reply: FastifyReply, done: Done): void {
    // An unknown path is answered 404 to authenticated callers, 401 to others.
    const { access = 'authenticated', limit, forGateways = false } = request.routeOptions.config;
    const { authenticator } = this.options;
    if (access === 'public' || authenticator === undefined) {
      request.caller = anonymous;
      this.limit(limit, request, reply, done);
      return;
    }
    let outcome: ReturnType<Authenticator['authenticate']>;
    try {
      outcome = forGateways
        ? authenticator.authenticateGateway(request.raw, request.ip, Date.now())
        : authenticator.authenticate(request.raw, request.ip, Date.now());
    } catch (error) {
      done(error as Error);
      return;
    }
    if (outcome instanceof Promise) {
      outcome.then((settled) => this.admit(settled, access, limit, request, reply, done)).catch(done);
    } else {
      this.admit(outcome, access, limit, request, reply, done);
    }
  }

  private admit(
    outcome: Caller | Refusal,
    access: Access,
    limit: LimitName | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
    done: Done,
  ): void {
    if ('refused' in outcome) {
      const fault = this.refuse(outcome, request, reply);
      if (fault !== undefined) done(fault);
      return;
    }
    request.caller = outcome;
    const fault = this.faultOf(outcome, access, request, reply);
    if (fault === undefined) this.limit(limit, request, reply, done);
    else done(fault);
  }

  /**
   * Whether the request would still be let in, with the same scopes: an answer that goes on for hours asks now and then, since a
   * credential can be revoked, expire or lose a scope meanwhile.
   */
  async stillAdmits(request: FastifyRequest): Promise<boolean> {
    const { authenticator } = this.options;
    if (authenticator === undefined) return true;
    const outcome = await authenticator.authenticate(request.raw, request.ip, Date.now());
    if ('refused' in outcome) return false;
    const [before, now] = [request.caller, outcome].map((caller) => caller.grants.toTexts().sort().join());
    return before === now;
  }

  /**
   * 401 for nobody, 403 for what another site may have made a browser send, 429 for an address that guesses too often.
   * The answer does not tell which reason a 401 has. Only a credential that was tried counts as a failure: a missing
   * one does not, nor one that a page of another site made the browser send. A person that opens a page gets the
   * sign-in page, which is sent here; then the result is undefined.
   */
  private refuse(refusal: Refusal, request: FastifyRequest, reply: FastifyReply): VerdictError | undefined {
    const { audit, logger, failures } = this.options;
    const { ip: address, id: requestId } = request;
    const { refused: detail, method, claimed, forged, missing } = refusal;
    const who = { ...(method !== undefined && { method }), ...(claimed !== undefined && { actor: claimed }) };
    if (missing !== true && forged === undefined) {
      const allowance = failures.count(address);
      if (allowance.limited) {
        audit.note({ type: 'limit_hit', address, detail: 'failures', requestId });
        return tooMany(reply, allowance);
      }
    }
    audit.note({ type: 'authentication_failed', ...who, address, detail, requestId });
    logger.warn({ requestId, ...traceOf(request), address, ...who, reason: detail }, 'authentication failed');
    if (forged !== undefined) return new VerdictError('forbidden', forged);
    if (request.routeOptions.config.isPage === true && isPerson(request)) {
      sendPage(
        reply.code(401).header('www-authenticate', bearerChallenge).header('vary', 'accept'),
        this.options.signInPage,
      );
      return undefined;
    }
    reply.header('www-authenticate', challengesFor(request));
    return new VerdictError('unauthenticated', 'A valid credential is required.');
  }

  /** Why an authenticated caller may not use the route. A policy set that its scopes do not name answers 404. */
  private faultOf(
    caller: Caller,
    access: Access,
    request: FastifyRequest,
    reply: FastifyReply,
  ): VerdictError | undefined {
    if (access === 'authenticated' || access === 'public') return undefined;
    const { allSets: named = false } = request.routeOptions.config;
    const allSets = typeof named === 'string' ? Object.hasOwn(request.query as object, named) : named;
    const has = allSets ? caller.grants.policySets(access) === 'all' : caller.grants.has(access);
    if (has) {
      const { set } = request.params as { set?: string };
      if (set === undefined || caller.grants.allows(access, set)) return undefined;
      this.noteRefusedScope(caller, `${access}:${set}`, request);
      return policySetNotFound(set);
    }
    this.noteRefusedScope(caller, access, request);
    reply.header('www-authenticate', `Bearer realm="verdict", error="insufficient_scope", scope="${access}"`);
    const which = allSets ? `${access}" for all policy sets` : `${access}"`;
    return new VerdictError('forbidden', `The credential does not have the scope "${which}.`);
  }

  private noteRefusedScope({ name: actor, method }: Caller, detail: string, request: FastifyRequest): void {
    const { ip: address, id: requestId } = request;
    this.options.audit.note({ type: 'scope_refused', actor, method, address, detail, requestId });
  }

  private limit(limit: LimitName | undefined, request: FastifyRequest, reply: FastifyReply, done: Done): void {
    const unread = isBulky(request) ? this.unreadFault(request) : undefined;
    if (unread !== undefined) {
      done(unread);
    } else if (!this.makeRoom(request, reply)) {
      done(new VerdictError('bodies_in_progress', 'Too many large bodies are being read.', { retryAfter: 1 }));
    } else if (limit === undefined || !this.counts(limit, request.caller)) done();
    else done(this.take(limit, request, reply, pointsOf(announcedBytes(request))));
  }

  /** Why no long answer may be made for a caller now; undefined if one may. To be asked again by what waits before it makes one. */
  unreadFault({ caller, ip }: FastifyRequest): VerdictError | undefined {
    if (this.options.connections.hasRoomFor(callerKey(caller, ip))) return undefined;
    return new VerdictError('answers_unread', 'Too many answers wait for their readers.', { retryAfter: 1 });
  }

  /** Reserves room for a large body until it is answered. Returns false if there is not enough. */
  private makeRoom(request: FastifyRequest, reply: FastifyReply): boolean {
    const bytes = largeBodyBytes(request);
    if (bytes === 0) return true;
    const { bodies } = this.options;
    const key = callerKey(request.caller, request.ip);
    if (!bodies.take(key, bytes)) return false;
    let isHeld = true;
    const giveBack = (): void => {
      if (isHeld) bodies.giveBack(key, bytes);
      isHeld = false;
    };
    // A connection that breaks off never finishes its answer; an injected one never closes.
    reply.raw.once('close', giveBack).once('finish', giveBack);
    return true;
  }

  private counts(limit: LimitName, { dailyQuota }: Caller): boolean {
    return this.options.limits.has(limit) || (limit === 'decide' && dailyQuota !== undefined);
  }

  /** Takes `total` points in place of those that the request took before, or none. */
  private take(
    limit: LimitName,
    request: FastifyRequest,
    reply: FastifyReply,
    total: number,
  ): VerdictError | undefined {
    const before = request.pointsTaken;
    if (total <= before) return undefined;
    const { limits, audit } = this.options;
    const { caller, ip: address, id: requestId } = request;
    const key = callerKey(caller, address);
    const quota = limit === 'decide' ? caller.dailyQuota : undefined;
    // All points are taken at once, so that `Retry-After` of a refusal holds for the whole request.
    request.pointsTaken = 0;
    limits.giveBack(limit, key, before);
    if (quota !== undefined) limits.giveBackOfDay(quota, key, before);
    const most = Math.min(limits.burst(limit), quota ?? Number.POSITIVE_INFINITY);
    let fault: VerdictError | undefined;
    if (total > most) fault = tooCostly(total, most);
    else {
      let allowance: Allowance | undefined;
      if (limits.has(limit)) {
        allowance = limits.take(limit, key, total);
        reply.header('ratelimit-policy', limits.policy(limit));
        reply.header('ratelimit', `"${limit}";r=${allowance.remaining};t=${allowance.resetSeconds}`);
      }
      if (allowance?.limited !== true && quota !== undefined) {
        allowance = limits.takeOfDay(quota, key, total);
        if (allowance.limited) limits.giveBack(limit, key, total);
      }
      if (allowance?.isUncounted === true) return quotaUncounted(allowance);
      if (allowance?.limited === true) fault = tooMany(reply, allowance);
    }
    if (fault === undefined) request.pointsTaken = total;
    else
      audit.note({ type: 'limit_hit', actor: caller.name, method: caller.method, address, detail: limit, requestId });
    return fault;
  }
}

/** True for a gateway's request with the `Content-Length` of its client's request, whose body does not come here. */
function hasForeignLength({ routeOptions: { config } }: FastifyRequest): boolean {
  return config.forGateways === true && config.clientTarget !== true;
}

/** Announced length of the body in bytes. */
function announcedBytes(request: FastifyRequest): number {
  return hasForeignLength(request) ? 0 : Number(request.headers['content-length'] ?? 0);
}

/** Bytes to reserve for a body: the announced length, or the largest that the route accepts. 0 for small bodies. */
function largeBodyBytes(request: FastifyRequest): number {
  const { headers, routeOptions } = request;
  if (headers['transfer-encoding'] !== undefined && !hasForeignLength(request)) {
    return routeOptions.bodyLimit ?? 0;
  }
  const bytes = Math.min(announcedBytes(request), routeOptions.bodyLimit ?? 0);
  return bytes > smallBodyBytes ? bytes : 0;
}

/** True if an answer can be long. Single decisions are answered however many bytes wait to be read. */
function isBulky({ routeOptions: { config } }: FastifyRequest): boolean {
  return config.limit === 'search' || config.limit === 'export' || config.list !== undefined;
}

function tooCostly(points: number, most: number): VerdictError {
  return new VerdictError(
    'too_costly',
    `The request costs ${points} points, and no more than ${most} can be had at once.`,
  );
}

/**
 * One line for each scheme, since Chromium reads only the first of a line. Basic is left out where a browser would ask its
 * user for a name and a key: a gateway may hand the answer on to one, and scripts of a page show what is wrong themselves.
 */
function challengesFor({ routeOptions, headers }: FastifyRequest): string | string[] {
  const { 'sec-fetch-mode': mode } = headers;
  const byScript = mode !== undefined && mode !== 'navigate';
  return routeOptions.config.forGateways === true || byScript ? bearerChallenge : [bearerChallenge, basicChallenge];
}

function tooMany(reply: FastifyReply, { resetSeconds }: Allowance): VerdictError {
  reply.header('retry-after', resetSeconds);
  return new VerdictError('too_many_requests', `Too many requests; come back in ${resetSeconds} s.`);
}

function quotaUncounted({ resetSeconds: retryAfter }: Allowance): VerdictError {
  return new VerdictError('database_unavailable', 'The daily quota of the caller cannot be counted now.', {
    retryAfter,
  });
}
