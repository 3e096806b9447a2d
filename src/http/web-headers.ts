/** Security headers for browsers, and CORS. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import cors from '@fastify/cors';
import type { FastifyInstance } from 'fastify';
import helmet, { type HelmetOptions } from 'helmet';

export interface WebOptions {
  /** Origins whose pages may call. None by default. */
  readonly corsOrigins: readonly string[];
  /** True if callers reach the service over TLS, here or at a proxy. Then HSTS is sent. */
  readonly secure: boolean;
}

const emptyPolicy = { baseUri: ["'none'"], formAction: ["'none'"], frameAncestors: ["'none'"], defaultSrc: ["'none'"] };
/** The policy for Swagger UI: its own scripts and calls, inline styles, images as data URLs. */
const docsPolicy = {
  ...emptyPolicy,
  scriptSrc: ["'self'"],
  connectSrc: ["'self'"],
  fontSrc: ["'self'"],
  styleSrc: ["'self'", "'unsafe-inline'"],
  imgSrc: ["'self'", 'data:'],
};
/** Headers of requests that the service reads; a page of another origin can send no others. */
const readHeaders = [
  'authorization',
  'content-type',
  'x-api-key',
  'x-request-id',
  'traceparent',
  'verdict-at-least',
  'verdict-max-staleness',
  'if-match',
  'if-none-match',
  'idempotency-key',
];
const yearSeconds = 365 * 24 * 60 * 60;

/** Must be called before anything that can refuse a request, so that refusals carry the headers, too. */
export async function addWebHeaders(fastify: FastifyInstance, { corsOrigins, secure }: WebOptions): Promise<void> {
  // Answers are for this caller at this moment.
  const ofData = { ...headersBy(optionsFor(emptyPolicy, secure)), 'cache-control': 'no-store' };
  const ofDocs = { ...headersBy(optionsFor(docsPolicy, secure)), 'cache-control': 'no-store' };
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.headers(request.url.startsWith('/docs') ? ofDocs : ofData);
    done();
  });
  if (corsOrigins.length === 0) return;
  await fastify.register(cors, {
    origin: [...corsOrigins],
    methods: ['GET', 'POST', 'DELETE'],
    allowedHeaders: [...readHeaders],
    exposedHeaders: [
      ...['x-request-id', 'retry-after', 'ratelimit', 'ratelimit-policy', 'deprecation', 'sunset', 'link'],
      ...['date', 'etag', 'verdict-bundle-signature', 'verdict-source-age', 'verdict-waited'],
    ],
    maxAge: 600,
  });
}

function optionsFor(directives: Record<string, string[]>, secure: boolean): HelmetOptions {
  return {
    contentSecurityPolicy: { useDefaults: false, directives },
    strictTransportSecurity: secure && { maxAge: yearSeconds, includeSubDomains: true },
    referrerPolicy: { policy: 'no-referrer' },
    frameguard: { action: 'deny' },
    // Only old browsers read these, and each would cost time on every decision.
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
    originAgentCluster: false,
  };
}

/**
 * The headers that helmet sets, computed once. `@fastify/helmet` builds its chain again for every request, which costs
 * as much as a decision, and the result never differs.
 */
function headersBy(options: HelmetOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  const response = {
    setHeader: (name: string, value: string) => {
      headers[name.toLowerCase()] = value;
    },
    removeHeader: () => undefined,
  };
  // helmet reads nothing of the request and uses these two methods of the response.
  helmet(options)({} as IncomingMessage, response as unknown as ServerResponse, (error) => {
    if (error !== undefined) throw error;
  });
  return headers;
}
