import { Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Config } from '../config/config.js';
import { DatabaseModule } from '../database/database.module.js';
import { PostgresDatabase } from '../database/postgres/postgres-database.js';
import { ServiceDatabase } from '../database/service-database.js';
import type { SqliteDatabase } from '../database/sqlite/sqlite-database.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { maskCredentials } from '../logging/mask-credentials.js';
import { dayMs } from '../query/time-zone.js';
import { AuditLog, type AuditLogOptions } from './audit-log.js';
import { PostgresAuditLog } from './postgres/postgres-audit-log.js';
import { SqliteAuditLog } from './sqlite/sqlite-audit-log.js';

/** The audit log: who changed, read or exported what. */
@Module({
  imports: [DatabaseModule],
  providers: [
    {
      provide: AuditLog,
      inject: [Config, loggerToken, ServiceDatabase],
      useFactory: (config: Config, logger: Logger, database: SqliteDatabase | PostgresDatabase): Promise<AuditLog> => {
        const options: AuditLogOptions = {
          mask: maskCredentials,
          waitsForSigner: true,
          ...(config.auditRetentionDays !== undefined && { maxAgeMs: config.auditRetentionDays * dayMs }),
          onProblem: problemsTo(logger),
        };
        return database instanceof PostgresDatabase
          ? PostgresAuditLog.open(database, options)
          : database.open((path) => SqliteAuditLog.open({ path, ...options }));
      },
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
