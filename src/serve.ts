import { once } from 'node:events';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type Logger, pino } from 'pino';
import { createApplication } from './application.js';
import type { Config } from './config/config.js';
import { whyTooFewOpenFiles } from './config/open-files.js';
import { ConfigError } from './config/read-config.js';
import { exitForConfig, readConfigOrExit } from './config/read-config-or-exit.js';
import { DataFolderInUse } from './database/data-folder-in-use.js';
import { createPlainPort } from './http/plain-port.js';
import { ServiceUrl } from './http/service-url.js';
import { maskCredentials } from './logging/mask-credentials.js';
import { suppressRepeats } from './logging/repeated-lines.js';
import { PolicyStore } from './policy-store/policy-store.js';
import { checkConfigFiles } from './start-checks.js';
import { startFailure, whatToDo } from './start-failures.js';

/** Connections that are still busy so long after the signal to stop are cut. */
const stopMs = 10_000;

/** Starts the service; it runs until it is told to stop. What prevents a start ends the process. */
export async function serve(env: NodeJS.ProcessEnv, defaults: Partial<Config> = {}): Promise<void> {
  const { config, warnings } = readConfigOrExit(env, defaults);
  const logger = pino({
    level: config.logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    hooks: { streamWrite: maskCredentials, logMethod: suppressRepeats() },
  });
  const tooFewFiles = whyTooFewOpenFiles(config);
  for (const warning of tooFewFiles === undefined ? warnings : [...warnings, tooFewFiles]) logger.warn(warning);
  if (config.auth === 'none') process.stderr.write(noAuthentication);
  try {
    checkConfigFiles(config);
    const app = await createApplication(config, logger);
    stopOnSignals(app, logger);
    reloadOnSignal(app.get(PolicyStore), logger);
    await app.listen(config.port, config.host);
    const url = app.get(ServiceUrl);
    await openPlainPort(app, config, url);
    process.stderr.write(whereToGo(url.outside));
    process.stdout.write(`verdict listening on ${url.own}\n`);
  } catch (error) {
    if (error instanceof ConfigError) exitForConfig(error);
    if (error instanceof DataFolderInUse) exitForConfig(new ConfigError([whatToDo(error, config)]));
    logger.fatal({ err: error }, 'the service could not start');
    process.stderr.write(`verdict: ${startFailure(error, config)}\n`);
    process.exit(1);
  }
}

/** No new connections, requests finish, the log is flushed, exit 0. A second signal ends the process at once. */
function stopOnSignals(app: NestFastifyApplication, logger: Logger): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, async () => {
      logger.info({ signal }, 'stopping');
      const server = app.getHttpServer();
      setTimeout(() => server.closeAllConnections(), stopMs).unref();
      await app.close();
      logger.info('stopped');
      process.exit(0);
    });
  }
}

/** SIGHUP, which service managers send for a reload: every policy folder is read again now. */
function reloadOnSignal(policySets: PolicyStore, logger: Logger): void {
  process.on('SIGHUP', () => {
    logger.info({ signal: 'SIGHUP' }, 'reading the policy sets again');
    policySets.reload().catch((error) => logger.error({ err: error }, 'the policy sets could not be read again'));
  });
}

/** Where TLS is spoken, a port without it may stand beside it; it goes when the service goes. */
async function openPlainPort(app: NestFastifyApplication, config: Config, url: ServiceUrl): Promise<void> {
  if (config.plainPort === undefined) return;
  const server = createPlainPort(() => url.outside);
  server.listen(config.plainPort, config.host);
  await once(server, 'listening');
  app.getHttpServer().once('close', () => server.close());
}

/** On standard error, since standard output has one line before the log and programs read it. */
function whereToGo(url: string): string {
  return `  The API can be read and tried in a browser: ${url}/docs\n\n`;
}

const noAuthentication = `
  Authentication is off: every program on this machine may ask, and may read what was decided.
  The service listens on a loopback address only.

`;
