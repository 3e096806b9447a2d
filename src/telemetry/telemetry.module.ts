import { type DynamicModule, Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { Telemetry } from './telemetry.js';

/** What is told to an OpenTelemetry collector. */
@Module({})
export class TelemetryModule implements OnApplicationShutdown {
  static of(telemetry: Telemetry): DynamicModule {
    return {
      module: TelemetryModule,
      global: true,
      providers: [{ provide: Telemetry, useValue: telemetry }],
      exports: [Telemetry],
    };
  }

  constructor(@Inject(Telemetry) private readonly telemetry: Telemetry) {}

  onApplicationShutdown(): Promise<void> {
    return this.telemetry.stop();
  }
}
