import type { FastifyInstance } from 'fastify';
import { Text } from '../answers/members.js';
import type { Operation } from '../http/operation.js';
import { frontPage, isPerson, sendPage } from '../http/pages.js';

export interface FrontPageOptions {
  /** The path in front of the service, without a slash at its end. */
  readonly base: string;
  readonly version: string;
}

class FrontPageLinks {
  @Text()
  readonly service!: string;

  @Text()
  readonly version!: string;

  @Text()
  readonly documentation!: string;

  @Text()
  readonly openapi!: string;

  @Text()
  readonly decide!: string;

  @Text()
  readonly ready!: string;
}

const operation: Operation = {
  id: 'showFrontPage',
  tag: 'documentation',
  summary: 'Where to go from here: a page for people, JSON for programs',
  answers: { 200: { description: 'Paths of this service.', json: FrontPageLinks } },
};

/** `/`: where to go from here, as a page for people and as JSON for programs. */
export function registerFrontPage(fastify: FastifyInstance, { base, version }: FrontPageOptions): void {
  const page = frontPage(base);
  const links: FrontPageLinks = {
    service: 'verdict',
    version,
    documentation: `${base}/docs`,
    openapi: `${base}/docs-json`,
    decide: `${base}/v1/decide`,
    ready: `${base}/health/ready`,
  };
  fastify.get('/', { config: { access: 'authenticated', isPage: true, operation } }, (request, reply) => {
    reply.header('vary', 'accept');
    return isPerson(request) ? sendPage(reply, page) : links;
  });
}
