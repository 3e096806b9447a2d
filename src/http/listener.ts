import type { TlsOptions } from 'node:tls';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { type Config, listIn } from '../config/config.js';
import { isSecure } from '../config/public-url.js';
import type { Tracing } from '../telemetry/request-span.js';
import { requireAccess } from './access.js';
import { announceDeprecations } from './deprecation.js';
import { createFastifyAdapter } from './fastify-adapter.js';
import { httpLimitsOf } from './http-limits.js';
import { watchRoutes } from './method-not-allowed.js';
import { tlsFilesOf, tlsOptions } from './tls-files.js';
import { addWebHeaders } from './web-headers.js';

/** Creates the server below Nest, with all hooks that must exist before the first route is declared. */
export async function createListener(config: Config, logger: Logger, tracing?: Tracing): Promise<FastifyAdapter> {
  const adapter = createFastifyAdapter(
    httpLimitsOf(config),
    {
      tls: tlsOf(config),
      trustedProxies: listIn(config.trustedProxies),
      maxConnections: config.maxConnections,
      unread: {
        waitMs: config.maxUnreadSeconds * 1000,
        bytes: config.maxUnreadBytes,
        bytesOfCaller: config.maxUnreadBytesOfCaller,
      },
    },
    logger,
    tracing,
  );
  const fastify = adapter.getInstance() as FastifyInstance;
  await addWebHeaders(fastify, { corsOrigins: listIn(config.corsOrigins), secure: isSecure(config) });
  announceDeprecations(fastify);
  requireAccess(fastify);
  watchRoutes(fastify);
  return adapter;
}

function tlsOf(config: Config): TlsOptions | undefined {
  const files = tlsFilesOf(config);
  return files && tlsOptions(files);
}
