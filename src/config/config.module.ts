import { type DynamicModule, Module } from '@nestjs/common';
import { Config } from './config.js';

/** The configuration. Each module reads its own part. */
@Module({})
export class ConfigModule {
  static of(config: Config): DynamicModule {
    return {
      module: ConfigModule,
      global: true,
      providers: [{ provide: Config, useValue: config }],
      exports: [Config],
    };
  }
}
