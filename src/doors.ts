/** The doors, put together from the configuration: everything that stands between the network and the routes. */
import type { Server as TlsServer } from 'node:tls';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { registerSessionRoutes } from './api/session-routes.js';
import { AuditLog } from './audit/audit-log.js';
import { AccessTokens } from './auth/access-tokens.js';
import { ApiKeys } from './auth/api-keys.js';
import { Authenticator } from './auth/authenticator.js';
import { Sessions } from './auth/sessions.js';
import { type Config, isLoopback, listIn } from './config/config.js';
import { parseRate, type Rate } from './config/rate.js';
import { ConfigError } from './config/read-config.js';
import { wantContentType } from './http/ambiguous-requests.js';
import { BodyRoom } from './http/body-room.js';
import { FailedAuthentications } from './http/failed-authentications.js';
import { Gate } from './http/gate.js';
import { signInPage } from './http/pages.js';
import { RateLimits } from './http/rate-limits.js';
import { type TlsFiles, watchTlsFiles } from './http/tls-files.js';

/** Calls that are rare and costly, whoever makes them. */
const keyRate: Rate = { points: 60, seconds: 60, burst: 120 };
const exportRate: Rate = { points: 10, seconds: 60, burst: 20 };

/** Puts the gate in front of all routes and adds the routes of sessions. */
export function addDoors(app: NestFastifyApplication, config: Config, logger: Logger): Gate {
  const fastify = app.getHttpAdapter().getInstance() as FastifyInstance;
  const audit = app.get(AuditLog);
  const decide = parseRate(config.rateLimit);
  const limits = new RateLimits({
    ...(decide !== undefined && { decide }),
    search: parseRate(config.searchRateLimit)!,
    failures: parseRate(config.authFailureLimit)!,
    keys: keyRate,
    export: exportRate,
  });
  const failures = new FailedAuthentications(limits);
  const sessions = new Sessions();
  const secure = isSecure(config);
  const apiKeys = app.get(ApiKeys);
  const authenticator = new Authenticator({
    apiKeys,
    tokens: accessTokens(fastify, config, config.jwtAudience, logger, (name) => apiKeys.noteTokenName(name)),
    sessions,
    secure,
    ...(config.publicUrl !== undefined && { ownOrigins: new Set([new URL(config.publicUrl).origin]) }),
    mayTry: (address) => failures.mayTry(address),
  });
  const isOpen = config.auth === 'none';
  const { connections } = fastify;
  const gate = new Gate({
    authenticator: isOpen ? undefined : authenticator,
    limits,
    failures,
    audit,
    connections,
    bodies: new BodyRoom(config.maxBodiesBytes),
    logger,
    signInPage: signInPage(basePathOf(config)),
  });
  gate.guard(fastify);
  wantContentType(fastify);
  registerSessionRoutes(fastify, { sessions, audit, secure });
  return gate;
}

/** P7: with nobody who could authenticate, the service is for this machine alone. */
export function refuseToStandOpen(app: NestFastifyApplication, config: Config, logger: Logger): void {
  if (config.auth === 'none' || config.jwtIssuer !== undefined || app.get(ApiKeys).hasUsable(Date.now())) return;
  const how = 'make one with "verdict keys create", or set VERDICT_API_KEYS_FILE or VERDICT_JWT_ISSUER';
  if (!isLoopback(config.host)) {
    throw new ConfigError([`VERDICT_HOST is ${config.host}, but no usable credential is configured: ${how}`]);
  }
  logger.warn(`no usable credential is configured, so every call is refused: ${how}`);
}

/**
 * Behind a proxy whose `X-Forwarded-For` is not believed, every caller seems to come from the proxy: they share the limits
 * of one address, and address ranges of keys are compared with the proxy's.
 */
export function warnOfOneAddress({ tls, trustedProxies }: Config, logger: Pick<Logger, 'warn'>): void {
  if (tls !== 'terminated-elsewhere' || trustedProxies !== undefined) return;
  logger.warn(
    'VERDICT_TLS=terminated-elsewhere without VERDICT_TRUSTED_PROXIES: all callers have the address of the proxy, and share its limits',
  );
}

/** The path under which callers know the service, without a slash at its end: a proxy may take it away. */
export function basePathOf({ publicUrl }: Config): string {
  return publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/$/, '');
}

/** Whether browsers reach the service over TLS, here or at the proxy in front. */
export function isSecure({ tlsCert, tls }: Config): boolean {
  return tlsCert !== undefined || tls === 'terminated-elsewhere';
}

export function tlsFilesOf({ tlsCert, tlsKey, tlsClientCa, tlsCrl }: Config): TlsFiles | undefined {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  return {
    cert: tlsCert,
    key: tlsKey,
    ...(tlsClientCa !== undefined && { clientCa: tlsClientCa }),
    ...(tlsCrl !== undefined && { crl: tlsCrl }),
  };
}

export function watchCertificates(app: NestFastifyApplication, config: Config, logger: Logger): void {
  const files = tlsFilesOf(config);
  if (files === undefined) return;
  const server = app.getHttpServer() as unknown as TlsServer;
  server.once('close', watchTlsFiles(server, files, logger));
}

/** Verifies the tokens of the users whose requests gateways ask about: of the same issuers, as a rule for another audience. */
export function userTokens(fastify: FastifyInstance, config: Config, logger: Logger): AccessTokens | undefined {
  return accessTokens(fastify, config, config.gatewayJwtAudience ?? config.jwtAudience, logger);
}

function accessTokens(
  fastify: FastifyInstance,
  config: Config,
  audience: string | undefined,
  logger: Logger,
  onCaller?: (name: string) => void,
): AccessTokens | undefined {
  if (config.jwtIssuer === undefined) return undefined;
  const jwksUrls = listIn(config.jwtJwksUrl);
  const { jwtScopeClaim: scopeClaim } = config;
  const tokens = new AccessTokens({
    issuers: listIn(config.jwtIssuer).map((issuer, index) => {
      const jwksUrl = jwksUrls[index];
      return { issuer, ...(jwksUrl !== undefined && { jwksUrl }) };
    }),
    audience: listIn(audience),
    algorithms: listIn(config.jwtAlgorithms),
    clockSkewSeconds: config.jwtClockSkew,
    maxLifetimeSeconds: config.jwtMaxLifetime,
    keysMaxAgeSeconds: config.jwtKeysMaxAge,
    ...(scopeClaim !== undefined && { scopeClaim }),
    ...(onCaller !== undefined && { onCaller }),
    onProblem: (issuer, error) =>
      logger.error({ err: error, issuer }, 'the keys of the token issuer cannot be fetched'),
  });
  fastify.addHook('onClose', async () => tokens.close());
  return tokens;
}
