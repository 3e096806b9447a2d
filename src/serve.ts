import cluster from 'node:cluster';
import { once } from 'node:events';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Logger } from 'pino';
import type { Announcer } from './announcer.js';
import { createApplication } from './application.js';
import type { Config } from './config/config.js';
import { instanceOf } from './config/data-folder.js';
import { ConfigError } from './config/read-config.js';
import { exitConfig } from './config/read-config-or-exit.js';
import { DataFolderInUse } from './database/data-folder-in-use.js';
import { MissingEncryptionKey } from './encryption/encryption-keys.js';
import { EnvoyPort } from './gateway/envoy/envoy-port.js';
import { createPlainPort } from './http/plain-port.js';
import { ServiceUrl } from './http/service-url.js';
import { PolicyStore } from './policy-store/policy-store.js';
import { checkConfigFiles } from './start-checks.js';
import { startFailure, whatToDo } from './start-failures.js';
import { Telemetry } from './telemetry/telemetry.js';

/** Connections that are still busy so long after the signal to stop are cut. */
const stopMs = 10_000;

/** Serves in this process until it is told to stop. What prevents that ends the process. */
export async function serve(config: Config, logger: Logger, announcer: Announcer): Promise<void> {
  try {
    checkConfigFiles(config);
    const telemetry = await Telemetry.start({ instance: instanceOf(config), logger });
    const app = await createApplication(config, logger, telemetry);
    stopOnSignals(app, logger);
    reloadOnSignal(app.get(PolicyStore), logger);
    await app.get(EnvoyPort).listen();
    await app.listen(config.port, config.host);
    const { own, outside } = app.get(ServiceUrl);
    await openPlainPort(app, config, () => outside);
    announcer.serving({ url: own, outside });
  } catch (error) {
    if (error instanceof ConfigError) announcer.failed(error.message, exitConfig);
    if (error instanceof DataFolderInUse) {
      announcer.failed(new ConfigError([whatToDo(error, config)]).message, exitConfig);
    }
    logger.fatal({ err: error }, 'the service could not start');
    if (error instanceof MissingEncryptionKey) announcer.failed(startFailure(error, config), exitConfig);
    announcer.failed(startFailure(error, config), 1);
  }
}

/**
 * No new connections, requests finish, the log is flushed, exit 0. A second signal ends the process at once. A worker is told by
 * the primary alone: a terminal sends SIGINT to both. Without its primary nobody would start it again or stop it, so it stops too.
 */
function stopOnSignals(app: NestFastifyApplication, logger: Logger): void {
  const stop = async (signal: string): Promise<void> => {
    logger.info({ signal }, 'stopping');
    const server = app.getHttpServer();
    setTimeout(() => server.closeAllConnections(), stopMs).unref();
    await app.close();
    logger.info('stopped');
    process.exit(0);
  };
  process.once('SIGTERM', stop);
  if (!cluster.isWorker) {
    process.once('SIGINT', stop);
    return;
  }
  process.on('SIGINT', () => undefined);
  process.once('disconnect', () => {
    if (process.listenerCount('SIGTERM') > 0) void stop('the primary is gone');
  });
}

/** SIGHUP, which service managers send for a reload: every policy folder is read again now. */
function reloadOnSignal(policySets: PolicyStore, logger: Logger): void {
  process.on('SIGHUP', () => {
    logger.info({ signal: 'SIGHUP' }, 'reading the policy sets again');
    policySets.reload().catch((error) => logger.error({ err: error }, 'the policy sets could not be read again'));
  });
}

/** Where TLS is spoken, a port without it may stand beside it; it goes when the service goes. */
async function openPlainPort(app: NestFastifyApplication, config: Config, url: () => string): Promise<void> {
  if (config.plainPort === undefined) return;
  const server = createPlainPort(url);
  server.listen(config.plainPort, config.host);
  await once(server, 'listening');
  app.getHttpServer().once('close', () => server.close());
}
