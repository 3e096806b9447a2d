import type { FastifyInstance } from 'fastify';
import { frontPage, isPerson, sendPage } from '../http/pages.js';

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
