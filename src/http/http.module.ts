import type { Server as TlsServer } from 'node:tls';
import { Inject, Module, type OnApplicationBootstrap } from '@nestjs/common';
import { APP_FILTER, HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { AuditModule } from '../audit/audit.module.js';
import { AuditLog } from '../audit/audit-log.js';
import { AuthModule } from '../auth/auth.module.js';
import { Authenticator } from '../auth/authenticator.js';
import { FailedAuthentications } from '../auth/failed-authentications.js';
import { RateLimits } from '../auth/rate-limits.js';
import { Config } from '../config/config.js';
import { basePathOf } from '../config/public-url.js';
import { loggerToken } from '../logging/logging.module.js';
import { Siblings } from '../workers/siblings.js';
import { WorkersModule } from '../workers/workers.module.js';
import { wantContentType } from './ambiguous-requests.js';
import { BodyRoom } from './body-room.js';
import { Gate } from './gate.js';
import { signInPage } from './pages.js';
import { ProblemFilter } from './problem.js';
import { ServiceUrl } from './service-url.js';
import { tlsFilesOf, watchTlsFiles } from './tls-files.js';

/** The Fastify instance below Nest, for providers that register routes or hooks. */
export function fastifyOf({ httpAdapter }: HttpAdapterHost): FastifyInstance {
  return httpAdapter.getInstance<FastifyInstance>();
}

/** Everything between the network and the routes. */
@Module({
  imports: [AuditModule, AuthModule, WorkersModule],
  providers: [
    ServiceUrl,
    {
      provide: APP_FILTER,
      inject: [loggerToken],
      useFactory: (logger: Logger) => new ProblemFilter(logger),
    },
    {
      provide: Gate,
      inject: [Config, loggerToken, HttpAdapterHost, Authenticator, RateLimits, FailedAuthentications, AuditLog],
      useFactory: (
        config: Config,
        logger: Logger,
        host: HttpAdapterHost,
        authenticator: Authenticator,
        limits: RateLimits,
        failures: FailedAuthentications,
        audit: AuditLog,
      ) => {
        const fastify = fastifyOf(host);
        const gate = new Gate({
          authenticator: config.auth === 'none' ? undefined : authenticator,
          limits,
          failures,
          audit,
          connections: fastify.connections,
          bodies: new BodyRoom(config.maxBodiesBytes),
          logger,
          signInPage: signInPage(basePathOf(config)),
        });
        // Now and not when the module is initialised: Nest declares the routes of controllers before that.
        gate.guard(fastify);
        wantContentType(fastify);
        return gate;
      },
    },
  ],
  exports: [Gate, ServiceUrl],
})
export class HttpModule implements OnApplicationBootstrap {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly config: Config,
    @Inject(loggerToken) private readonly logger: Logger,
    private readonly siblings: Siblings,
    // Injected so that it is created even if no other module asks for it.
    @Inject(Gate) _gate: Gate,
  ) {}

  /** All routes are declared now: each path answers its other methods with 405. */
  onApplicationBootstrap(): void {
    fastifyOf(this.host).refuseOtherMethods();
    warnOfOneAddress(this.config, this.logger);
    const server: TlsServer = this.host.httpAdapter.getHttpServer();
    server.once('close', this.siblings.balance(fastifyOf(this.host).connections));
    const files = tlsFilesOf(this.config);
    if (files === undefined) return;
    server.once('close', watchTlsFiles(server, files, this.logger));
  }
}

/**
 * Behind a proxy whose `X-Forwarded-For` is not believed, every caller seems to come from the proxy: they share the limits
 * of one address, and address ranges of keys are compared with the proxy's.
 */
export function warnOfOneAddress({ tls, trustedProxies }: Config, logger: Pick<Logger, 'warn'>): void {
  if (tls !== 'terminated-elsewhere' || trustedProxies !== undefined) return;
  logger.warn(
    'VERDICT_TLS=terminated-elsewhere without VERDICT_TRUSTED_PROXIES: all callers have the address of the proxy, and share its limits',
  );
}
