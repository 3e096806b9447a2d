import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { type Logger, pino } from 'pino';
import { registerDecideRoutes } from './api/decide-routes.js';
import { announceDeprecations } from './api/deprecation.js';
import { registerDocs } from './api/docs-routes.js';
import { registerFrontPage } from './api/front-page-route.js';
import { AppModule } from './app.module.js';
import { AuditLog } from './audit/audit-log.js';
import { registerAuthzenRoutes } from './authzen/authzen-routes.js';
import { MetadataSigner } from './authzen/metadata-signer.js';
import { type Config, listIn } from './config/config.js';
import { databasePathOf, dataFolderOf } from './config/data-folder.js';
import { whyTooFewOpenFiles } from './config/open-files.js';
import { ConfigError } from './config/read-config.js';
import { exitForConfig, readConfigOrExit } from './config/read-config-or-exit.js';
import { engineVersion } from './core/engine/engine-version.js';
import { DecisionLog } from './decision-log/decision-log.js';
import { DataFolderInUse } from './decision-log/sqlite/data-folder-lock.js';
import {
  addDoors,
  basePathOf,
  isSecure,
  refuseToStandOpen,
  tlsFilesOf,
  userTokens,
  warnOfOneAddress,
  watchCertificates,
} from './doors.js';
import { registerForwardAuthRoutes } from './gateway/forward-auth-routes.js';
import { requireAccess } from './http/access.js';
import { createFastifyAdapter, type HttpLimits, type ListenerOptions } from './http/fastify-adapter.js';
import { watchRoutes } from './http/method-not-allowed.js';
import { createPlainPort } from './http/plain-port.js';
import { ProblemFilter } from './http/problem.js';
import { tlsOptions } from './http/tls-files.js';
import { addWebHeaders } from './http/web-headers.js';
import { maskCredentials } from './logging/mask-credentials.js';
import { PinoLogger } from './logging/pino-logger.js';
import { suppressRepeats } from './logging/repeated-lines.js';
import { Metrics } from './metrics/metrics.js';
import { Pdp } from './pdp/pdp.js';
import { PolicySearch } from './pdp/policy-search.js';
import { PolicyStore } from './policy-store/policy-store.js';
import { checkConfigFiles } from './start-checks.js';
import { CrossCheck } from './stock-casbin/cross-check.js';

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
    refuseToStandOpen(app, config, logger);
    warnOfOneAddress(config, logger);
    watchCertificates(app, config, logger);
    stopOnSignals(app, logger);
    reloadOnSignal(app.get(PolicyStore), logger);
    await app.listen(config.port, config.host);
    await openPlainPort(app, config);
    process.stderr.write(whereToGo(config.publicUrl ?? urlOf(app, config)));
    process.stdout.write(`verdict listening on ${urlOf(app, config)}\n`);
  } catch (error) {
    if (error instanceof ConfigError) exitForConfig(error);
    if (error instanceof DataFolderInUse) exitForConfig(new ConfigError([whatToDo(error)]));
    logger.fatal({ err: error }, 'the service could not start');
    process.stderr.write(`verdict: ${startFailure(error, config)}\n`);
    process.exit(1);
  }
}

/** The whole service, policies loaded and log open, but not listening: tests ask it by `inject`. */
export async function createApplication(config: Config, logger: Logger): Promise<NestFastifyApplication> {
  const limits: HttpLimits = {
    bodyBytes: config.maxBodyBytes,
    batchBytes: config.maxBatchBytes,
    batchItems: config.maxBatchItems,
    idLength: config.maxIdLength,
    attributeDepth: config.maxAttributeDepth,
    attributeMembers: config.maxAttributeMembers,
    attributeElements: config.maxAttributeElements,
    batchSeconds: config.maxBatchSeconds,
  };
  const tlsFiles = tlsFilesOf(config);
  const listener: ListenerOptions = {
    tls: tlsFiles && tlsOptions(tlsFiles),
    trustedProxies: listIn(config.trustedProxies),
    maxConnections: config.maxConnections,
    unread: {
      waitMs: config.maxUnreadSeconds * 1000,
      bytes: config.maxUnreadBytes,
      bytesOfCaller: config.maxUnreadBytesOfCaller,
    },
  };
  const adapter = createFastifyAdapter(limits, listener, logger);
  const fastify = adapter.getInstance() as FastifyInstance;
  await addWebHeaders(fastify, { corsOrigins: listIn(config.corsOrigins), secure: isSecure(config) });
  announceDeprecations(fastify);
  requireAccess(fastify);
  const refuseOtherMethods = watchRoutes(fastify);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.with(config, logger), adapter, {
    logger: new PinoLogger(logger),
    bodyParser: false,
    abortOnError: false,
  });
  app.useGlobalFilters(new ProblemFilter(logger));
  measure(app, config);
  const gate = addDoors(app, config, logger);
  const pdp = app.get(Pdp);
  const policySets = app.get(PolicyStore);
  registerDecideRoutes(fastify, pdp, limits, gate);
  registerAuthzenRoutes(fastify, {
    pdp,
    policySets,
    limits,
    gate,
    search: new PolicySearch(app.get(DecisionLog)),
    publicUrl: () => config.publicUrl ?? urlOf(app, config),
    publicPath: basePathOf(config),
    signer: await metadataSigner(config),
  });
  registerForwardAuthRoutes(fastify, { pdp, policySets, userTokens: userTokens(fastify, config, logger), limits });
  registerFrontPage(fastify, { base: basePathOf(config), version: engineVersion });
  registerDocs(fastify, limits, engineVersion);
  await app.init();
  refuseOtherMethods();
  await fastify.ready();
  return app;
}

/** Before the first route, so that requests of every route are counted. */
function measure(app: NestFastifyApplication, config: Config): void {
  const metrics = app.get(Metrics);
  metrics.http.count(app.getHttpAdapter().getInstance() as FastifyInstance);
  metrics.read({
    policySets: app.get(PolicyStore),
    log: app.get(DecisionLog),
    crossCheck: app.get(CrossCheck),
    audit: app.get(AuditLog),
    databasePath: databasePathOf(config),
    dataDirectory: dataFolderOf(config),
  });
}

async function metadataSigner({ authzenSigningKey: pem }: Config): Promise<MetadataSigner | undefined> {
  if (pem === undefined) return undefined;
  try {
    return await MetadataSigner.of(pem);
  } catch (error) {
    throw new ConfigError([`VERDICT_AUTHZEN_SIGNING_KEY cannot be used: ${(error as Error).message}`]);
  }
}

function whatToDo({ message }: DataFolderInUse): string {
  return `${message}: stop that one first, set VERDICT_LOCK_WAIT to wait for it, or set VERDICT_DATABASE_URL to another folder`;
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
async function openPlainPort(app: NestFastifyApplication, config: Config): Promise<void> {
  if (config.plainPort === undefined) return;
  const server = createPlainPort(() => config.publicUrl ?? urlOf(app, config));
  server.listen(config.plainPort, config.host);
  await once(server, 'listening');
  app.getHttpServer().once('close', () => server.close());
}

function urlOf(app: NestFastifyApplication, { tlsCert }: Config): string {
  const { address, family, port } = app.getHttpServer().address() as AddressInfo;
  return `${tlsCert === undefined ? 'http' : 'https'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}

function startFailure(error: unknown, { host, port }: Config): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EADDRINUSE':
      return `cannot listen on ${host}:${port}: another process does already; VERDICT_PORT chooses another port`;
    case 'EACCES':
      return `cannot start: ${message}`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `cannot listen on ${host}: this machine has no such address; see VERDICT_HOST`;
    case 'SQLITE_NOTADB':
    case 'SQLITE_CORRUPT':
    case 'SQLITE_CANTOPEN':
    case 'SQLITE_READONLY':
      return `cannot use the database that VERDICT_DATABASE_URL names: ${message}`;
    default:
      return `cannot start: ${message}`;
  }
}

/** On standard error, since standard output has one line before the log and programs read it. */
function whereToGo(url: string): string {
  return `  The API can be read and tried in a browser: ${url}/docs\n\n`;
}

const noAuthentication = `
  Authentication is off: every program on this machine may ask, and may read what was decided.
  The service listens on a loopback address only.

`;
