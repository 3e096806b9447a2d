import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { frontPage, type Page } from './pages.js';

export interface FrontPageOptions {
  /** The path in front of the service, without a slash at its end. */
  readonly base: string;
  readonly version: string;
}

/** `/`: where to go from here, as a page for people and as JSON for programs. */
export function registerFrontPage(fastify: FastifyInstance, { base, version }: FrontPageOptions): void {
  const page = frontPage(base);
  const links = {
    service: 'verdict',
    version,
    documentation: `${base}/docs`,
    openapi: `${base}/docs-json`,
    decide: `${base}/v1/decide`,
    ready: `${base}/health/ready`,
  };
  fastify.get('/', { config: { access: 'authenticated', isPage: true } }, (request, reply) => {
    reply.header('vary', 'accept');
    return isPerson(request) ? sendPage(reply, page) : links;
  });
}

/** Whether a browser shows the answer to somebody: it asks for HTML by name, and programs do not. */
export function isPerson({ method, headers }: FastifyRequest): boolean {
  return (method === 'GET' || method === 'HEAD') && /\btext\/html\b/i.test(headers.accept ?? '');
}

export function sendPage(reply: FastifyReply, { html, contentSecurityPolicy }: Page): FastifyReply {
  return reply
    .header('content-security-policy', contentSecurityPolicy)
    .header('content-type', 'text/html; charset=utf-8')
    .send(html);
}
