/** Starts the service: in this process, or in several that this one starts and looks after. */
import cluster from 'node:cluster';
import { type Logger, pino } from 'pino';
import type { Announcer } from './announcer.js';
import type { Config } from './config/config.js';
import { instanceOf } from './config/data-folder.js';
import { whyTooFewOpenFiles } from './config/open-files.js';
import { ConfigError } from './config/read-config.js';
import { exitForConfig, readConfigOrExit } from './config/read-config-or-exit.js';
import { workerCountOf } from './config/worker-count.js';
import { maskCredentials } from './logging/mask-credentials.js';
import { suppressRepeats } from './logging/repeated-lines.js';
import { checkConfigFiles } from './start-checks.js';
import type { Primary } from './workers/primary.js';
import { sendToPrimary } from './workers/siblings.js';

/** Starts the service; it runs until it is told to stop. What prevents a start ends the process. */
export async function start(env: NodeJS.ProcessEnv, defaults: Partial<Config> = {}): Promise<void> {
  const { config, warnings } = readConfigOrExit(env, defaults);
  const logger = createLogger(config);
  if (cluster.isWorker) {
    // Otherwise Node ends a worker at once when the primary is gone, with requests in its hands.
    cluster.worker!.exitedAfterDisconnect = true;
    const { serve } = await import('./serve.js');
    return serve(config, logger, toPrimary);
  }
  const tooFewFiles = whyTooFewOpenFiles(config);
  for (const warning of tooFewFiles === undefined ? warnings : [...warnings, tooFewFiles]) logger.warn(warning);
  if (config.auth === 'none') process.stderr.write(noAuthentication);
  if (workerCountOf(config) === 1) {
    const { serve } = await import('./serve.js');
    return serve(config, logger, toOperator);
  }
  await startWorkers(config, logger);
}

async function startWorkers(config: Config, logger: Logger): Promise<void> {
  try {
    // Each worker would find the same, and say it again.
    checkConfigFiles(config);
  } catch (error) {
    if (error instanceof ConfigError) exitForConfig(error);
    throw error;
  }
  const { Primary } = await import('./workers/primary.js');
  const primary = new Primary({
    workers: workerCountOf(config),
    spoolDir: config.spoolDir,
    instance: instanceOf(config),
    logger,
    onFailure: toOperator.failed,
  });
  passSignalsOn(primary, logger);
  toOperator.serving(await primary.start());
}

function passSignalsOn(primary: Primary, logger: Logger): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    let isSecond = false;
    process.on(signal, async () => {
      if (isSecond) {
        primary.kill();
        process.exit(1);
      }
      isSecond = true;
      logger.info({ signal }, 'stopping');
      await primary.stop();
      logger.info('stopped');
      process.exit(0);
    });
  }
  process.on('SIGHUP', () => primary.reload());
  process.on('SIGUSR2', () => {
    logger.info({ signal: 'SIGUSR2' }, 'replacing the workers one after another');
    void primary.replaceAll();
  });
}

function createLogger(config: Config): Logger {
  return pino({
    level: config.logLevel,
    base: cluster.isWorker ? { instance: instanceOf(config) } : null,
    timestamp: pino.stdTimeFunctions.isoTime,
    hooks: { streamWrite: maskCredentials, logMethod: suppressRepeats() },
  });
}

const toOperator: Announcer = {
  serving({ url, outside }) {
    process.stderr.write(whereToGo(outside));
    process.stdout.write(`verdict listening on ${url}\n`);
  },
  failed(message, code) {
    process.stderr.write(`verdict: ${message}\n`);
    process.exit(code);
  },
};

/** The primary says it once for all workers. */
const toPrimary: Announcer = {
  serving: (urls) => sendToPrimary({ kind: 'serving', ...urls }),
  failed(message, code) {
    sendToPrimary({ kind: 'failed', message, code });
    process.exit(code);
  },
};

/** On standard error, since standard output has one line before the log and programs read it. */
function whereToGo(url: string): string {
  return `  The API can be read and tried in a browser: ${url}/docs\n\n`;
}

const noAuthentication = `
  Authentication is off: every program on this machine may ask, and may read what was decided.
  The service listens on a loopback address only.

`;
