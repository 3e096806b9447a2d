import { type DynamicModule, Module } from '@nestjs/common';
import type { Logger } from 'pino';

/** Under this token the injector has the service's logger, a `Logger` of pino's. */
export const loggerToken = Symbol('logger');

/** The service's own log; decisions have another. */
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

/** Hears what failed in the background, and logs it. */
export function problemsTo(logger: Logger): (what: string, error: unknown) => void {
  return (what, error) => logger.error({ err: error }, what);
}
