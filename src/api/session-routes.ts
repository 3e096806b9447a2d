/**
 * `/v1/session`: an API key for a cookie, so that `/docs` (and any page of this origin) can call the API without keeping
 * a key where scripts can read it. The cookie is `HttpOnly` and `SameSite=Strict`; what changes something needs the CSRF
 * token as well, which is in the answer and in a cookie that scripts of this origin can read.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Text, Texts, Time } from '../answers/members.js';
import type { AuditLog } from '../audit/audit-log.js';
import { Authenticator } from '../auth/authenticator.js';
import { type Session, type Sessions, sessionCookieName, sessionTokenIn } from '../auth/sessions.js';
import { VerdictError } from '../errors.js';
import type { Operation } from '../http/operation.js';

export const csrfCookie = 'verdict-csrf';

export interface SessionRouteOptions {
  readonly sessions: Sessions;
  readonly audit: AuditLog;
  /** Whether browsers come over TLS. */
  readonly secure: boolean;
}

/** Who a caller is. */
class SessionDescription {
  @Text()
  readonly caller!: string;

  @Text({ description: 'How the caller proved who it is.' })
  readonly method!: string;

  @Texts()
  readonly scopes!: readonly string[];
}

class NewSession extends SessionDescription {
  @Text({ description: 'What changes something must repeat it in `X-CSRF-Token`.' })
  readonly csrfToken!: string;

  @Time()
  readonly ends!: string;
}

const startOperation: Operation = {
  id: 'startSession',
  tag: 'session',
  summary: 'An API key for a cookie, and a CSRF token',
  answers: { 201: { description: 'The cookie is set.', json: NewSession } },
  refusals: ['invalid_request'],
};

const readOperation: Operation = {
  id: 'readSession',
  tag: 'session',
  summary: 'Who the caller is, and what it may do',
  answers: { 200: { description: 'Name, method and scopes.', json: SessionDescription } },
};

const endOperation: Operation = {
  id: 'endSession',
  tag: 'session',
  summary: 'Log out',
  answers: { 204: { description: 'The cookie is gone.' } },
};

export function registerSessionRoutes(fastify: FastifyInstance, options: SessionRouteOptions): void {
  const { sessions, audit, secure } = options;
  const config = { access: 'authenticated', limit: 'keys' } as const;

  fastify.post(
    '/v1/session',
    { config: { ...config, bodyOptional: true, operation: startOperation } },
    async (request, reply) => {
      const digest = Authenticator.keyDigest(request.raw);
      if (digest === undefined) {
        throw new VerdictError('invalid_request', 'A session begins with an API key, not with another credential.');
      }
      const { token, session } = await sessions.begin(digest, Date.now());
      await audit.record(eventOf('session_started', request));
      setCookies(reply, token, session);
      const answer: NewSession = { ...describe(request), csrfToken: session.csrfToken, ends: timeOf(session) };
      return reply.code(201).send(answer);
    },
  );

  fastify.get('/v1/session', { config: { access: 'authenticated', operation: readOperation } }, (request) =>
    describe(request),
  );

  fastify.delete(
    '/v1/session',
    { config: { access: 'authenticated', operation: endOperation } },
    async (request, reply) => {
      const token = sessionTokenIn(request.headers.cookie, secure);
      if (request.caller.method === 'session' && token !== undefined) {
        await sessions.end(token);
        await audit.record(eventOf('session_ended', request));
      }
      for (const name of [sessionCookieName(secure), csrfCookie]) {
        reply.header('set-cookie', `${name}=; Path=/; Max-Age=0; SameSite=Strict${secure ? '; Secure' : ''}`);
      }
      return reply.code(204).send();
    },
  );

  function setCookies(reply: FastifyReply, token: string, session: Session): void {
    const rest = `Path=/; SameSite=Strict${secure ? '; Secure' : ''}; Expires=${new Date(session.ends).toUTCString()}`;
    reply.header('set-cookie', `${sessionCookieName(secure)}=${token}; HttpOnly; ${rest}`);
    reply.header('set-cookie', `${csrfCookie}=${session.csrfToken}; ${rest}`);
  }
}

function describe({ caller }: FastifyRequest): SessionDescription {
  return { caller: caller.name, method: caller.method, scopes: caller.grants.toTexts() };
}

function eventOf(type: 'session_started' | 'session_ended', { caller, ip: address, id: requestId }: FastifyRequest) {
  return { type, actor: caller.name, method: caller.method, address, requestId };
}

function timeOf({ ends }: Session): string {
  return new Date(ends).toISOString();
}
