import { Inject, Module, type OnApplicationShutdown, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { Config } from '../config/config.js';
import { databasePathOf, dataFolderOf, instanceOf } from '../config/data-folder.js';
import { isPostgresUrl, parsePostgresUrl } from '../config/postgres-url.js';
import { parseDuration } from '../core/duration.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { ChangeFeed } from './postgres/change-feed.js';
import { PostgresDatabase } from './postgres/postgres-database.js';
import { ServiceDatabase } from './service-database.js';
import { DataFolderLock } from './sqlite/data-folder-lock.js';
import { DatabaseWatch } from './sqlite/database-watch.js';
import { SqliteDatabase } from './sqlite/sqlite-database.js';

/** The data folder, which is this process's alone while it serves, and the database, which is looked after. */
@Module({
  providers: [
    {
      provide: DataFolderLock,
      inject: [Config, loggerToken],
      useFactory: (config: Config, logger: Logger) =>
        DataFolderLock.take({
          folder: dataFolderOf(config),
          holder: { instance: instanceOf(config), pid: process.pid },
          waitMs: parseDuration(config.lockWait)!,
          onProblem: problemsTo(logger),
        }),
    },
    {
      // The lock is asked for so that it is taken before anything is opened.
      provide: ServiceDatabase,
      inject: [Config, loggerToken, DataFolderLock],
      useFactory: (config: Config, logger: Logger, lock: DataFolderLock): SqliteDatabase | PostgresDatabase => {
        const onProblem = problemsTo(logger);
        if (isPostgresUrl(config.databaseUrl)) {
          return new PostgresDatabase({
            url: parsePostgresUrl(config.databaseUrl),
            instance: instanceOf(config),
            lock,
            onProblem,
          });
        }
        const path = databasePathOf(config);
        return new SqliteDatabase(path, new DatabaseWatch({ path, onProblem }), lock);
      },
    },
    {
      // Undefined with SQLite, where no other process changes anything but by commands.
      provide: ChangeFeed,
      inject: [ServiceDatabase, loggerToken],
      useFactory: (database: ServiceDatabase, logger: Logger) =>
        database instanceof PostgresDatabase
          ? new ChangeFeed(database, {
              onProblem: problemsTo(logger),
              onPooler: () =>
                logger.info('a pooler stands before PostgreSQL: changes by others are looked for, not heard of'),
            })
          : undefined,
    },
  ],
  exports: [ChangeFeed, DataFolderLock, ServiceDatabase],
})
export class DatabaseModule implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  constructor(
    private readonly lock: DataFolderLock,
    private readonly database: ServiceDatabase,
    @Inject(ChangeFeed) private readonly changes: ChangeFeed | undefined,
  ) {}

  onModuleInit(): void {
    this.database.start();
    this.changes?.start();
  }

  /** Before any connection is closed, so that none is looked at as it closes. */
  async onModuleDestroy(): Promise<void> {
    await this.changes?.stop();
    await this.database.stop();
  }

  /** After everything that uses the database or writes into the folder has stopped. */
  async onApplicationShutdown(): Promise<void> {
    try {
      await this.database.close();
    } finally {
      await this.lock.release();
    }
  }
}
