import { type DynamicModule, Module } from '@nestjs/common';
import { Config } from './config.js';

/** The configuration, which every module takes its own part of. */
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
