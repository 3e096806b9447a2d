import { Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { AuditModule } from '../audit/audit.module.js';
import { AuditLog } from '../audit/audit-log.js';
import { Config } from '../config/config.js';
import { DatabaseModule } from '../database/database.module.js';
import { PostgresDatabase } from '../database/postgres/postgres-database.js';
import { ServiceDatabase } from '../database/service-database.js';
import type { SqliteDatabase } from '../database/sqlite/sqlite-database.js';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionLogModule } from '../decision-log/decision-log.module.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { ArchiveRetention } from './archive/archive-retention.js';
import { LateArchive } from './archive/late-archive.js';
import { PolicyArchive } from './archive/policy-archive.js';
import { PostgresPolicyArchive } from './archive/postgres/postgres-policy-archive.js';
import { SqlitePolicyArchive } from './archive/sqlite/sqlite-policy-archive.js';
import { DirectorySource } from './directory/directory-source.js';
import { LoadObservers } from './load-observers.js';
import { notePolicyLoad } from './policy-load-audit.js';
import { PolicyStore } from './policy-store.js';

/** The policy store and the archive of versions. */
@Module({
  imports: [DatabaseModule, AuditModule, DecisionLogModule],
  providers: [
    LoadObservers,
    {
      provide: PolicyArchive,
      inject: [ServiceDatabase, loggerToken],
      useFactory: async (database: SqliteDatabase | PostgresDatabase, logger: Logger): Promise<PolicyArchive> =>
        database instanceof PostgresDatabase
          ? new LateArchive({ archive: await PostgresPolicyArchive.open(database), onProblem: problemsTo(logger) })
          : database.open((path) => SqlitePolicyArchive.open(path)),
    },
    {
      provide: PolicyStore,
      inject: [Config, loggerToken, PolicyArchive, AuditLog, LoadObservers],
      useFactory: (
        { policyDir: directory, defaultPolicySet }: Config,
        log: Logger,
        archive: PolicyArchive,
        audit: AuditLog,
        observers: LoadObservers,
      ) =>
        new PolicyStore({
          source: new DirectorySource({
            directory,
            onDefect: (error) => log.error({ err: error }, 'looking for changed policy sets failed'),
          }),
          archive,
          log,
          onLoad: (event) => {
            observers.notify(event);
            notePolicyLoad(audit, event);
          },
          ...(defaultPolicySet !== undefined && { defaultPolicySet }),
        }),
    },
    {
      provide: ArchiveRetention,
      inject: [PolicyArchive, PolicyStore, DecisionLog, ServiceDatabase, loggerToken],
      useFactory: (
        archive: PolicyArchive,
        store: PolicyStore,
        log: DecisionLog,
        database: ServiceDatabase,
        logger: Logger,
      ) =>
        new ArchiveRetention({
          archive,
          ...(database instanceof PostgresDatabase && { served: () => store.servedVersions() }),
          oldestRecord: () => log.oldestRecord(),
          onProblem: problemsTo(logger),
        }),
    },
  ],
  exports: [LoadObservers, PolicyArchive, PolicyStore],
})
export class PolicyStoreModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly store: PolicyStore,
    private readonly archive: PolicyArchive,
    private readonly retention: ArchiveRetention,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.store.start();
    // The archive knows by now which versions are served.
    this.retention.start();
  }

  async onApplicationShutdown(): Promise<void> {
    try {
      await this.retention.stop();
      await this.store.stop();
    } finally {
      await this.archive.close();
    }
  }
}
