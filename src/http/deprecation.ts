import type { FastifyInstance } from 'fastify';

/** A deprecated version of the API, or a deprecated route, and when it is removed. */
export interface Deprecation {
  /** A version (`/v1`) or a route. All paths below it are deprecated, too. */
  readonly path: string;
  /** Since when it is deprecated (RFC 9745). */
  readonly since: Date;
  /** When it is removed (RFC 8594); undefined while that is open. */
  readonly sunset?: Date;
  /** URL of the documentation of what to use instead. */
  readonly successor?: string;
  readonly documentation?: string;
}

/** What is deprecated now: nothing. To deprecate something, add a row. */
export const deprecations: readonly Deprecation[] = Object.freeze([]);

/** Tells every caller of a deprecated route, in headers that clients and gateways know. Costs other routes nothing. */
export function announceDeprecations(fastify: FastifyInstance, rows: readonly Deprecation[] = deprecations): void {
  fastify.addHook('onRoute', (route) => {
    const row = rows.find(({ path }) => route.url === path || route.url.startsWith(`${path}/`));
    if (row === undefined) return;
    const headers = headersOf(row);
    const onRequest = [route.onRequest ?? []].flat();
    route.onRequest = [
      (_request, reply, done) => {
        reply.headers(headers);
        done();
      },
      ...onRequest,
    ];
  });
}

function headersOf({ since, sunset, successor, documentation }: Deprecation): Record<string, string> {
  const links = [
    successor === undefined ? [] : `<${successor}>; rel="successor-version"`,
    documentation === undefined ? [] : `<${documentation}>; rel="deprecation"; type="text/html"`,
  ].flat();
  return {
    deprecation: `@${Math.floor(since.getTime() / 1000)}`,
    ...(sunset !== undefined && { sunset: sunset.toUTCString() }),
    ...(links.length > 0 && { link: links.join(', ') }),
  };
}
