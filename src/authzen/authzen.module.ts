import { Inject, Module, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { Config, speaksDraft } from '../config/config.js';
import { basePathOf } from '../config/public-url.js';
import { ConfigError } from '../config/read-config.js';
import { Gate } from '../http/gate.js';
import { fastifyOf, HttpModule } from '../http/http.module.js';
import { httpLimitsOf } from '../http/http-limits.js';
import { ServiceUrl } from '../http/service-url.js';
import { FreshSets } from '../pdp/fresh-sets.js';
import { Pdp } from '../pdp/pdp.js';
import { PdpModule } from '../pdp/pdp.module.js';
import { PolicySearch } from '../pdp/policy-search.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { PolicyStoreModule } from '../policy-store/policy-store.module.js';
import { registerEvaluationRoutes } from './evaluation-routes.js';
import { registerMetadataRoutes } from './metadata-routes.js';
import type { MetadataSigner } from './metadata-signer.js';
import { registerSearchRoutes } from './search-routes.js';

/** Token of the injector for the signer of metadata; undefined if no key is configured. */
const metadataSignerToken = Symbol('signer of metadata');

/** The whole of the Authorization API 1.0, at the root for the default policy set and below `/sets/` for each. */
@Module({
  imports: [HttpModule, PdpModule, PolicyStoreModule],
  providers: [
    {
      provide: metadataSignerToken,
      inject: [Config],
      useFactory: ({ authzenSigningKey: pem }: Config) => (pem === undefined ? undefined : signerOf(pem)),
    },
  ],
})
export class AuthzenModule implements OnModuleInit {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly config: Config,
    private readonly gate: Gate,
    private readonly pdp: Pdp,
    private readonly search: PolicySearch,
    private readonly freshSets: FreshSets,
    private readonly policySets: PolicyStore,
    private readonly url: ServiceUrl,
    @Inject(metadataSignerToken) private readonly signer: MetadataSigner | undefined,
  ) {}

  onModuleInit(): void {
    const { config, gate, pdp, search, freshSets, policySets, signer } = this;
    const fastify = fastifyOf(this.host);
    const limits = httpLimitsOf(config);
    const negotiatesObligations = speaksDraft(config, 'obligations');
    registerEvaluationRoutes(fastify, { pdp, freshSets, limits, gate, negotiatesObligations });
    registerSearchRoutes(fastify, { search, freshSets, limits, negotiatesObligations });
    registerMetadataRoutes(fastify, {
      policySets,
      publicUrl: () => this.url.outside,
      publicPath: basePathOf(config),
      negotiatesObligations,
      signer,
    });
  }
}

/** Loads the signer only if a key is configured. */
async function signerOf(pem: string): Promise<MetadataSigner> {
  const { MetadataSigner } = await import('./metadata-signer.js');
  try {
    return await MetadataSigner.of(pem);
  } catch (error) {
    throw new ConfigError([`VERDICT_AUTHZEN_SIGNING_KEY cannot be used: ${(error as Error).message}`]);
  }
}
