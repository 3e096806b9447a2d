import { Inject, Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Logger } from 'pino';
import type { AccessTokens } from '../auth/access-tokens.js';
import { accessTokensOf } from '../auth/access-tokens-of.js';
import { Config } from '../config/config.js';
import { fastifyOf, HttpModule } from '../http/http.module.js';
import { httpLimitsOf } from '../http/http-limits.js';
import { loggerToken } from '../logging/logging.module.js';
import { FreshSets } from '../pdp/fresh-sets.js';
import { Pdp } from '../pdp/pdp.js';
import { PdpModule } from '../pdp/pdp.module.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { PolicyStoreModule } from '../policy-store/policy-store.module.js';
import { registerEnvoyRoutes } from './envoy/envoy-routes.js';
import { registerForwardAuthRoutes } from './forward-auth-routes.js';

/**
 * Token of the injector for `AccessTokens` of users whose requests gateways ask about; usually they have another
 * audience.
 */
const userAccessTokens = Symbol('access tokens of users');

/** Routes for gateways that ask whether a client's request may pass. */
@Module({
  imports: [HttpModule, PdpModule, PolicyStoreModule],
  providers: [
    {
      provide: userAccessTokens,
      inject: [Config, loggerToken],
      useFactory: (config: Config, logger: Logger) =>
        accessTokensOf(config, config.gatewayJwtAudience ?? config.jwtAudience, logger),
    },
  ],
})
export class GatewayModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly config: Config,
    private readonly pdp: Pdp,
    private readonly policySets: PolicyStore,
    private readonly freshSets: FreshSets,
    @Inject(userAccessTokens) private readonly userTokens: AccessTokens | undefined,
  ) {}

  onModuleInit(): void {
    const { pdp, policySets, freshSets, userTokens } = this;
    const limits = httpLimitsOf(this.config);
    const services = { pdp, policySets, freshSets, userTokens, limits };
    registerForwardAuthRoutes(fastifyOf(this.host), services);
    registerEnvoyRoutes(fastifyOf(this.host), { ...services, bodyBytes: limits.bodyBytes });
  }

  onApplicationShutdown(): void {
    this.userTokens?.close();
  }
}
