import { Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { Config } from '../config/config.js';
import { databasePathOf, instanceOf } from '../config/data-folder.js';
import { parseDuration } from '../core/duration.js';
import { DatabaseModule } from '../database/database.module.js';
import { PostgresDatabase } from '../database/postgres/postgres-database.js';
import { ServiceDatabase } from '../database/service-database.js';
import { DataFolderLock } from '../database/sqlite/data-folder-lock.js';
import type { SqliteDatabase } from '../database/sqlite/sqlite-database.js';
import { EncryptionKeys } from '../encryption/encryption-keys.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { dayMs } from '../query/time-zone.js';
import { CommitObservers } from './commit-observers.js';
import { DecisionLog } from './decision-log.js';
import type { Commit, LocalLogMode } from './decision-log-options.js';
import { ErasureOrders } from './erasure/erasure-orders.js';
import { Erasures } from './erasure/erasures.js';
import { Holds } from './holds/holds.js';
import { PostgresHolds } from './holds/postgres/postgres-holds.js';
import { SqliteHolds } from './holds/sqlite/sqlite-holds.js';
import { LocalInstances } from './local/local-instances.js';
import { PostgresLocalInstances } from './local/postgres/postgres-local-instances.js';
import { SqliteLocalInstances } from './local/sqlite/sqlite-local-instances.js';
import { PostgresDecisionLog } from './postgres/postgres-decision-log.js';
import { ShippingObservers } from './shipping-observers.js';
import { SqliteDecisionLog } from './sqlite/sqlite-decision-log.js';
import { SqliteErasureOrders } from './sqlite/sqlite-erasure-orders.js';
import { WantedElsewhere } from './wanted-elsewhere.js';

/** Beyond the longest time of a batch, how long after it came a question may be recorded, in seconds. */
const sparedSeconds = 5;

/** How long after its time a record may still be appended, in milliseconds. */
function latestMsOf({ maxBatchSeconds }: Config): number {
  return (maxBatchSeconds + sparedSeconds) * 1_000;
}

/** The records of what was decided: appended in groups, found again. */
@Module({
  imports: [DatabaseModule],
  providers: [
    CommitObservers,
    ShippingObservers,
    WantedElsewhere,
    {
      provide: Holds,
      inject: [ServiceDatabase],
      useFactory: (database: SqliteDatabase | PostgresDatabase): Promise<Holds> =>
        database instanceof PostgresDatabase
          ? PostgresHolds.open(database)
          : database.open((path) => SqliteHolds.open(path)),
    },
    {
      provide: LocalInstances,
      inject: [Config, ServiceDatabase],
      useFactory: (config: Config, database: SqliteDatabase | PostgresDatabase): Promise<LocalInstances> =>
        database instanceof PostgresDatabase
          ? PostgresLocalInstances.open(database)
          : database.open((path) => SqliteLocalInstances.open(path, config.decisionLog === 'fsync')),
    },
    {
      provide: DecisionLog,
      // The lock is asked for so that it is taken first.
      inject: [
        Config,
        loggerToken,
        CommitObservers,
        ShippingObservers,
        WantedElsewhere,
        ServiceDatabase,
        Holds,
        DataFolderLock,
      ],
      useFactory: (
        config: Config,
        logger: Logger,
        commits: CommitObservers,
        batches: ShippingObservers,
        wanted: WantedElsewhere,
        database: ServiceDatabase,
        holds: Holds,
      ): DecisionLog => {
        const { decisionLogRetentionDays: days, decisionLogRetentionRecords: maxRecords, decisionLog: mode } = config;
        const options = {
          instance: instanceOf(config),
          queueLimit: config.decisionLogQueue,
          retention: {
            ...(days !== undefined && { maxAgeMs: days * dayMs }),
            ...(maxRecords !== undefined && { maxRecords }),
            ...(config.logSinks !== undefined && {
              wanted: { doneTo: () => wanted.doneTo, maxAgeMs: parseDuration(config.logSinksKeep)! },
            }),
          },
          fleetKeys: config.logSigningKey,
          encryption: config.encryptionKey === undefined ? undefined : EncryptionKeys.of(config.encryptionKey),
          onProblem: problemsTo(logger),
          onCommit: (commit: Commit) => commits.notify(commit),
        };
        const databasePath = databasePathOf(config);
        if (!(database instanceof PostgresDatabase)) {
          // The configuration refuses `replicated` without PostgreSQL.
          return new SqliteDecisionLog({ ...options, holds, databasePath, mode: mode as LocalLogMode });
        }
        return new PostgresDecisionLog({
          ...options,
          holds,
          mode,
          database,
          openJournal: (journal) => new SqliteDecisionLog({ ...options, databasePath, isShipped: true, ...journal }),
          journalLimit: config.decisionLogJournalBytes,
          latestMs: latestMsOf(config),
          onShipped: (batch) => batches.notify(batch),
        });
      },
    },
    {
      provide: ErasureOrders,
      inject: [ServiceDatabase, DecisionLog],
      useFactory: (
        database: SqliteDatabase | PostgresDatabase,
        log: DecisionLog,
      ): Promise<ErasureOrders> | ErasureOrders =>
        database instanceof PostgresDatabase
          ? (log as PostgresDecisionLog).orders
          : database.open((path) => SqliteErasureOrders.open(path)),
    },
    {
      provide: Erasures,
      inject: [Config, loggerToken, DecisionLog, ErasureOrders, Holds],
      useFactory: (config: Config, logger: Logger, log: DecisionLog, orders: ErasureOrders, holds: Holds) =>
        new Erasures({
          orders,
          log,
          holds,
          latestMs: latestMsOf(config),
          isIdle: log instanceof PostgresDecisionLog && config.decisionLog === 'off',
          onProblem: problemsTo(logger),
        }),
    },
  ],
  exports: [
    CommitObservers,
    DecisionLog,
    ErasureOrders,
    Erasures,
    Holds,
    LocalInstances,
    ShippingObservers,
    WantedElsewhere,
  ],
})
export class DecisionLogModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly log: DecisionLog,
    private readonly holds: Holds,
    private readonly erasures: Erasures,
    private readonly orders: ErasureOrders,
    private readonly instances: LocalInstances,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.log.start();
    this.erasures.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.erasures.stop();
    try {
      await this.log.stop();
    } finally {
      await this.orders.close();
      await this.holds.close();
      await this.instances.close();
    }
  }
}
