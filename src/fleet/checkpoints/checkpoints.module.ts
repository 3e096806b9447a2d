import { Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { Config } from '../../config/config.js';
import { DatabaseModule } from '../../database/database.module.js';
import { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { ServiceDatabase } from '../../database/service-database.js';
import type { SqliteDatabase } from '../../database/sqlite/sqlite-database.js';
import { DecisionLog } from '../../decision-log/decision-log.js';
import { DecisionLogModule } from '../../decision-log/decision-log.module.js';
import { loggerToken, problemsTo } from '../../logging/logging.module.js';
import { FleetCheckpoints } from './fleet-checkpoints.js';
import { LogSink } from './log-sink.js';
import { openCheckpointSink } from './open-checkpoint-sink.js';
import { PostgresCheckpointStore } from './postgres/postgres-checkpoint-store.js';
import { SqliteCheckpointStore } from './sqlite/sqlite-checkpoint-store.js';

/** Checkpoints over all writers, which leave the machine. */
@Module({
  imports: [DatabaseModule, DecisionLogModule],
  providers: [
    {
      provide: FleetCheckpoints,
      inject: [Config, ServiceDatabase, DecisionLog, loggerToken],
      useFactory: async (
        config: Config,
        database: SqliteDatabase | PostgresDatabase,
        log: DecisionLog,
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
  constructor(private readonly checkpoints: FleetCheckpoints) {}

  onModuleInit(): void {
    this.checkpoints.start();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.checkpoints.stop();
  }
}
