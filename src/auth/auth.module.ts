import { join } from 'node:path';
import { Inject, Module, type OnApplicationShutdown, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { AuditModule } from '../audit/audit.module.js';
import { AuditLog } from '../audit/audit-log.js';
import { Config } from '../config/config.js';
import { dataFolderOf } from '../config/data-folder.js';
import { defaultEnvironment } from '../config/environment-name.js';
import { isLoopback } from '../config/loopback.js';
import { databaseNameOf, isPostgresUrl } from '../config/postgres-url.js';
import { isSecure } from '../config/public-url.js';
import { parseRate, type Rate } from '../config/rate.js';
import { ConfigError } from '../config/read-config.js';
import { parseDuration } from '../core/duration.js';
import { DatabaseModule } from '../database/database.module.js';
import { ChangeFeed } from '../database/postgres/change-feed.js';
import { PostgresDatabase } from '../database/postgres/postgres-database.js';
import { ServiceDatabase } from '../database/service-database.js';
import type { SqliteDatabase } from '../database/sqlite/sqlite-database.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import type { AccessTokens } from './access-tokens.js';
import { accessTokensOf } from './access-tokens-of.js';
import { ApiKeys } from './api-keys.js';
import { Authenticator } from './authenticator.js';
import { FailedAuthentications } from './failed-authentications.js';
import { KeyAdministration } from './key-administration.js';
import { KeysCopy } from './keys-copy.js';
import { leasedLimiters } from './leased-limiters.js';
import { LimitLeases } from './limit-leases.js';
import { localLimiters } from './local-limiters.js';
import { ManagedKeys } from './managed-keys.js';
import { MemorySessions } from './memory-sessions.js';
import { PostgresLimitUses } from './postgres/postgres-limit-uses.js';
import { PostgresManagedKeys } from './postgres/postgres-managed-keys.js';
import { PostgresServiceSecrets } from './postgres/postgres-service-secrets.js';
import { PostgresSessions } from './postgres/postgres-sessions.js';
import { RateLimits } from './rate-limits.js';
import { ServiceSecrets } from './service-secrets.js';
import { Sessions } from './sessions.js';
import { SqliteManagedKeys } from './sqlite/sqlite-managed-keys.js';
import { SqliteServiceSecrets } from './sqlite/sqlite-service-secrets.js';

/** Limits of rare and costly calls, for each caller. */
const keyRate: Rate = { points: 60, seconds: 60, burst: 120 };
const exportRate: Rate = { points: 10, seconds: 60, burst: 20 };

/** In the folder of this replica. */
const keysCopyName = 'verdict.keys.json';

/** Token of the injector for the access tokens of callers; undefined if no issuer is configured. */
const callerAccessTokens = Symbol('access tokens of callers');

/** Who calls, what they may do, and how often. */
@Module({
  imports: [AuditModule, DatabaseModule],
  providers: [
    {
      provide: Sessions,
      inject: [ServiceDatabase],
      useFactory: (database: ServiceDatabase): Sessions =>
        database instanceof PostgresDatabase ? new PostgresSessions(database) : new MemorySessions(),
    },
    {
      provide: ManagedKeys,
      inject: [ServiceDatabase, ChangeFeed],
      useFactory: (database: SqliteDatabase | PostgresDatabase, feed: ChangeFeed | undefined): Promise<ManagedKeys> =>
        database instanceof PostgresDatabase
          ? PostgresManagedKeys.open(database, feed)
          : database.open((path) => SqliteManagedKeys.open(path)),
    },
    {
      provide: ServiceSecrets,
      inject: [ServiceDatabase],
      useFactory: (database: SqliteDatabase | PostgresDatabase): ServiceSecrets =>
        database instanceof PostgresDatabase
          ? new PostgresServiceSecrets(database)
          : new SqliteServiceSecrets(database),
    },
    {
      provide: ApiKeys,
      inject: [Config, loggerToken, ManagedKeys],
      useFactory: (config: Config, log: Logger, managed: ManagedKeys) => {
        const { env: environment, apiKeysFile: file, databaseUrl, keysMaxAge } = config;
        return new ApiKeys({
          ...(environment !== undefined && { environment }),
          ...(file !== undefined && { file }),
          ...(isPostgresUrl(databaseUrl) && {
            copy: new KeysCopy(join(dataFolderOf(config), keysCopyName), databaseNameOf(databaseUrl)),
            maxAgeMs: parseDuration(keysMaxAge)!,
          }),
          managed,
          log,
        });
      },
    },
    {
      provide: KeyAdministration,
      inject: [Config, ManagedKeys, ApiKeys, AuditLog],
      useFactory: ({ env }: Config, managed: ManagedKeys, live: ApiKeys, audit: AuditLog) =>
        new KeyAdministration(managed, live, audit, env ?? defaultEnvironment),
    },
    {
      // Undefined with SQLite, where one process counts all.
      provide: LimitLeases,
      inject: [ServiceDatabase, ChangeFeed, loggerToken],
      useFactory: (database: ServiceDatabase, feed: ChangeFeed | undefined, logger: Logger) =>
        database instanceof PostgresDatabase && feed !== undefined
          ? new LimitLeases({
              uses: new PostgresLimitUses(database, feed),
              silentMs: () => feed.ageMs,
              onProblem: problemsTo(logger),
            })
          : undefined,
    },
    {
      provide: RateLimits,
      inject: [Config, LimitLeases],
      useFactory: ({ rateLimit, searchRateLimit, authFailureLimit }: Config, leases: LimitLeases | undefined) => {
        const decide = parseRate(rateLimit);
        const rates = {
          ...(decide !== undefined && { decide }),
          search: parseRate(searchRateLimit)!,
          failures: parseRate(authFailureLimit)!,
          keys: keyRate,
          export: exportRate,
        };
        return new RateLimits(rates, leases === undefined ? localLimiters() : leasedLimiters(leases));
      },
    },
    {
      provide: FailedAuthentications,
      inject: [RateLimits],
      useFactory: (limits: RateLimits) => new FailedAuthentications(limits),
    },
    {
      provide: callerAccessTokens,
      inject: [Config, loggerToken, ApiKeys],
      useFactory: (config: Config, logger: Logger, apiKeys: ApiKeys) =>
        accessTokensOf(config, config.jwtAudience, logger, (name) => apiKeys.noteTokenName(name)),
    },
    {
      provide: Authenticator,
      inject: [Config, ApiKeys, callerAccessTokens, Sessions, FailedAuthentications],
      useFactory: (
        config: Config,
        apiKeys: ApiKeys,
        tokens: AccessTokens | undefined,
        sessions: Sessions,
        failures: FailedAuthentications,
      ) =>
        new Authenticator({
          apiKeys,
          tokens,
          sessions,
          secure: isSecure(config),
          ...(config.publicUrl !== undefined && { ownOrigins: new Set([new URL(config.publicUrl).origin]) }),
          mayTry: (address) => failures.mayTry(address),
        }),
    },
  ],
  exports: [
    ApiKeys,
    Sessions,
    ServiceSecrets,
    KeyAdministration,
    LimitLeases,
    RateLimits,
    FailedAuthentications,
    Authenticator,
  ],
})
export class AuthModule implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  constructor(
    private readonly config: Config,
    @Inject(loggerToken) private readonly logger: Logger,
    private readonly managed: ManagedKeys,
    private readonly apiKeys: ApiKeys,
    @Inject(callerAccessTokens) private readonly tokens: AccessTokens | undefined,
    @Inject(LimitLeases) private readonly leases: LimitLeases | undefined,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.apiKeys.start();
    this.refuseToStandOpen();
    this.leases?.start();
  }

  /** While there is a connection to charge the last uses by. */
  async onModuleDestroy(): Promise<void> {
    await this.leases?.stop();
  }

  async onApplicationShutdown(): Promise<void> {
    this.tokens?.close();
    try {
      await this.apiKeys.stop();
    } finally {
      await this.managed.close();
    }
  }

  /** P7: without a usable credential, the service listens on loopback only. */
  private refuseToStandOpen(): void {
    const { auth, jwtIssuer, host } = this.config;
    if (auth === 'none' || jwtIssuer !== undefined || this.apiKeys.hasUsable(Date.now())) return;
    const how = this.apiKeys.knowsManaged
      ? 'make one with "verdict keys create", or set VERDICT_API_KEYS_FILE or VERDICT_JWT_ISSUER'
      : 'the database with the managed keys is away, and there is no copy of them that is good, so set VERDICT_API_KEYS_FILE or VERDICT_JWT_ISSUER, or wait for it';
    if (!isLoopback(host)) {
      throw new ConfigError([`VERDICT_HOST is ${host}, but no usable credential is configured: ${how}`]);
    }
    this.logger.warn(`no usable credential is configured, so every call is refused: ${how}`);
  }
}
