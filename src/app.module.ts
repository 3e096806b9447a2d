import { type DynamicModule, Module } from '@nestjs/common';
import type { Logger } from 'pino';
import { ApiModule } from './api/api.module.js';
import { AuthzenModule } from './authzen/authzen.module.js';
import type { Config } from './config/config.js';
import { ConfigModule } from './config/config.module.js';
import { GatewayModule } from './gateway/gateway.module.js';
import { HealthModule } from './health/health.module.js';
import { LoggingModule } from './logging/logging.module.js';
import { MetricsModule } from './metrics/metrics.module.js';
import type { Telemetry } from './telemetry/telemetry.js';
import { TelemetryModule } from './telemetry/telemetry.module.js';

export interface AppOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
}

/** The service: its edges, each of which imports what it stands on. */
@Module({})
export class AppModule {
  static with({ config, logger, telemetry }: AppOptions): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.of(config),
        LoggingModule.of(logger),
        TelemetryModule.of(telemetry),
        MetricsModule,
        HealthModule,
        ApiModule,
        AuthzenModule,
        GatewayModule,
      ],
    };
  }
}
