import { Inject, Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Logger } from 'pino';
import { AuditModule } from '../audit/audit.module.js';
import { AuditLog } from '../audit/audit-log.js';
import type { AccessTokens } from '../auth/access-tokens.js';
import { accessTokensOf } from '../auth/access-tokens-of.js';
import { AuthModule } from '../auth/auth.module.js';
import { Authenticator } from '../auth/authenticator.js';
import { FailedAuthentications } from '../auth/failed-authentications.js';
import { RateLimits } from '../auth/rate-limits.js';
import { Config, listIn } from '../config/config.js';
import { fastifyOf, HttpModule } from '../http/http.module.js';
import { httpLimitsOf } from '../http/http-limits.js';
import { loggerToken } from '../logging/logging.module.js';
import { FreshSets } from '../pdp/fresh-sets.js';
import { ListFilter } from '../pdp/list-filter.js';
import { Pdp } from '../pdp/pdp.js';
import { PdpModule } from '../pdp/pdp.module.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { PolicyStoreModule } from '../policy-store/policy-store.module.js';
import { EnvoyPort } from './envoy/envoy-port.js';
import { registerEnvoyRoutes } from './envoy/envoy-routes.js';
import { registerForwardAuthRoutes } from './forward-auth-routes.js';
import type { GatewayServices } from './gateway-check.js';

/**
 * Token of the injector for `AccessTokens` of users whose requests gateways ask about; usually they have another
 * audience.
 */
const userAccessTokens = Symbol('access tokens of users');

/** Token of the injector for what every check needs. */
const gatewayServices = Symbol('services of gateways');

/** Routes for gateways that ask whether a client's request may pass. */
@Module({
  imports: [AuditModule, AuthModule, HttpModule, PdpModule, PolicyStoreModule],
  providers: [
    {
      provide: userAccessTokens,
      inject: [Config, loggerToken],
      useFactory: (config: Config, logger: Logger) =>
        accessTokensOf(config, config.gatewayJwtAudience ?? config.jwtAudience, logger),
    },
    {
      provide: gatewayServices,
      inject: [Config, Pdp, PolicyStore, FreshSets, userAccessTokens],
      useFactory: (
        config: Config,
        pdp: Pdp,
        policySets: PolicyStore,
        freshSets: FreshSets,
        userTokens: AccessTokens | undefined,
      ): GatewayServices => ({ pdp, policySets, freshSets, userTokens, limits: httpLimitsOf(config) }),
    },
    {
      provide: EnvoyPort,
      inject: [Config, loggerToken, gatewayServices, Authenticator, RateLimits, FailedAuthentications, AuditLog],
      useFactory: (
        config: Config,
        logger: Logger,
        services: GatewayServices,
        authenticator: Authenticator,
        limits: RateLimits,
        failures: FailedAuthentications,
        audit: AuditLog,
      ) =>
        new EnvoyPort(config, services, {
          authenticator: config.auth === 'none' ? undefined : authenticator,
          limits,
          failures,
          audit,
          logger,
        }),
    },
  ],
})
export class GatewayModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly config: Config,
    @Inject(gatewayServices) private readonly services: GatewayServices,
    @Inject(EnvoyPort) private readonly envoyPort: EnvoyPort,
    private readonly listFilter: ListFilter,
  ) {}

  async onModuleInit(): Promise<void> {
    registerForwardAuthRoutes(fastifyOf(this.host), this.services);
    registerEnvoyRoutes(fastifyOf(this.host), { ...this.services, bodyBytes: this.config.maxBodyBytes });
    if (!listIn(this.config.drafts).includes('mcp')) return;
    // Read where it is asked for: expressions are nothing that others should load.
    const { registerMcpRoutes } = await import('./mcp/mcp-routes.js');
    registerMcpRoutes(
      fastifyOf(this.host),
      { ...this.services, listFilter: this.listFilter },
      httpLimitsOf(this.config),
    );
  }

  async onApplicationShutdown(): Promise<void> {
    await this.envoyPort.stop();
    this.services.userTokens?.close();
  }
}
