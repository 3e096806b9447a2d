import type { FastifyInstance } from 'fastify';
import { VerdictError } from '../errors.js';

declare module 'fastify' {
  interface FastifyInstance {
    /** Declares 405 for all other methods of the paths that have a route; to be called after the last of them. */
    refuseOtherMethods(): void;
  }
}

/**
 * Answers 405 with `Allow` where a path exists and the method does not; Fastify by itself says 404. To be called before
 * the first route; `refuseOtherMethods` after the last.
 */
export function watchRoutes(fastify: FastifyInstance): void {
  const methodsOf = new Map<string, Set<string>>();
  fastify.addHook('onRoute', ({ url, method }) => {
    const methods = methodsOf.get(url) ?? new Set();
    for (const each of [method].flat()) methods.add(each);
    methodsOf.set(url, methods);
  });
  fastify.decorate('refuseOtherMethods', () => {
    for (const [url, methods] of [...methodsOf]) {
      const allowed = [...methods].sort().join(', ');
      fastify.route({
        url,
        config: { access: 'authenticated', wrongMethod: true },
        method: fastify.supportedMethods.filter((method) => !methods.has(method)),
        // Answered before the body is read, since the method is wrong in any case.
        onRequest: (request, reply, done) => {
          reply.header('allow', allowed);
          done(new VerdictError('method_not_allowed', `${request.method} is not allowed here, only ${allowed}.`));
        },
        handler: () => undefined,
      });
    }
  });
}
