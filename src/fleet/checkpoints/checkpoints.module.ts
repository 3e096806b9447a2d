import { Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { AuditModule } from '../../audit/audit.module.js';
import { AuditLog } from '../../audit/audit-log.js';
import { Config } from '../../config/config.js';
import { DatabaseModule } from '../../database/database.module.js';
import { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { ServiceDatabase } from '../../database/service-database.js';
import type { SqliteDatabase } from '../../database/sqlite/sqlite-database.js';
import { DecisionLog } from '../../decision-log/decision-log.js';
import { DecisionLogModule } from '../../decision-log/decision-log.module.js';
import { signNote } from '../../decision-log/proof/signed-note.js';
import { loggerToken, problemsTo } from '../../logging/logging.module.js';
import { FleetCheckpoints } from './fleet-checkpoints.js';
import { LogSink } from './log-sink.js';
import { openCheckpointSink } from './open-checkpoint-sink.js';
import { PostgresCheckpointStore } from './postgres/postgres-checkpoint-store.js';
import { SqliteCheckpointStore } from './sqlite/sqlite-checkpoint-store.js';

/** Checkpoints over all writers, which leave the machine. */
@Module({
  imports: [AuditModule, DatabaseModule, DecisionLogModule],
  providers: [
    {
      provide: FleetCheckpoints,
      inject: [Config, ServiceDatabase, DecisionLog, AuditLog, loggerToken],
      useFactory: async (
        config: Config,
        database: SqliteDatabase | PostgresDatabase,
        log: DecisionLog,
        audit: AuditLog,
        logger: Logger,
      ): Promise<FleetCheckpoints> => {
        const { checkpointSink } = config;
        return new FleetCheckpoints({
          store:
            database instanceof PostgresDatabase
              ? new PostgresCheckpointStore(database)
              : await database.open((path) => SqliteCheckpointStore.open(path)),
          checkpoint: async () => void (await log.checkpoint()),
          heads: () => log.proofs.heads(),
          auditHead: () => audit.head(),
          signer: () => log.fleetSigner,
          sinks: [
            new LogSink((line) => logger.info(line, 'checkpoint of the fleet')),
            ...(checkpointSink === undefined ? [] : [openCheckpointSink(checkpointSink, process.env)]),
          ],
          onProblem: problemsTo(logger),
        });
      },
    },
  ],
  exports: [FleetCheckpoints],
})
export class CheckpointsModule implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly checkpoints: FleetCheckpoints,
    private readonly audit: AuditLog,
    private readonly log: DecisionLog,
  ) {}

  /** After the log has its keys. */
  onModuleInit(): void {
    this.audit.signWith((text) => {
      const { fleetSigner } = this.log;
      return fleetSigner && signNote(text, [fleetSigner]);
    });
    this.checkpoints.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.checkpoints.stop();
  }
}
