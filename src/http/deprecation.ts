import type { FastifyInstance } from 'fastify';

/** When a version of the API, or one route of it, stops being recommended, and when it stops being there. */
export interface Deprecation {
  /** A version (`/v1`) or a route; what lies below it goes with it. */
  readonly path: string;
  /** Since when it is deprecated (RFC 9745). */
  readonly since: Date;
  /** When it will be gone (RFC 8594); left out while that is open. */
  readonly sunset?: Date;
  /** What to use instead, and where that is written. */
  readonly successor?: string;
  readonly documentation?: string;
}

/** What is deprecated now: nothing. A row here is all that a deprecation takes. */
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
