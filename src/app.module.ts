import { type DynamicModule, Module, type OnApplicationShutdown } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import type { Logger } from 'pino';
import { ApiKeysController } from './api/api-keys.controller.js';
import { AuditEventsController } from './api/audit-events.controller.js';
import { DecisionReportsController } from './api/decision-reports.controller.js';
import { DecisionsController } from './api/decisions.controller.js';
import { PolicySetsController } from './api/policy-sets.controller.js';
import { ReplayController } from './api/replay.controller.js';
import { SealedCursors } from './api/sealed-cursors.js';
import { AuditLog } from './audit/audit-log.js';
import { SqliteAuditLog } from './audit/sqlite/sqlite-audit-log.js';
import { ApiKeys } from './auth/api-keys.js';
import { KeyAdministration } from './auth/key-administration.js';
import { ManagedKeys } from './auth/managed-keys.js';
import { serviceSecret } from './auth/sqlite/service-secret.js';
import { SqliteManagedKeys } from './auth/sqlite/sqlite-managed-keys.js';
import type { Config } from './config/config.js';
import { databasePathOf, dataFolderOf, instanceOf } from './config/data-folder.js';
import { parseDuration } from './config/duration.js';
import { defaultEnvironment } from './config/environment-name.js';
import { DatabaseWatch } from './database/sqlite/database-watch.js';
import { DecisionLog } from './decision-log/decision-log.js';
import { compileMask } from './decision-log/mask.js';
import { DataFolderLock } from './decision-log/sqlite/data-folder-lock.js';
import { SqliteDecisionLog } from './decision-log/sqlite/sqlite-decision-log.js';
import { HealthController } from './health/health.controller.js';
import { DataDirectory, HealthIndicators } from './health/health-indicators.js';
import { maskCredentials } from './logging/mask-credentials.js';
import { MetricsController } from './metrics/metrics.controller.js';
import { Metrics } from './metrics/metrics.js';
import { Pdp } from './pdp/pdp.js';
import { ArchiveRetention } from './policy-store/archive-retention.js';
import { PolicyArchive } from './policy-store/policy-archive.js';
import { notePolicyLoad } from './policy-store/policy-load-audit.js';
import { PolicyStore } from './policy-store/policy-store.js';
import { SqlitePolicyArchive } from './policy-store/sqlite/sqlite-policy-archive.js';
import { CrossCheck } from './stock-casbin/cross-check.js';

/** Builds what the service is made of, each part started before whatever needs it, and stops it in the reverse order. */
@Module({})
export class AppModule implements OnApplicationShutdown {
  static with(config: Config, logger: Logger): DynamicModule {
    const databasePath = databasePathOf(config);
    const onProblem = (what: string, error: unknown) => logger.error({ err: error }, what);
    return {
      module: AppModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: [
        HealthController,
        DecisionsController,
        DecisionReportsController,
        ReplayController,
        PolicySetsController,
        ApiKeysController,
        AuditEventsController,
        MetricsController,
      ],
      providers: [
        { provide: Metrics, useValue: new Metrics() },
        {
          // Before everything that writes into the folder.
          provide: DataFolderLock,
          useFactory: () =>
            DataFolderLock.take({
              folder: dataFolderOf(config),
              holder: { instance: instanceOf(config), pid: process.pid },
              waitMs: parseDuration(config.lockWait)!,
              onProblem,
            }),
        },
        {
          provide: DecisionLog,
          inject: [Metrics, DataFolderLock],
          useFactory: async (metrics: Metrics) => {
            const { decisionLogRetentionDays: days, decisionLogRetentionRecords: maxRecords } = config;
            const log = new SqliteDecisionLog({
              databasePath,
              mode: config.decisionLog,
              instance: instanceOf(config),
              queueLimit: config.decisionLogQueue,
              retention: {
                ...(days !== undefined && { maxAgeMs: days * 86_400_000 }),
                ...(maxRecords !== undefined && { maxRecords }),
              },
              onProblem,
              onCommit: (commit) => metrics.logCommits.committed(commit),
            });
            await log.start();
            return log;
          },
        },
        {
          provide: PolicyArchive,
          // After the log: two connections that make the same new database at once would block each other.
          inject: [DecisionLog],
          useFactory: () => SqlitePolicyArchive.open(databasePath),
        },
        {
          provide: AuditLog,
          inject: [PolicyArchive],
          useFactory: () =>
            SqliteAuditLog.open({
              path: databasePath,
              mask: maskCredentials,
              ...(config.auditRetentionDays !== undefined && { maxAgeMs: config.auditRetentionDays * 86_400_000 }),
              onProblem,
            }),
        },
        {
          provide: ManagedKeys,
          inject: [AuditLog],
          useFactory: () => SqliteManagedKeys.open(databasePath),
        },
        {
          provide: ApiKeys,
          inject: [ManagedKeys],
          useFactory: async (managed: ManagedKeys) => {
            const { env: environment, apiKeysFile: file } = config;
            const keys = new ApiKeys({
              ...(environment !== undefined && { environment }),
              ...(file !== undefined && { file }),
              managed,
              log: logger,
            });
            await keys.start();
            return keys;
          },
        },
        {
          provide: KeyAdministration,
          inject: [ManagedKeys, ApiKeys, AuditLog],
          useFactory: (managed: ManagedKeys, live: ApiKeys, audit: AuditLog) =>
            new KeyAdministration(managed, live, audit, config.env ?? defaultEnvironment),
        },
        {
          provide: PolicyStore,
          inject: [PolicyArchive, Metrics, AuditLog],
          useFactory: async (archive: PolicyArchive, metrics: Metrics, audit: AuditLog) => {
            const { policyDir: directory, defaultPolicySet } = config;
            const store = new PolicyStore({
              directory,
              archive,
              log: logger,
              onLoad: (event) => {
                metrics.policySetLoaded(event);
                notePolicyLoad(audit, event);
              },
              ...(defaultPolicySet !== undefined && { defaultPolicySet }),
            });
            await store.start();
            return store;
          },
        },
        {
          provide: ArchiveRetention,
          // After the store: what it serves is noted in the archive by then.
          inject: [PolicyArchive, DecisionLog, PolicyStore],
          useFactory: (archive: PolicyArchive, log: DecisionLog) => {
            const retention = new ArchiveRetention({
              archive,
              oldestRecord: () => log.oldestRecord(),
              onProblem,
            });
            retention.start();
            return retention;
          },
        },
        {
          provide: Pdp,
          inject: [PolicyStore, DecisionLog, CrossCheck, Metrics],
          useFactory: (policySets: PolicyStore, log: DecisionLog, crossCheck: CrossCheck, metrics: Metrics) =>
            new Pdp(policySets, log, crossCheck, metrics.decisions),
        },
        {
          provide: CrossCheck,
          useFactory: () =>
            new CrossCheck({
              share: config.crossCheck,
              log: logger,
              mask: (set, request) => compileMask(set.stockView().compiled.manifest.decisionLog)(request),
            }),
        },
        {
          provide: SealedCursors,
          inject: [ManagedKeys],
          useFactory: async () => new SealedCursors(await serviceSecret(databasePath, 'cursors')),
        },
        {
          provide: DatabaseWatch,
          inject: [PolicyArchive, AuditLog, ManagedKeys],
          useFactory: (archive: SqlitePolicyArchive, audit: SqliteAuditLog, keys: SqliteManagedKeys) => {
            const connections = [archive, audit, keys].map(({ connection }) => connection);
            const watch = new DatabaseWatch({ path: databasePath, connections, onProblem });
            watch.start();
            return watch;
          },
        },
        { provide: DataDirectory, useValue: new DataDirectory(dataFolderOf(config)) },
        HealthIndicators,
      ],
    };
  }

  constructor(
    private readonly policySets: PolicyStore,
    private readonly archive: PolicyArchive,
    private readonly archiveRetention: ArchiveRetention,
    private readonly log: DecisionLog,
    private readonly lock: DataFolderLock,
    private readonly databaseWatch: DatabaseWatch,
    private readonly crossCheck: CrossCheck,
    private readonly apiKeys: ApiKeys,
    private readonly managedKeys: ManagedKeys,
    private readonly audit: AuditLog,
  ) {}

  /** Runs when the last request is answered and the last connection closed. */
  async onApplicationShutdown(): Promise<void> {
    await this.crossCheck.stop();
    await this.databaseWatch.stop();
    await this.policySets.stop();
    await this.apiKeys.stop();
    await this.managedKeys.close();
    await this.audit.close();
    await this.archiveRetention.stop();
    await this.archive.close();
    await this.log.stop();
    await this.lock.release();
  }
}
