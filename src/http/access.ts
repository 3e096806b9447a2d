/** What a route asks of its callers. Each route declares it; the service does not start with a route that does not. */
import type { FastifyInstance, RouteOptions } from 'fastify';
import type { AuditEventType } from '../audit/audit-event.js';
import type { Caller } from '../auth/caller.js';
import type { LimitName } from '../auth/limiters.js';
import type { ScopeName } from '../auth/scopes.js';
import type { Operation } from './operation.js';
import { addRouteConfig } from './route-config.js';

/**
 * `public`: every caller. `authenticated`: every caller with a valid credential. Otherwise: callers with this scope.
 */
export type Access = 'public' | 'authenticated' | ScopeName;

/** The limits of a body of long lists. */
export interface BodyOfLists {
  /** Levels of objects and arrays; the body is 1. */
  readonly depth: number;
  /** Most members, elements and brackets. */
  readonly values: number;
  /** Most bytes of an element of a list. */
  readonly elementBytes: number;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    /** The rate limit that a call counts against. */
    limit?: LimitName;
    /** The audit event that is written when a call succeeds. */
    audit?: AuditEventType;
    /** The member of the body whose elements are parsed one by one, as a batch gets to them. */
    list?: string;
    /** For a body of long lists, which are parsed piece by piece. */
    lists?: BodyOfLists;
    /** Gateways ask here about another client's request and pass on its `Authorization` header. */
    forGateways?: boolean;
    /** Path and query, behind what the route is called, and the body are those of the client that a gateway asks about. */
    clientTarget?: boolean;
    /** People open it in a browser: without a credential they get a page to sign in. */
    isPage?: boolean;
    /** A POST that needs no body, only its content type. */
    bodyOptional?: boolean;
    /** The answer is about all policy sets together, so the scope must be for all sets; a name: with this query parameter. */
    allSets?: boolean | string;
    /** The path exists and this method does not: the answer is 405. */
    wrongMethod?: boolean;
    /** What the OpenAPI document says about the route; a route without one is left out of the document. */
    operation?: Operation;
  }
  interface FastifyInstance {
    /** Every route with what it asks of its callers, for code that must consider all routes. */
    readonly declaredRoutes: readonly DeclaredRoute[];
  }
  interface FastifyRequest {
    /** Set by a call that changes what is served: the versions before and after, for the audit event; or more than the route says. `detail` goes behind the URL. */
    servedVersions:
      | {
          readonly fromVersion?: string;
          readonly toVersion?: string;
          readonly type?: AuditEventType;
          readonly detail?: string;
        }
      | undefined;
    /** Who sent the request; set before any handler runs. */
    caller: Caller;
    /** Points of the route's limit that the request has taken. */
    pointsTaken: number;
    /** How long the body was; 0 until it is read. */
    bodyBytes: number;
  }
}

/**
 * Declares the scope that a controller's route needs. With `:set` in the path the scope must be for that set; another
 * set answers 404.
 */
export const Requires = (
  access: Exclude<Access, 'public'>,
  beside: {
    readonly limit?: LimitName;
    readonly audit?: AuditEventType;
    readonly allSets?: true | string;
    readonly bodyOptional?: true;
  } = {},
): MethodDecorator => addRouteConfig({ access, ...beside });

/** Declares that a controller's route answers every caller. */
export const Public = (): MethodDecorator => addRouteConfig({ access: 'public' });

export interface DeclaredRoute {
  readonly method: string;
  readonly url: string;
  readonly access: Access;
  /** The type of the audit event that a success leaves. */
  readonly audit: AuditEventType | undefined;
  readonly operation: Operation | undefined;
}

/**
 * Looks at every route that is declared from now on.
 *
 * @throws Error, at the declaration, for a route that does not say who may call it
 */
export function requireAccess(fastify: FastifyInstance): void {
  const routes: DeclaredRoute[] = [];
  fastify.decorate('declaredRoutes', routes);
  fastify.addHook('onRoute', (route: RouteOptions) => {
    const { access, audit, operation } = route.config ?? {};
    if (access === undefined) {
      throw new Error(
        `the route ${String(route.method)} ${route.url} does not say who may call it; see http/access.ts`,
      );
    }
    for (const method of [route.method].flat()) routes.push({ method, url: route.url, access, audit, operation });
  });
}
