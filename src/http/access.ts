/** What a route asks of its callers. It is said where the route is declared, and a route that does not say it stops the start. */
import type { FastifyInstance, RouteOptions } from 'fastify';
import type { AuditEventType } from '../audit/audit-event.js';
import type { Caller } from '../auth/caller.js';
import type { LimitName } from '../auth/rate-limits.js';
import type { ScopeName } from '../auth/scopes.js';
import type { Operation } from './operation.js';
import { addRouteConfig } from './route-config.js';

/** Nobody in particular, anybody who is authenticated, or a scope. */
export type Access = 'public' | 'authenticated' | ScopeName;

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    /** The rate limit that a call counts against. */
    limit?: LimitName;
    /** The audit event that a call leaves when it succeeds. */
    audit?: AuditEventType;
    /** The member of the body whose elements are parsed one by one, as a batch gets to them. */
    list?: string;
    /** Gateways ask here about the requests of others, whose `Authorization` comes along. */
    forGateways?: boolean;
    /** People open it in a browser: without a credential they get a page to sign in. */
    isPage?: boolean;
    /** A POST that needs no body, only its content type. */
    bodyOptional?: boolean;
    /** What it shows is of all policy sets together, so the scope must be for all of them. */
    allSets?: boolean;
    /** The path has other methods than this one: 405. */
    wrongMethod?: boolean;
    /** What the OpenAPI document says of it; a route without one is not in the document. */
    operation?: Operation;
  }
  interface FastifyInstance {
    /** Every route with what it asks of its callers, for whoever must not forget any. */
    readonly declaredRoutes: readonly DeclaredRoute[];
  }
  interface FastifyRequest {
    /** Of a call that changes what is served: the versions before and after it, for its audit event. */
    servedVersions: { readonly fromVersion?: string; readonly toVersion?: string } | undefined;
    /** Who sent the request; set before any handler runs. */
    caller: Caller;
    /** Points of the route's limit that the request has taken. */
    pointsTaken: number;
    /** How long the body was; 0 until it is read. */
    bodyBytes: number;
  }
}

/** A route of a controller for whoever has the scope. With `:set` in its path, for that set; others are not found. */
export const Requires = (
  access: Exclude<Access, 'public'>,
  beside: {
    readonly limit?: LimitName;
    readonly audit?: AuditEventType;
    readonly allSets?: true;
    readonly bodyOptional?: true;
  } = {},
): MethodDecorator => addRouteConfig({ access, ...beside });

/** A route of a controller that answers everybody. */
export const Public = (): MethodDecorator => addRouteConfig({ access: 'public' });

export interface DeclaredRoute {
  readonly method: string;
  readonly url: string;
  readonly access: Access;
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
    const { access, operation } = route.config ?? {};
    if (access === undefined) {
      throw new Error(
        `the route ${String(route.method)} ${route.url} does not say who may call it; see http/access.ts`,
      );
    }
    for (const method of [route.method].flat()) routes.push({ method, url: route.url, access, operation });
  });
}
