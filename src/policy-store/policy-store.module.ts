import { join } from 'node:path';
import { type FactoryProvider, Inject, Module, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { AuditModule } from '../audit/audit.module.js';
import { AuditLog } from '../audit/audit-log.js';
import { Config, listIn } from '../config/config.js';
import { dataFolderOf } from '../config/data-folder.js';
import { databaseNameOf, isPostgresUrl } from '../config/postgres-url.js';
import { parseDuration } from '../core/duration.js';
import { DatabaseModule } from '../database/database.module.js';
import { ChangeFeed, type Subscription } from '../database/postgres/change-feed.js';
import { PostgresDatabase } from '../database/postgres/postgres-database.js';
import { ServiceDatabase } from '../database/service-database.js';
import type { SqliteConnection } from '../database/sqlite/sqlite-connection.js';
import type { SqliteDatabase } from '../database/sqlite/sqlite-database.js';
import { DecisionLog } from '../decision-log/decision-log.js';
import { DecisionLogModule } from '../decision-log/decision-log.module.js';
import { RecordedVersions } from '../decision-log/recorded-entities.js';
import { valueHash } from '../decision-log/value-hash.js';
import { EncryptionKeys } from '../encryption/encryption-keys.js';
import { loggerToken, problemsTo } from '../logging/logging.module.js';
import { ArchiveRetention } from './archive/archive-retention.js';
import { ArchivedEntities } from './archive/archived-entities.js';
import { LateArchive } from './archive/late-archive.js';
import { PolicyArchive } from './archive/policy-archive.js';
import { PostgresPolicyArchive } from './archive/postgres/postgres-policy-archive.js';
import { SqlitePolicyArchive } from './archive/sqlite/sqlite-policy-archive.js';
import { PostgresBundlePins } from './bundle/postgres/postgres-bundle-pins.js';
import { SentBundles } from './bundle/sent-bundles.js';
import type { TrustedKeys } from './bundle/trusted-keys.js';
import { CandidateStore } from './candidates/candidate-store.js';
import { PolicyCandidates } from './candidates/policy-candidates.js';
import { PostgresCandidateStore } from './candidates/postgres/postgres-candidate-store.js';
import { SqliteCandidateStore } from './candidates/sqlite/sqlite-candidate-store.js';
import { copiedData } from './data/data-copy.js';
import { DataCopying } from './data/data-copying.js';
import { LiveDataStore } from './data/live-data-store.js';
import { LiveDataWriting } from './data/live-data-writing.js';
import { LiveSets } from './data/live-sets.js';
import { DatabaseSource } from './database/database-source.js';
import { copiedPolicies } from './database/policies-copy.js';
import { PolicyRepository } from './database/policy-repository.js';
import { PolicyWriting } from './database/policy-writing.js';
import { PostgresLiveDataStore } from './database/postgres/postgres-live-data-store.js';
import { PostgresPolicyRepository } from './database/postgres/postgres-policy-repository.js';
import { SqliteLiveDataStore } from './database/sqlite/sqlite-live-data-store.js';
import { SqlitePolicyRepository } from './database/sqlite/sqlite-policy-repository.js';
import { DirectorySource } from './directory/directory-source.js';
import { LoadObservers } from './load-observers.js';
import { LocalBundles } from './local/local-bundles.js';
import { notePolicyLoad } from './policy-load-audit.js';
import { PolicySetsNaming } from './policy-sets-naming.js';
import { PolicySource } from './policy-source.js';
import { PolicyStore } from './policy-store.js';
import { SpoolCopy, type SpoolCopyOptions } from './spool-copy.js';

/** In the folder of this replica. */
const policiesCopyName = 'verdict.policies';
const dataCopyName = 'verdict.data';

/** A store in the database of the service, whichever it is. */
function storeIn<Store>(
  provide: abstract new (...args: never[]) => Store,
  inPostgres: { open(database: PostgresDatabase, feed: ChangeFeed | undefined): Promise<Store> },
  inSqlite: { open(path: string): Promise<Store & { readonly connection: SqliteConnection }> },
): FactoryProvider<Store> {
  return {
    provide,
    inject: [ServiceDatabase, ChangeFeed],
    useFactory: (database: SqliteDatabase | PostgresDatabase, feed: ChangeFeed | undefined): Promise<Store> =>
      database instanceof PostgresDatabase
        ? inPostgres.open(database, feed)
        : database.open((path) => inSqlite.open(path)),
  };
}

function copyPlace(config: Config, name: string, log: Logger): SpoolCopyOptions {
  return {
    folder: join(dataFolderOf(config), name),
    database: databaseNameOf(config.databaseUrl),
    onProblem: problemsTo(log),
  };
}

/** Whose signatures count, read when it is first asked for; undefined: nothing has to be signed. */
function trustedKeysOf({ bundleKeys }: Config): (() => Promise<TrustedKeys>) | undefined {
  if (bundleKeys === undefined) return undefined;
  let keys: Promise<TrustedKeys> | undefined;
  return () => {
    keys ??= import('./bundle/trusted-keys.js').then((module) => new module.TrustedKeys(listIn(bundleKeys)));
    return keys;
  };
}

/** The policy store and the archive of versions. */
@Module({
  imports: [DatabaseModule, AuditModule, DecisionLogModule],
  providers: [
    LoadObservers,
    {
      provide: PolicyArchive,
      inject: [Config, ServiceDatabase, loggerToken],
      useFactory: async (
        { encryptionKey }: Config,
        database: SqliteDatabase | PostgresDatabase,
        logger: Logger,
      ): Promise<PolicyArchive> => {
        const keys = encryptionKey === undefined ? undefined : EncryptionKeys.of(encryptionKey);
        return database instanceof PostgresDatabase
          ? new LateArchive({
              archive: await PostgresPolicyArchive.open(database, keys),
              onProblem: problemsTo(logger),
            })
          : database.open((path) => SqlitePolicyArchive.open(path, keys));
      },
    },
    {
      // Undefined where the source is another one.
      provide: PolicyRepository,
      inject: [Config, ServiceDatabase, ChangeFeed],
      useFactory: async (
        { policySource }: Config,
        database: SqliteDatabase | PostgresDatabase,
        feed: ChangeFeed | undefined,
      ): Promise<PolicyRepository | undefined> => {
        if (policySource !== 'database') return undefined;
        return database instanceof PostgresDatabase
          ? PostgresPolicyRepository.open(database, feed)
          : database.open((path) => SqlitePolicyRepository.open(path));
      },
    },
    storeIn(LiveDataStore, PostgresLiveDataStore, SqliteLiveDataStore),
    {
      provide: LiveDataWriting,
      inject: [LiveDataStore, PolicyStore],
      useFactory: (data: LiveDataStore, store: PolicyStore) => new LiveDataWriting(data, store),
    },
    {
      provide: PolicySource,
      inject: [Config, loggerToken, PolicyArchive, PolicyRepository, ServiceDatabase],
      useFactory: async (
        config: Config,
        log: Logger,
        archive: PolicyArchive,
        repository: PolicyRepository | undefined,
        database: ServiceDatabase,
      ): Promise<PolicySource> => {
        if (config.policySource === 'bundle') {
          // What fetches and verifies takes time to load, which other sources do without.
          const { bundleSourceOf } = await import('./bundle/bundle-source-of.js');
          const pins = database instanceof PostgresDatabase ? await PostgresBundlePins.open(database) : undefined;
          return bundleSourceOf(config, process.env, problemsTo(log), pins);
        }
        return repository === undefined
          ? new DirectorySource({
              directory: config.policyDir,
              onDefect: (error) => log.error({ err: error }, 'looking for changed policy sets failed'),
            })
          : new DatabaseSource({
              repository,
              archive,
              log,
              // An SQLite file is not away: it is on this machine.
              ...(isPostgresUrl(config.databaseUrl) && {
                copy: new SpoolCopy(copiedPolicies, copyPlace(config, policiesCopyName, log)),
              }),
            });
      },
    },
    storeIn(CandidateStore, PostgresCandidateStore, SqliteCandidateStore),
    {
      provide: PolicyCandidates,
      inject: [
        ...[
          Config,
          loggerToken,
          CandidateStore,
          PolicyStore,
          PolicySource,
          PolicyArchive,
          LiveDataStore,
          PolicyWriting,
        ],
        ...[AuditLog, LoadObservers],
      ],
      useFactory: (
        config: Config,
        log: Logger,
        store: CandidateStore,
        policySets: PolicyStore,
        source: PolicySource,
        archive: PolicyArchive,
        data: LiveDataStore,
        writing: PolicyWriting | undefined,
        audit: AuditLog,
        observers: LoadObservers,
      ) => {
        const { maskKey, encryptionKey } = config;
        const bundles = new SentBundles(writing === undefined ? undefined : trustedKeysOf(config));
        const candidates = new PolicyCandidates({
          ...{ store, policySets, source, archive, writing, audit, log },
          live: new LiveSets(data),
          refuseUnsigned: (set) => bundles.refuseUnsigned(set),
          hash: maskKey === undefined ? undefined : valueHash(Buffer.from(maskKey, 'base64')),
          storesDifferences: encryptionKey === undefined,
        });
        observers.add((event) => candidates.noteLoad(event));
        return candidates;
      },
    },
    {
      // Undefined where the sets are not written into the database.
      provide: PolicyWriting,
      inject: [Config, PolicyRepository, PolicySource, LiveDataStore],
      useFactory: (
        config: Config,
        repository: PolicyRepository | undefined,
        source: PolicySource,
        data: LiveDataStore,
      ) =>
        source instanceof DatabaseSource && repository !== undefined
          ? new PolicyWriting(repository, source, new SentBundles(trustedKeysOf(config)), data, config.maxPolicySets)
          : undefined,
    },
    {
      provide: PolicyStore,
      inject: [Config, loggerToken, PolicySource, PolicyArchive, LiveDataStore, AuditLog, LoadObservers],
      useFactory: (
        config: Config,
        log: Logger,
        source: PolicySource,
        archive: PolicyArchive,
        data: LiveDataStore,
        audit: AuditLog,
        observers: LoadObservers,
      ) => {
        const { databaseUrl, defaultPolicySet, maskKey, maxPolicySets, maxStaleness } = config;
        // An SQLite file is not away: it is on this machine.
        const copy = isPostgresUrl(databaseUrl)
          ? new SpoolCopy(copiedData, copyPlace(config, dataCopyName, log))
          : undefined;
        return new PolicyStore({
          source,
          archive,
          live: new LiveSets(data, copy && new DataCopying(copy)),
          log,
          onLoad: (event) => {
            observers.notify(event);
            notePolicyLoad(audit, source, event);
          },
          maxSets: maxPolicySets,
          hash: maskKey === undefined ? undefined : valueHash(Buffer.from(maskKey, 'base64')),
          ...(defaultPolicySet !== undefined && { defaultPolicySet }),
          ...(maxStaleness !== undefined && { maxStalenessMs: parseDuration(maxStaleness)! }),
        });
      },
    },
    {
      provide: LocalBundles,
      inject: [PolicyStore, DecisionLog],
      useFactory: (store: PolicyStore, log: DecisionLog) => new LocalBundles(store, () => log.fleetSigner),
    },
    {
      provide: PolicySetsNaming,
      inject: [PolicyStore, PolicyArchive, LiveDataStore],
      useFactory: (policySets: PolicyStore, archive: PolicyArchive, data: LiveDataStore) =>
        new PolicySetsNaming({ sets: () => policySets.statuses(), archive, data }),
    },
    {
      provide: RecordedVersions,
      inject: [PolicyStore],
      useFactory: (store: PolicyStore) =>
        new ArchivedEntities({
          version: (name, version, semantics) => store.version(name, version, semantics),
          servedVersion: (name) => store.served(name)?.version,
        }),
    },
    {
      provide: ArchiveRetention,
      inject: [
        ...[PolicyArchive, LiveDataStore, PolicyStore, PolicyCandidates, DecisionLog, ServiceDatabase, loggerToken],
      ],
      useFactory: (
        archive: PolicyArchive,
        data: LiveDataStore,
        store: PolicyStore,
        candidates: PolicyCandidates,
        log: DecisionLog,
        database: ServiceDatabase,
        logger: Logger,
      ) =>
        new ArchiveRetention({
          archive,
          data,
          // What serves from an SQLite file alone is noted there as it begins to.
          served: () => [
            ...(database instanceof PostgresDatabase ? store.servedVersions() : []),
            ...candidates.servedVersions(),
          ],
          oldestRecord: () => log.oldestRecord(),
          onProblem: problemsTo(logger),
        }),
    },
  ],
  exports: [
    LiveDataStore,
    LiveDataWriting,
    LoadObservers,
    LocalBundles,
    PolicyArchive,
    PolicyCandidates,
    PolicySetsNaming,
    PolicyStore,
    PolicyWriting,
    RecordedVersions,
  ],
})
export class PolicyStoreModule implements OnModuleInit, OnApplicationShutdown {
  /** Tells of rollbacks by other replicas. */
  private rollbacks: Subscription | undefined;

  constructor(
    private readonly store: PolicyStore,
    private readonly archive: PolicyArchive,
    private readonly retention: ArchiveRetention,
    private readonly source: PolicySource,
    private readonly data: LiveDataStore,
    private readonly candidates: PolicyCandidates,
    private readonly candidateStore: CandidateStore,
    @Inject(PolicyRepository) private readonly repository: PolicyRepository | undefined,
    @Inject(ChangeFeed) private readonly feed: ChangeFeed | undefined,
  ) {}

  async onModuleInit(): Promise<void> {
    await this.store.start();
    // Other sources tell of rollbacks as of any change.
    const { source, store } = this;
    if (source.rollback === undefined || source.followRollbacks !== undefined) {
      this.rollbacks = this.feed?.subscribe('policies', () => store.followRollbacks());
    }
    await this.candidates.start();
    // The archive knows by now which versions are served.
    this.retention.start();
  }

  async onApplicationShutdown(): Promise<void> {
    this.rollbacks?.end();
    try {
      await this.retention.stop();
      await this.candidates.stop();
      await this.store.stop();
    } finally {
      await this.repository?.close();
      await this.candidateStore.close();
      await this.data.close();
      await this.archive.close();
    }
  }
}
