import { Module, type OnApplicationShutdown } from '@nestjs/common';
import type { Logger } from 'pino';
import { Config } from '../config/config.js';
import { loggerToken } from '../logging/logging.module.js';
import { CrossCheck } from './cross-check.js';

/** The stock `casbin` package, and the cross-check of a share of the decisions. */
@Module({
  providers: [
    {
      provide: CrossCheck,
      inject: [Config, loggerToken],
      useFactory: (config: Config, logger: Logger) =>
        new CrossCheck({
          share: config.crossCheck,
          log: logger,
        }),
    },
  ],
  exports: [CrossCheck],
})
export class StockCasbinModule implements OnApplicationShutdown {
  constructor(private readonly crossCheck: CrossCheck) {}

  async onApplicationShutdown(): Promise<void> {
    await this.crossCheck.stop();
  }
}
