import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { AuthModule } from '../auth/auth.module.js';
import { Config } from '../config/config.js';
import { dataFolderOf } from '../config/data-folder.js';
import { DatabaseModule } from '../database/database.module.js';
import { DecisionLogModule } from '../decision-log/decision-log.module.js';
import { CheckpointsModule } from '../fleet/checkpoints/checkpoints.module.js';
import { FleetModule } from '../fleet/fleet.module.js';
import { HttpModule } from '../http/http.module.js';
import { PolicyStoreModule } from '../policy-store/policy-store.module.js';
import { WorkersModule } from '../workers/workers.module.js';
import { HealthController } from './health.controller.js';
import { DataDirectory, HealthIndicators } from './health-indicators.js';

/** Whether the service works, and whether requests should be sent to it. */
@Module({
  imports: [
    AuthModule,
    CheckpointsModule,
    DatabaseModule,
    DecisionLogModule,
    FleetModule,
    HttpModule,
    PolicyStoreModule,
    WorkersModule,
    TerminusModule.forRoot({ logger: false }),
  ],
  controllers: [HealthController],
  providers: [
    HealthIndicators,
    {
      provide: DataDirectory,
      inject: [Config],
      useFactory: (config: Config) => new DataDirectory(dataFolderOf(config)),
    },
  ],
})
export class HealthModule {}
