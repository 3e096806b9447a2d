import { dirname } from 'node:path';
import { type DynamicModule, Module, type OnApplicationShutdown } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import type { Logger } from 'pino';
import type { Config } from './config.js';
import { DecisionLog } from './decision-log/decision-log.js';
import { compileMask } from './decision-log/mask.js';
import { DecisionsController } from './http/decisions.controller.js';
import { HealthController } from './http/health.controller.js';
import { DataDirectory, HealthIndicators } from './http/health-indicators.js';
import { PolicySetsController } from './http/policy-sets.controller.js';
import { Pdp } from './pdp/pdp.js';
import { PolicyArchive } from './policy-store/policy-archive.js';
import { PolicyStore } from './policy-store/policy-store.js';
import { CrossCheck } from './stock-casbin/cross-check.js';

/** Builds what the service is made of, each part started before whatever needs it, and stops it in the reverse order. */
@Module({})
export class AppModule implements OnApplicationShutdown {
  static with(config: Config, logger: Logger): DynamicModule {
    const databasePath = config.databaseUrl.slice('sqlite:'.length);
    return {
      module: AppModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: [HealthController, DecisionsController, PolicySetsController],
      providers: [
        {
          provide: DecisionLog,
          useFactory: async () => {
            const log = new DecisionLog({ url: config.databaseUrl, mode: config.decisionLog });
            await log.start();
            return log;
          },
        },
        {
          provide: PolicyArchive,
          // After the log: two connections that make the same new database at once would block each other.
          inject: [DecisionLog],
          useFactory: () => PolicyArchive.open(databasePath),
        },
        {
          provide: PolicyStore,
          inject: [PolicyArchive],
          useFactory: async (archive: PolicyArchive) => {
            const { policyDir: directory, defaultPolicySet } = config;
            const store = new PolicyStore({
              directory,
              archive,
              log: logger,
              ...(defaultPolicySet !== undefined && { defaultPolicySet }),
            });
            await store.start();
            return store;
          },
        },
        {
          provide: Pdp,
          inject: [PolicyStore, DecisionLog, CrossCheck],
          useFactory: (policySets: PolicyStore, log: DecisionLog, crossCheck: CrossCheck) =>
            new Pdp(policySets, log, crossCheck),
        },
        {
          provide: CrossCheck,
          useFactory: () =>
            new CrossCheck({
              share: config.crossCheck,
              log: logger,
              mask: (set, request) => compileMask(set.stockView().compiled.manifest.decisionLog)(request),
            }),
        },
        { provide: DataDirectory, useValue: new DataDirectory(dirname(databasePath)) },
        HealthIndicators,
      ],
    };
  }

  constructor(
    private readonly policySets: PolicyStore,
    private readonly archive: PolicyArchive,
    private readonly log: DecisionLog,
    private readonly crossCheck: CrossCheck,
  ) {}

  /** Runs when the last request is answered and the last connection closed. */
  async onApplicationShutdown(): Promise<void> {
    await this.crossCheck.stop();
    await this.policySets.stop();
    await this.archive.close();
    await this.log.stop();
  }
}
