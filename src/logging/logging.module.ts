import { type DynamicModule, Module } from '@nestjs/common';
import type { Logger } from 'pino';

/** Token of the injector for the service's logger, a `Logger` of pino. */
export const loggerToken = Symbol('logger');

/** The service's own log. Decisions are recorded in the decision log. */
@Module({})
export class LoggingModule {
  static of(logger: Logger): DynamicModule {
    return {
      module: LoggingModule,
      global: true,
      providers: [{ provide: loggerToken, useValue: logger }],
      exports: [loggerToken],
    };
  }
}

/** Returns a function that logs failures of background work. */
export function problemsTo(logger: Logger): (what: string, error: unknown) => void {
  return (what, error) => logger.error({ err: error }, what);
}
