import { Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { Config } from '../config/config.js';
import { databasePathOf, instanceOf } from '../config/data-folder.js';
import { DatabaseModule } from '../database/database.module.js';
import { DataFolderLock } from '../database/sqlite/data-folder-lock.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { dayMs } from '../query/time-zone.js';
import { CommitObservers } from './commit-observers.js';
import { DecisionLog } from './decision-log.js';
import { SqliteDecisionLog } from './sqlite/sqlite-decision-log.js';

/** The records of what was decided: appended in groups, found again. */
@Module({
  imports: [DatabaseModule],
  providers: [
    CommitObservers,
    {
      provide: DecisionLog,
      // The lock is asked for so that it is taken first.
      inject: [Config, loggerToken, CommitObservers, DataFolderLock],
      useFactory: (config: Config, logger: Logger, observers: CommitObservers) => {
        const { decisionLogRetentionDays: days, decisionLogRetentionRecords: maxRecords } = config;
        return new SqliteDecisionLog({
          databasePath: databasePathOf(config),
          mode: config.decisionLog,
          instance: instanceOf(config),
          queueLimit: config.decisionLogQueue,
          retention: {
            ...(days !== undefined && { maxAgeMs: days * dayMs }),
            ...(maxRecords !== undefined && { maxRecords }),
          },
          onProblem: problemsTo(logger),
          onCommit: (commit) => observers.notify(commit),
        });
      },
    },
  ],
  exports: [CommitObservers, DecisionLog],
})
export class DecisionLogModule implements OnModuleInit, OnApplicationShutdown {
  constructor(private readonly log: DecisionLog) {}

  async onModuleInit(): Promise<void> {
    await this.log.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.log.stop();
  }
}
