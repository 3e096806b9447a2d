import { Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Config } from '../config/config.js';
import { DatabaseModule } from '../database/database.module.js';
import { SqliteDatabase } from '../database/sqlite/sqlite-database.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { maskCredentials } from '../logging/mask-credentials.js';
import { dayMs } from '../query/time-zone.js';
import { AuditLog } from './audit-log.js';
import { SqliteAuditLog } from './sqlite/sqlite-audit-log.js';

/** The audit log: who changed, read or exported what. */
@Module({
  imports: [DatabaseModule],
  providers: [
    {
      provide: AuditLog,
      inject: [Config, loggerToken, SqliteDatabase],
      useFactory: (config: Config, logger: Logger, database: SqliteDatabase) =>
        database.open((path) =>
          SqliteAuditLog.open({
            path,
            mask: maskCredentials,
            ...(config.auditRetentionDays !== undefined && { maxAgeMs: config.auditRetentionDays * dayMs }),
            onProblem: problemsTo(logger),
          }),
        ),
    },
  ],
  exports: [AuditLog],
})
export class AuditModule implements OnApplicationShutdown {
  constructor(private readonly audit: AuditLog) {}

  async onApplicationShutdown(): Promise<void> {
    await this.audit.close();
  }
}
