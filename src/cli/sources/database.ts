/**
 * The stores in a service's database, for commands that work without the service. This file alone knows in the command line
 * which database that is; each driver is loaded when it is asked for.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import type { StoredAuditChain } from '../../audit/audit-chain.js';
import type { AuditLog, AuditLogOptions } from '../../audit/audit-log.js';
import type { ManagedKeys } from '../../auth/managed-keys.js';
import { describePostgresUrl, isPostgresUrl, type PostgresUrl, parsePostgresUrl } from '../../config/postgres-url.js';
import { readSecretVariable } from '../../config/secret-variable.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { ErasureOrders } from '../../decision-log/erasure/erasure-orders.js';
import type { ErasableLog } from '../../decision-log/erasure/erasures.js';
import type { Holds } from '../../decision-log/holds/holds.js';
import type { RewrittenSharedLog } from '../../decision-log/postgres/rotate-shared-keys.js';
import type { ProvenSource } from '../../decision-log/proof/proof-sink.js';
import type { RecordedDecisions } from '../../decision-log/recorded-decisions.js';
import type { RotatedKeys } from '../../decision-log/sqlite/rotate-keys.js';
import type { EncryptionKeys } from '../../encryption/encryption-keys.js';
import type { CheckpointStore, StoredFleetCheckpoint } from '../../fleet/checkpoints/checkpoint-store.js';
import type { PolicyArchive } from '../../policy-store/archive/policy-archive.js';
import type { LiveDataStore } from '../../policy-store/data/live-data-store.js';
import type { NamingSets } from '../../policy-store/policy-sets-naming.js';
import { UsageError } from '../exit-code.js';

/** A store, and a function that closes it. */
export type Opened<Store> = Store & { close(): Promise<void> };

/**
 * The keys of VERDICT_ENCRYPTION_KEY (or its file), for commands that read what a service encrypted; undefined when it is not set.
 *
 * @throws UsageError when it holds something else
 */
async function encryptionKeys(): Promise<EncryptionKeys | undefined> {
  const { EncryptionKeys } = await import('../../encryption/encryption-keys.js');
  try {
    const text = readSecretVariable('VERDICT_ENCRYPTION_KEY', process.env);
    return text === undefined ? undefined : EncryptionKeys.of(text);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Where a database is as it is shown to people: a URL without its password. */
export function describeDatabase(database: string): string {
  return isPostgresUrl(database) ? describePostgresUrl(urlOf(database)) : fileOf(database);
}

/**
 * Opens the decision log of an SQLite file or a `postgres://` URL to read it, beside services that may be writing it.
 *
 * @throws UsageError when there is no log
 */
export async function openDecisionLog(database: string): Promise<Opened<RecordedDecisions>> {
  if (isPostgresUrl(database)) {
    const { PostgresDecisionLog } = await import('../../decision-log/postgres/postgres-decision-log.js');
    return openInPostgres(database, async (opened) => {
      if (!(await opened.hasTable('decision_writer'))) {
        throw new UsageError(`there is no decision log in ${describeDatabase(database)}`, whichDatabase);
      }
      const log = PostgresDecisionLog.reader(opened, await encryptionKeys());
      return Object.assign(log, { close: () => Promise.resolve() });
    });
  }
  const { DecisionLogReader } = await import('../../decision-log/sqlite/decision-log-reader.js');
  const { closedFiles, decisionLogPath } = await import('../../decision-log/sqlite/log-files.js');
  const path = decisionLogPath(fileOf(database));
  if (!existsSync(path) && closedFiles(path).length === 0) {
    throw new UsageError(`there is no decision log ${path}`, whichDatabase);
  }
  return DecisionLogReader.open(fileOf(database), await encryptionKeys());
}

/**
 * Opens a decision log to verify or export it with its proof, beside services that may be writing it.
 *
 * @param database an SQLite file, a folder that holds one log, or a `postgres://` URL
 * @throws UsageError when there is no log
 */
export async function openProvenLog(database: string): Promise<Opened<ProvenSource>> {
  if (isPostgresUrl(database)) {
    const { SharedKeys } = await import('../../decision-log/postgres/shared-keys.js');
    const { SharedProofs } = await import('../../decision-log/postgres/shared-proofs.js');
    return openInPostgres(database, async (opened) => {
      if (!(await opened.hasTable('decision_tree')))
        throw new UsageError(`no release that proves its log wrote ${describeDatabase(database)}`);
      const proofs = new SharedProofs(
        opened,
        (read) => read(),
        async () => [],
        new SharedKeys(await encryptionKeys()),
      );
      const checkpoints = await fleetCheckpointsIn(await openCheckpoints(opened));
      return { ...(await proofs.records()), isWhole: true, ...checkpoints, close: () => Promise.resolve() };
    });
  }
  const { DecisionLogReader } = await import('../../decision-log/sqlite/decision-log-reader.js');
  const { provenJournal } = await import('../../decision-log/sqlite/verify-journal.js');
  const { decisionLogPath } = await import('../../decision-log/sqlite/log-files.js');
  const file = logIn(fileOf(database));
  // It says by name which file is not there.
  await (await openDecisionLog(file)).close();
  const { SqliteCheckpointStore } = await import('../../fleet/checkpoints/sqlite/sqlite-checkpoint-store.js');
  const store = existsSync(file) ? await SqliteCheckpointStore.openToRead(file) : undefined;
  const checkpoints = await fleetCheckpointsIn(store).finally(() => store?.close());
  const reader = await DecisionLogReader.open(file, await encryptionKeys());
  const records = await provenJournal(() => reader.view(), decisionLogPath(file));
  const isWhole = checkpoints.fleetCheckpoints.length + checkpoints.sentCheckpoints.length > 0;
  return { ...records, isWhole, ...checkpoints, close: () => reader.close() };
}

/** Opens the chain of audit events to verify it; undefined where there is none. */
export async function openAuditChain(database: string): Promise<Opened<StoredAuditChain> | undefined> {
  if (isPostgresUrl(database)) {
    const { PostgresAuditChain } = await import('../../audit/postgres/postgres-audit-chain.js');
    return openInPostgres(database, async (opened) => {
      if (!(await opened.hasTable('audit_chain')) || !(await opened.hasTable('audit_event'))) return undefined;
      const chain = new PostgresAuditChain(opened, (name) => opened.table(name));
      return Object.assign(chain, { close: () => Promise.resolve() });
    });
  }
  const file = fileOf(database);
  if (!existsSync(file)) return undefined;
  const { SqliteAuditChain } = await import('../../audit/sqlite/sqlite-audit-chain.js');
  return SqliteAuditChain.openToRead(file);
}

async function openCheckpoints(database: PostgresDatabase): Promise<CheckpointStore | undefined> {
  if (!(await database.hasTable('fleet_checkpoint'))) return undefined;
  const { PostgresCheckpointStore } = await import('../../fleet/checkpoints/postgres/postgres-checkpoint-store.js');
  return new PostgresCheckpointStore(database);
}

async function fleetCheckpointsIn(
  store: CheckpointStore | undefined,
): Promise<Pick<ProvenSource, 'fleetCheckpoints' | 'sentCheckpoints'>> {
  // One that is made meanwhile is sent after it was looked at how far they are.
  const sentCheckpoints = (await store?.sent()) ?? [];
  const all: StoredFleetCheckpoint[] = [];
  for (let after = 0; store !== undefined; ) {
    const found = await store.after(after, 1_000);
    if (found.length === 0) break;
    all.push(...found);
    after = found.at(-1)!.number;
  }
  return { fleetCheckpoints: all, sentCheckpoints };
}

/** The database of a log, which may be named by its folder. */
export function databaseOfLog(database: string): string {
  return isPostgresUrl(database) ? database : logIn(fileOf(database));
}

/** The database that the log in a folder lies beside, by the name of its files. */
function logIn(path: string): string {
  if (!existsSync(path) || !statSync(path).isDirectory()) return path;
  const names = new Set(
    readdirSync(path).flatMap((name) => /^(.+)\.decisions(\.\d{16})?\.sqlite$/.exec(name)?.[1] ?? []),
  );
  const [name, ...others] = names;
  if (name === undefined) throw new UsageError(`there is no decision log in ${path}`);
  if (others.length > 0) throw new UsageError(`there are several decision logs in ${path}`, 'name the database of one');
  return join(path, `${name}.sqlite`);
}

const whichDatabase = '--database or VERDICT_DATABASE_URL name its database';

/**
 * Opens a decision log to count what an erasure would rewrite.
 *
 * @throws UsageError when there is no log
 */
export async function openErasableLog(database: string): Promise<Opened<Pick<ErasableLog, 'erasable'>>> {
  // Sound: what reads a log in either database can do so.
  return (await openDecisionLog(database)) as Opened<RecordedDecisions & Pick<ErasableLog, 'erasable'>>;
}

/** Opens the orders to erase persons; the tables are made where they are not there. */
export async function openErasureOrders(database: string): Promise<ErasureOrders> {
  if (isPostgresUrl(database)) {
    const { PostgresErasureOrders } = await import('../../decision-log/postgres/postgres-erasure-orders.js');
    return openInPostgres(database, async (opened) => new PostgresErasureOrders(opened));
  }
  const { SqliteErasureOrders } = await import('../../decision-log/sqlite/sqlite-erasure-orders.js');
  return SqliteErasureOrders.open(fileOf(database));
}

/** Orders that this process carries out. */
export interface CarryingOut {
  /** @throws what keeps it from being done */
  check(): void;
  close(): Promise<void>;
}

/**
 * Begins to carry out the orders in an SQLite log that no service uses; undefined where a service does so: it has the folder, or the
 * log is in PostgreSQL.
 *
 * @param fleetKeys as `VERDICT_LOG_SIGNING_KEY`
 */
export async function carryOutErasures(
  database: string,
  orders: ErasureOrders,
  fleetKeys: string | undefined,
): Promise<CarryingOut | undefined> {
  if (isPostgresUrl(database)) return undefined;
  const { DataFolderLock } = await import('../../database/sqlite/data-folder-lock.js');
  const { DataFolderInUse } = await import('../../database/data-folder-in-use.js');
  const { SqliteDecisionLog } = await import('../../decision-log/sqlite/sqlite-decision-log.js');
  const { Erasures } = await import('../../decision-log/erasure/erasures.js');
  const databasePath = fileOf(database);
  const holder = { instance: 'verdict log erase', pid: process.pid };
  const folder = dirname(resolve(databasePath));
  let lock: { release(): Promise<void> };
  try {
    lock = await DataFolderLock.take({ folder, holder, waitMs: 0, onProblem: () => undefined });
  } catch (error) {
    if (error instanceof DataFolderInUse) return undefined;
    throw error;
  }
  let failure: unknown;
  const holds = await openHolds(database);
  const log = new SqliteDecisionLog({
    databasePath,
    mode: 'sync',
    fleetKeys,
    holds,
    encryption: await encryptionKeys(),
  });
  try {
    await log.start();
  } catch (error) {
    await lock.release();
    throw error;
  }
  const onProblem = (what: string, cause: unknown) => {
    failure = new Error(what, { cause });
  };
  // Nobody decides meanwhile.
  const erasures = new Erasures({ orders, log, holds, latestMs: 0, lookMs: 200, onProblem });
  erasures.start();
  return {
    check: () => {
      if (failure !== undefined) throw failure;
    },
    close: async () => {
      await erasures.stop();
      await log.stop();
      await holds.close();
      await lock.release();
    },
  };
}

/** The policy sets that name somebody in what they serve, by the archive, and in their live data. */
export async function namingSets(database: string, id: string): Promise<NamingSets> {
  const { PolicySetsNaming } = await import('../../policy-store/policy-sets-naming.js');
  const archive = await openArchive(database);
  const data = await openLiveData(database);
  try {
    const sets = (await archive?.states()) ?? [];
    return await new PolicySetsNaming({ sets: () => sets, archive, data }).find(id);
  } catch (error) {
    // A database that no service has used has no table of policy sets.
    if (/no such table/.test(String(error))) return { files: [], data: [] };
    throw error;
  } finally {
    await data?.close();
    await archive?.close();
  }
}

/** Opens the archive of versions to read it; undefined when there is none, since to open it would make it. */
export async function openArchive(database: string): Promise<PolicyArchive | undefined> {
  if (isPostgresUrl(database)) {
    const { PostgresPolicyArchive } = await import('../../policy-store/archive/postgres/postgres-policy-archive.js');
    return openInPostgres(database, async (opened) =>
      (await opened.hasTable('policy_version'))
        ? PostgresPolicyArchive.openToRead(opened, await encryptionKeys())
        : undefined,
    );
  }
  const file = fileOf(database);
  if (!existsSync(file)) return undefined;
  const { SqlitePolicyArchive } = await import('../../policy-store/archive/sqlite/sqlite-policy-archive.js');
  return SqlitePolicyArchive.openToRead(file, await encryptionKeys());
}

/** Opens the live data of policy sets to read it; undefined when there is none, since to open it would make it. */
export async function openLiveData(database: string): Promise<LiveDataStore | undefined> {
  if (isPostgresUrl(database)) {
    const { PostgresLiveDataStore } = await import('../../policy-store/database/postgres/postgres-live-data-store.js');
    return openInPostgres(database, async (opened) =>
      (await opened.hasTable('data_change')) ? PostgresLiveDataStore.open(opened) : undefined,
    );
  }
  const file = fileOf(database);
  if (!existsSync(file)) return undefined;
  const { SqliteLiveDataStore } = await import('../../policy-store/database/sqlite/sqlite-live-data-store.js');
  return SqliteLiveDataStore.openToRead(file);
}

export interface LogImport {
  /** The SQLite file that the log lies beside. */
  readonly from: string;
  /** The `postgres://` URL of the shared log. */
  readonly to: string;
  /** Called after each batch: up to which sequence the log is taken over, and its last. */
  readonly progress: (taken: number, end: number) => void;
  readonly remark: (what: string) => void;
}

export interface ImportedLog {
  /** Sequence of the log's last record. */
  readonly end: number;
  /** How many versions of policy sets were copied or were there. */
  readonly versions: number;
  /** `set sha256:…`, which records name and the archive does not have. */
  readonly missing: readonly string[];
}

/**
 * Takes an SQLite log that no service uses into the log that replicas share, with the versions that its records name.
 *
 * @throws UsageError when there is no log, a service uses its folder, or `to` is not PostgreSQL
 */
export async function importLog({ from, to, progress, remark }: LogImport): Promise<ImportedLog> {
  if (!isPostgresUrl(to)) {
    throw new UsageError('a log is imported into PostgreSQL', '--database or VERDICT_DATABASE_URL: postgres://…');
  }
  if (isPostgresUrl(from)) throw new UsageError('a log is imported from an SQLite file: --from data/verdict.sqlite');
  const { journalAtRest } = await import('../../decision-log/sqlite/journal-at-rest.js');
  const { importJournal } = await import('../../decision-log/postgres/journal-import.js');
  const { PostgresPolicyArchive } = await import('../../policy-store/archive/postgres/postgres-policy-archive.js');
  const file = fileOf(from);
  // A log that is not there is said before a lock is made.
  const reader = await openDecisionLog(file);
  const lock = await lockFolder(dirname(resolve(file)));
  const database = await openSharedDatabase(to).catch(async (error: unknown) => {
    await lock.release();
    throw error;
  });
  const source = await openArchive(file);
  const encryption = await encryptionKeys();
  const journal = await journalAtRest(file, encryption);
  try {
    const archive = await PostgresPolicyArchive.open(database, encryption);
    const versions = new Map<string, boolean>();
    const copy = async (set: string, version: string): Promise<boolean> => {
      const archived = await source?.version(set, version);
      const files = archived === undefined ? undefined : await source?.files(set, version);
      if (archived === undefined || files === undefined) return false;
      const { filesVersion } = archived;
      await archive.adopt(files, { ...archived, version: filesVersion ?? version });
      // Live data stay in the file: what was decided with them is explained there.
      return filesVersion === undefined;
    };
    await importJournal({
      database,
      encryption,
      journal,
      instance: (await reader.search({ limit: 1 })).items[0]?.instance ?? 'imported',
      // Before its records are there: so each can be replayed, and no retention finds a version that none needs.
      before: async ({ groups }) => {
        for (const { policySet, policyVersion } of groups.flatMap(({ tally }) => tally)) {
          const name = `${policySet} ${policyVersion}`;
          if (!versions.has(name)) versions.set(name, await copy(policySet, policyVersion));
        }
      },
      progress: (taken) => progress(taken, journal.end),
      onProblem: remark,
    });
    const missing = [...versions].filter(([, isThere]) => !isThere).map(([name]) => name);
    return { end: journal.end, versions: versions.size - missing.length, missing };
  } finally {
    journal.close();
    await source?.close();
    await reader.close();
    await database.close();
    await lock.release();
  }
}

/**
 * Wraps the keys of a log's files under the newest key of VERDICT_ENCRYPTION_KEY, or encrypts the files anew.
 *
 * @throws UsageError when there is no log or no key, and with `isRewritten` when a service uses the folder
 */
export async function rotateKeys(database: string, isRewritten: boolean): Promise<RotatedKeys> {
  const keys = await rotatingKeys();
  const { decisionLogPath } = await import('../../decision-log/sqlite/log-files.js');
  const { rewrapJournal, rewriteJournal } = await import('../../decision-log/sqlite/rotate-keys.js');
  const file = fileOf(database);
  // It says by name which log is not there.
  await (await openDecisionLog(file)).close();
  const { rewrapArchive, rewriteArchive } = await import('../../policy-store/archive/sqlite/archive-key.js');
  if (!isRewritten)
    return withArchive(file, await rewrapJournal(decisionLogPath(file), keys), () => rewrapArchive(file, keys));
  const lock = await lockFolder(
    dirname(resolve(file)),
    'verdict log rotate-key',
    'stop the service first: without --rewrite it may run',
  );
  try {
    return await withArchive(file, await rewriteJournal(decisionLogPath(file), keys), () => rewriteArchive(file, keys));
  } catch (error) {
    if (error instanceof (await import('../../encryption/encryption-keys.js')).MissingEncryptionKey)
      throw new UsageError(error.message);
    throw error;
  } finally {
    await lock.release();
  }
}

/** What became of the keys of a log in PostgreSQL and of the archive beside it, in numbers of keys. */
export interface RotatedInPostgres {
  readonly changed: number;
  readonly current: number;
  /** Why some stay as they are. */
  readonly failed: readonly string[];
  /** What was encrypted anew; left out where nothing was to be. */
  readonly rewritten?: RewrittenSharedLog;
}

/**
 * The same of a log in PostgreSQL. Replicas may serve meanwhile.
 *
 * @throws UsageError when there is no log or no key
 */
export async function rotateSharedKeys(url: string, isRewritten: boolean): Promise<RotatedInPostgres> {
  const keys = await rotatingKeys();
  const { rewrapSharedLog, rewriteSharedLog } = await import('../../decision-log/postgres/rotate-shared-keys.js');
  const { sharedLogMigrations } = await import('../../decision-log/postgres/shared-migrations.js');
  const { migrate } = await import('../../database/postgres/migrations.js');
  const { rewrapSharedArchive, rewriteSharedArchive } = await import(
    '../../policy-store/archive/postgres/archive-key.js'
  );
  const { PostgresPolicyArchive } = await import('../../policy-store/archive/postgres/postgres-policy-archive.js');
  const { MissingEncryptionKey, WrongWrappedKey } = await import('../../encryption/encryption-keys.js');
  const isOfKey = (error: unknown): error is Error =>
    error instanceof MissingEncryptionKey || error instanceof WrongWrappedKey;
  const database = await openSharedDatabase(url);
  try {
    if (!(await database.hasTable('decision_writer')))
      throw new UsageError(`there is no decision log in ${describeDatabase(url)}`, whichDatabase);
    await migrate(database, 'decision-log', sharedLogMigrations);
    await PostgresPolicyArchive.openToRead(database);
    const rewritten = isRewritten ? await rewriteSharedLog(database, keys) : undefined;
    const log =
      rewritten === undefined ? await rewrapSharedLog(database, keys) : { changed: 0, current: 0, failed: [] };
    const archive = await (isRewritten ? rewriteSharedArchive : rewrapSharedArchive)(database, keys).catch(
      (error: unknown) => {
        if (isOfKey(error)) return error;
        throw error;
      },
    );
    return {
      changed: log.changed + (archive === 'changed' ? 1 : 0),
      current: log.current + (archive === 'current' ? 1 : 0),
      failed: [...log.failed, ...(archive instanceof Error ? [archive.message] : [])],
      ...(rewritten !== undefined && { rewritten }),
    };
  } catch (error) {
    if (isOfKey(error)) throw new UsageError(error.message);
    throw error;
  } finally {
    await database.close();
  }
}

async function rotatingKeys(): Promise<EncryptionKeys> {
  const keys = await encryptionKeys();
  if (keys === undefined) throw new UsageError('VERDICT_ENCRYPTION_KEY is not set: the newest key comes first in it');
  return keys;
}

/** What became of the log's files and of the database beside them, with the archive in it. */
async function withArchive(
  file: string,
  rotated: RotatedKeys,
  rotate: () => Promise<'changed' | 'current' | 'plain'>,
): Promise<RotatedKeys> {
  if (!existsSync(file)) return rotated;
  const { MissingEncryptionKey, WrongWrappedKey } = await import('../../encryption/encryption-keys.js');
  try {
    const outcome = await rotate();
    return { ...rotated, [outcome]: [...rotated[outcome], file] };
  } catch (error) {
    if (!(error instanceof MissingEncryptionKey) && !(error instanceof WrongWrappedKey)) throw error;
    return { ...rotated, failed: [...rotated.failed, { path: file, why: error.message }] };
  }
}

async function lockFolder(
  folder: string,
  instance = 'verdict log import',
  hint = 'stop the service first, or import a copy that `verdict backup` makes',
): Promise<{ release(): Promise<void> }> {
  const { DataFolderLock } = await import('../../database/sqlite/data-folder-lock.js');
  const { DataFolderInUse } = await import('../../database/data-folder-in-use.js');
  const holder = { instance, pid: process.pid };
  try {
    return await DataFolderLock.take({ folder, holder, waitMs: 0, onProblem: () => undefined });
  } catch (error) {
    if (!(error instanceof DataFolderInUse)) throw error;
    throw new UsageError(error.message, hint);
  }
}

/** Opens the managed keys of an SQLite file or a `postgres://` URL; a database that is not there is made. */
export async function openManagedKeys(database: string): Promise<ManagedKeys> {
  if (isPostgresUrl(database)) {
    const { PostgresManagedKeys } = await import('../../auth/postgres/postgres-managed-keys.js');
    return openInPostgres(database, (opened) => PostgresManagedKeys.open(opened));
  }
  const { SqliteManagedKeys } = await import('../../auth/sqlite/sqlite-managed-keys.js');
  return SqliteManagedKeys.open(database);
}

/** Whether a service's database is there, beside which a log lies: to open a store of one that is not would make it. */
export function hasDatabase(database: string): boolean {
  return isPostgresUrl(database) || existsSync(fileOf(database));
}

/** Opens the holds, as `openManagedKeys` does the keys. */
export async function openHolds(database: string): Promise<Holds> {
  if (isPostgresUrl(database)) {
    const { PostgresHolds } = await import('../../decision-log/holds/postgres/postgres-holds.js');
    return openInPostgres(database, (opened) => PostgresHolds.open(opened));
  }
  const { SqliteHolds } = await import('../../decision-log/holds/sqlite/sqlite-holds.js');
  return SqliteHolds.open(fileOf(database));
}

/** Opens the audit events, as `openManagedKeys` does the keys. */
export async function openAuditLog(database: string, options: AuditLogOptions): Promise<AuditLog> {
  if (isPostgresUrl(database)) {
    const { PostgresAuditLog } = await import('../../audit/postgres/postgres-audit-log.js');
    return openInPostgres(database, (opened) => PostgresAuditLog.open(opened, options));
  }
  const { SqliteAuditLog } = await import('../../audit/sqlite/sqlite-audit-log.js');
  return SqliteAuditLog.open({ ...options, path: fileOf(database) });
}

/** Opens a store that closes its connections, too, when it is closed. */
async function openInPostgres<Store extends { close(): Promise<void> } | undefined>(
  url: string,
  open: (database: PostgresDatabase) => Promise<Store>,
): Promise<Store> {
  const database = await openSharedDatabase(url);
  try {
    const store = await open(database);
    if (store === undefined) await database.close();
    else {
      const close = store.close.bind(store);
      store.close = () => close().finally(() => database.close());
    }
    return store;
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function openSharedDatabase(url: string): Promise<PostgresDatabase> {
  const { PostgresDatabase } = await import('../../database/postgres/postgres-database.js');
  return new PostgresDatabase({
    url: urlOf(url),
    instance: 'command line',
    // The commands themselves say why they fail.
    onProblem: () => undefined,
  });
}

function urlOf(text: string): PostgresUrl {
  try {
    return parsePostgresUrl(text);
  } catch (error) {
    throw new UsageError(`the URL of the database ${(error as Error).message}`);
  }
}

/** `sqlite:data/verdict.sqlite`, or the path alone. */
function fileOf(database: string): string {
  return database.startsWith('sqlite:') ? database.slice('sqlite:'.length) : database;
}

/**
 * Copies all that cannot be made again into a folder, while the service runs or not: the journals of its workers into folders
 * of their numbers. The logs come first: a version is archived before it serves, so the archive that is copied later has every
 * version that the copied records name.
 *
 * @returns the copies; none when there is nothing to copy
 */
export async function copyStores(database: string, folder: string): Promise<string[]> {
  const { decisionLogPath } = await import('../../decision-log/sqlite/log-files.js');
  const { backUpJournal } = await import('../../decision-log/sqlite/journal-backup.js');
  const { copyDatabase } = await import('../../database/sqlite/copy-database.js');
  const home = dirname(resolve(database));
  const copies: string[] = [];
  for (const file of await journalsOf(database)) {
    const to = join(folder, relative(home, dirname(resolve(file))));
    await mkdir(to, { recursive: true, mode: 0o700 });
    copies.push(...(await backUpJournal(decisionLogPath(file), to)));
  }
  if (existsSync(database)) {
    const copy = join(folder, basename(database));
    await copyDatabase(database, copy);
    copies.push(copy);
  }
  return copies;
}

/** The files beside which the journals of this machine lie: that of the service, or those of its workers, each in a folder of its number. */
export async function journalsOf(database: string): Promise<string[]> {
  const { closedFiles, decisionLogPath } = await import('../../decision-log/sqlite/log-files.js');
  const folder = dirname(resolve(database));
  const ofWorkers = existsSync(folder) ? readdirSync(folder).filter((name) => /^[1-9]\d*$/.test(name)) : [];
  const files = [database, ...ofWorkers.map((name) => join(folder, name, basename(database)))];
  return files.filter((file) => {
    const path = decisionLogPath(file);
    return existsSync(path) || (existsSync(dirname(path)) && closedFiles(path).length > 0);
  });
}

/** Whether there is anything to copy. */
export async function hasStores(database: string): Promise<boolean> {
  return existsSync(database) || (await journalsOf(database)).length > 0;
}
