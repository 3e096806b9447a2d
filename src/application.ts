import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import { AppModule } from './app.module.js';
import type { Config } from './config/config.js';
import { createListener } from './http/listener.js';
import { PinoLogger } from './logging/pino-logger.js';
import { Telemetry } from './telemetry/telemetry.js';

/** The whole service, policies loaded and log open, but not listening: tests ask it by `inject`. */
export async function createApplication(
  config: Config,
  logger: Logger,
  telemetry: Telemetry = Telemetry.off,
): Promise<NestFastifyApplication> {
  const listener = await createListener(config, logger, telemetry.tracing);
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.with({ config, logger, telemetry }),
    listener,
    {
      logger: new PinoLogger(logger),
      bodyParser: false,
      abortOnError: false,
    },
  );
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
  return app;
}
