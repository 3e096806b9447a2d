import { Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { AuthModule } from '../auth/auth.module.js';
import { LimitLeases } from '../auth/limit-leases.js';
import { Config } from '../config/config.js';
import { instanceOf } from '../config/data-folder.js';
import { DatabaseModule } from '../database/database.module.js';
import { PostgresDatabase } from '../database/postgres/postgres-database.js';
import { ServiceDatabase } from '../database/service-database.js';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionLogModule } from '../decision-log/decision-log.module.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { PolicyStore } from '../policy-store/policy-store.js';
import { PolicyStoreModule } from '../policy-store/policy-store.module.js';
import { Siblings } from '../workers/siblings.js';
import { WorkersModule } from '../workers/workers.module.js';
import { Fleet } from './fleet.js';
import { OwnReplica } from './own-replica.js';
import { PostgresFleet } from './postgres/postgres-fleet.js';
import { SingleReplica } from './single-replica.js';

/** Who serves what, over all replicas. */
@Module({
  imports: [AuthModule, DatabaseModule, DecisionLogModule, PolicyStoreModule, WorkersModule],
  providers: [
    {
      provide: Fleet,
      inject: [Config, ServiceDatabase, PolicyStore, DecisionLog, LimitLeases, Siblings, loggerToken],
      useFactory: (
        config: Config,
        database: ServiceDatabase,
        policySets: PolicyStore,
        log: DecisionLog,
        leases: LimitLeases | undefined,
        siblings: Siblings,
        logger: Logger,
      ): Fleet => {
        const own = new OwnReplica(instanceOf(config), policySets, log, database, siblings);
        return database instanceof PostgresDatabase
          ? new PostgresFleet({
              database,
              own,
              onProblem: problemsTo(logger),
              onReplicas: (count) => {
                if (leases !== undefined) leases.replicas = count;
              },
            })
          : new SingleReplica(own);
      },
    },
  ],
  exports: [Fleet],
})
export class FleetModule implements OnModuleInit, OnApplicationShutdown {
  constructor(private readonly fleet: Fleet) {}

  /** After the policy sets were loaded. */
  onModuleInit(): void {
    this.fleet.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.fleet.stop();
  }
}
