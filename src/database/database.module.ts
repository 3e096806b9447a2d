import { Module, type OnApplicationShutdown, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { Config } from '../config/config.js';
import { databasePathOf, dataFolderOf, instanceOf } from '../config/data-folder.js';
import { parseDuration } from '../config/duration.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { ServiceDatabase } from './service-database.js';
import { DataFolderLock } from './sqlite/data-folder-lock.js';
import { DatabaseWatch } from './sqlite/database-watch.js';
import { SqliteDatabase } from './sqlite/sqlite-database.js';

/** The data folder: it is this process's alone while it serves, and its database is looked after. */
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
      provide: DatabaseWatch,
      inject: [Config, loggerToken],
      useFactory: (config: Config, logger: Logger) =>
        new DatabaseWatch({ path: databasePathOf(config), onProblem: problemsTo(logger) }),
    },
    {
      // The lock is asked for so that it is taken before anything is opened.
      provide: SqliteDatabase,
      inject: [Config, DatabaseWatch, DataFolderLock],
      useFactory: (config: Config, watch: DatabaseWatch, lock: DataFolderLock) =>
        new SqliteDatabase(databasePathOf(config), watch, lock),
    },
    { provide: ServiceDatabase, useExisting: SqliteDatabase },
  ],
  exports: [DataFolderLock, ServiceDatabase, SqliteDatabase],
})
export class DatabaseModule implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  constructor(
    private readonly lock: DataFolderLock,
    private readonly watch: DatabaseWatch,
  ) {}

  onModuleInit(): void {
    this.watch.start();
  }

  /** Before any connection is closed, so that none is looked at as it closes. */
  async onModuleDestroy(): Promise<void> {
    await this.watch.stop();
  }

  /** After everything that writes into the folder has stopped. */
  async onApplicationShutdown(): Promise<void> {
    await this.lock.release();
  }
}
