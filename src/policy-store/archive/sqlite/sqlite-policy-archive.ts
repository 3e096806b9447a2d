import { currentSemantics, semanticsBeforeNumbers } from '../../../core/semantics.js';
import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { type EncryptionKeys, MissingEncryptionKey } from '../../../encryption/encryption-keys.js';
import { type PolicySetFiles, versionOf } from '../../policy-set-files.js';
import { ArchiveCipher, isSealed } from '../archive-cipher.js';
import { archivedFilesOf, packFile } from '../archived-files.js';
import type { ArchivedFile } from '../archived-version.js';
import {
  type ArchivedState,
  type DataVersion,
  type KnownState,
  type NeededData,
  newestVersions,
  replacementMs,
  type ServedVersion,
} from '../policy-archive.js';
import { type EveryRow, type ListedVersion, StoredPolicyArchive, type VersionRow } from '../stored-policy-archive.js';
import { archiveCipher, encryptedArchiveMigrations, makeArchiveCipher } from './archive-key.js';
import { archiveMigrations } from './archive-migrations.js';

const versionsPerStep = 100;

/** A row as SQLite gives it. */
interface StoredRow extends Pick<VersionRow, 'version' | 'git_commit' | 'first_served' | 'last_served'> {
  readonly files: string;
  /** Not there in a database of 0.1 that is only read, as what follows. */
  readonly semantics?: number | null;
  readonly files_version?: string | null;
  readonly data_revision?: number | null;
}

/** The archive in the service's SQLite database. */
export class SqlitePolicyArchive extends StoredPolicyArchive {
  /** The last of the changes that must not meet: a file is kept before the version that names it. */
  private lastChange: Promise<unknown> = Promise.resolve();
  private pruningEnds = false;

  /** @param knowsData false for a database of an earlier release that is only read */
  private constructor(
    readonly connection: SqliteConnection,
    private readonly knowsData: boolean,
    /** What encrypts contents; undefined where they are in clear, or an error where its key is not there. */
    private readonly cipher: ArchiveCipher | MissingEncryptionKey | undefined,
  ) {
    super();
  }

  /**
   * `path` is the file of the database; its tables are made when they are not there. With `keys` the contents of files are
   * encrypted from now on.
   *
   * @throws MissingEncryptionKey where they are and none of the keys opens them
   */
  static async open(path: string, keys?: EncryptionKeys): Promise<SqlitePolicyArchive> {
    const connection = await SqliteConnection.open({
      path,
      migrations: [...(keys === undefined ? archiveMigrations : encryptedArchiveMigrations)],
      // The decision log writes the same file: what is written here must hold it up as little as can be. Its own
      // connection makes the checkpoints; these pages are only the limit for when there is none.
      setup: ['PRAGMA synchronous = NORMAL', 'PRAGMA wal_autocheckpoint = 4000'],
      busyTimeoutMs: 10_000,
    });
    try {
      const cipher =
        keys === undefined
          ? await archiveCipher(connection, undefined, path)
          : await makeArchiveCipher(connection, keys, path);
      return new SqlitePolicyArchive(connection, true, cipher);
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /**
   * To look into a database that is there, whether a service runs on it or not; what would write is refused. Undefined where it
   * holds no archive.
   */
  static async openToRead(path: string, keys?: EncryptionKeys): Promise<SqlitePolicyArchive | undefined> {
    const connection = await SqliteConnection.open({ path, setup: ['PRAGMA query_only = ON'], busyTimeoutMs: 10_000 });
    const columns = await connection.query<{ name: string }>('PRAGMA table_info(policy_version)');
    if (columns.length === 0) {
      await connection.close();
      return undefined;
    }
    const knowsData = columns.some(({ name }) => name === 'alone');
    // What a version is called can be read without.
    const cipher = await archiveCipher(connection, keys, path).catch((error: unknown) => {
      if (error instanceof MissingEncryptionKey) return error;
      throw error;
    });
    return new SqlitePolicyArchive(connection, knowsData, cipher);
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  keep(set: PolicySetFiles, at: number, gitCommit?: string, use?: 'alone' | 'base'): Promise<void> {
    return this.inTurn(() => this.keepAll(set, at, gitCommit, use !== 'base'));
  }

  async keepData({ name, version, filesVersion, dataRevision }: DataVersion, at: number): Promise<void> {
    await this.connection.query(
      `INSERT INTO policy_version (policy_set, version, files, semantics, files_version, data_revision, first_served, last_served)
       SELECT policy_set, ?, '[]', semantics, version, ?, ?, ? FROM policy_version WHERE policy_set = ? AND version = ?
       ON CONFLICT DO UPDATE SET last_served = excluded.last_served, semantics = excluded.semantics,
         data_revision = max(data_revision, excluded.data_revision)`,
      [version, dataRevision, at, at, name, filesVersion],
    );
  }

  neededData(): Promise<readonly NeededData[]> {
    return this.connection.query<NeededData>(
      `SELECT policy_set AS name, min(data_revision) AS revision FROM policy_version
       WHERE data_revision IS NOT NULL GROUP BY policy_set`,
    );
  }

  noteServed(versions: readonly ServedVersion[], at: number): Promise<void> {
    return this.inTurn(async () => {
      for (const { name, version } of versions) {
        await this.connection.query(
          'UPDATE policy_version SET last_served = max(last_served, ?) WHERE policy_set = ? AND version = ?',
          [at, name, version],
        );
      }
    });
  }

  async prune(neededSince: number, newest = newestVersions): Promise<number> {
    let removed = 0;
    for (let step = versionsPerStep; step === versionsPerStep && !this.pruningEnds; removed += step) {
      step = await this.inTurn(() => this.removeVersions(neededSince - replacementMs, newest));
    }
    // Also after a start: a process may have ended between a version and its files.
    for (let step = versionsPerStep; step === versionsPerStep && !this.pruningEnds; ) {
      step = await this.inTurn(() => this.removeFiles());
    }
    return removed;
  }

  endPruning(): void {
    this.pruningEnds = true;
  }

  private async removeVersions(endedBefore: number, newest: number): Promise<number> {
    const rows = await this.connection.query<{ policy_set: string; version: string }>(
      `SELECT policy_set, version FROM (
         SELECT policy_set, version, row_number() OVER later AS place, lag(last_served) OVER later AS ended
         FROM policy_version WINDOW later AS (PARTITION BY policy_set ORDER BY last_served DESC, version))
       WHERE place > ? AND ended < ?
         AND (policy_set, version) NOT IN (SELECT name, version FROM policy_set)
         AND (policy_set, version) NOT IN (
           SELECT policy_set, files_version FROM policy_version WHERE files_version IS NOT NULL)
       LIMIT ${versionsPerStep}`,
      [newest, endedBefore],
    );
    for (const { policy_set, version } of rows) {
      await this.connection.query('DELETE FROM policy_version WHERE policy_set = ? AND version = ?', [
        policy_set,
        version,
      ]);
    }
    return rows.length;
  }

  /** Removes files that no version names. */
  private async removeFiles(): Promise<number> {
    const rows = await this.connection.query<{ digest: string }>(
      `SELECT digest FROM policy_file WHERE digest NOT IN (
         SELECT file.value ->> 'digest' FROM policy_version, json_each(policy_version.files) file)
       LIMIT ${versionsPerStep}`,
    );
    await this.connection.query('DELETE FROM policy_file WHERE digest IN (SELECT value FROM json_each(?))', [
      JSON.stringify(rows.map(({ digest }) => digest)),
    ]);
    return rows.length;
  }

  private inTurn<Result>(change: () => Promise<Result>): Promise<Result> {
    const turn = this.lastChange.then(change);
    this.lastChange = turn.catch(() => undefined);
    return turn;
  }

  private async keepAll(set: PolicySetFiles, at: number, gitCommit: string | undefined, alone: boolean): Promise<void> {
    const files: ArchivedFile[] = [];
    for (const { bytes, ...file } of archivedFilesOf(set)) {
      await this.keepFile(file.digest, bytes);
      files.push(file);
    }
    await this.connection.query(
      `INSERT INTO policy_version (policy_set, version, files, git_commit, semantics, first_served, last_served, alone)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET last_served = excluded.last_served, semantics = excluded.semantics,
         alone = max(alone, excluded.alone)`,
      [
        set.name,
        versionOf(set.files),
        JSON.stringify(files),
        gitCommit ?? null,
        currentSemantics,
        at,
        at,
        Number(alone),
      ],
    );
  }

  private async keepFile(digest: string, bytes: Uint8Array): Promise<void> {
    const known = await this.connection.query('SELECT 1 FROM policy_file WHERE digest = ?', [digest]);
    if (known.length > 0) return;
    // Each file is a transaction of its own, so that the decision log never waits for a whole set to be written.
    await this.connection.query('INSERT OR IGNORE INTO policy_file (digest, size, content) VALUES (?, ?, ?)', [
      digest,
      bytes.byteLength,
      this.coded(digest, Buffer.from(await packFile(bytes))),
    ]);
  }

  async setState(state: ArchivedState, at: number): Promise<void> {
    await this.connection.query(
      `INSERT INTO policy_set (name, version, pinned_over) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET version = excluded.version, pinned_over = excluded.pinned_over, removed = NULL`,
      [state.name, state.version, state.pinnedOver ?? null],
    );
    await this.connection.query('UPDATE policy_version SET last_served = ? WHERE policy_set = ? AND version = ?', [
      at,
      state.name,
      state.version,
    ]);
  }

  async setRemoved(name: string, at: number): Promise<void> {
    await this.connection.query('UPDATE policy_set SET removed = ?, pinned_over = NULL WHERE name = ?', [at, name]);
  }

  async states(): Promise<KnownState[]> {
    const rows = await this.connection.query<{ name: string; version: string; pinned_over: string | null }>(
      'SELECT name, version, pinned_over FROM policy_set WHERE removed IS NULL ORDER BY name',
    );
    const states: KnownState[] = [];
    for (const { name, version, pinned_over } of rows) {
      // A database of 0.1 that is only read has no column of semantics: `version` knows.
      const semantics = (await this.version(name, version))?.semantics;
      states.push({ name, version, ...(pinned_over !== null && { pinnedOver: pinned_over }), semantics });
    }
    return states;
  }

  protected every(limit: number, { name, version }: ServedVersion): Promise<readonly EveryRow[]> {
    return this.connection.query<EveryRow>(
      `SELECT policy_set AS name, version ${this.knowsData ? ', files_version, data_revision' : ''} FROM policy_version
       WHERE (policy_set, version) > (?, ?) ORDER BY policy_set, version LIMIT ?`,
      [name, version, limit],
    );
  }

  async hasServed(name: string, version: string): Promise<boolean> {
    const rows = await this.connection.query(
      `SELECT 1 FROM policy_version WHERE policy_set = ?1
         AND ((version = ?2 AND (alone OR files_version IS NOT NULL)) OR files_version = ?2) LIMIT 1`,
      [name, version],
    );
    return rows.length > 0;
  }

  protected list(name: string, limit: number, after: string | undefined): Promise<readonly ListedVersion[]> {
    return this.connection.query<ListedVersion>(
      `SELECT version, octet_length(files) AS bytes FROM policy_version
       WHERE policy_set = ?1 ${this.knowsData ? 'AND alone' : ''} AND (?2 IS NULL OR (first_served, version) <
         (SELECT first_served, version FROM policy_version WHERE policy_set = ?1 AND version = ?2))
       ORDER BY first_served DESC, version DESC LIMIT ?3`,
      [name, after ?? null, limit],
    );
  }

  protected async row(name: string, version: string): Promise<VersionRow | undefined> {
    const [row] = await this.connection.query<StoredRow>(
      `SELECT * FROM policy_version
       WHERE policy_set = ? AND version = ?`,
      [name, version],
    );
    return (
      row && {
        ...row,
        files: JSON.parse(row.files) as ArchivedFile[],
        semantics: row.semantics ?? semanticsBeforeNumbers,
        files_version: row.files_version ?? null,
        data_revision: row.data_revision ?? null,
      }
    );
  }

  protected async contentOf(digest: string): Promise<Buffer | undefined> {
    const [row] = await this.connection.query<{ content: Buffer }>('SELECT content FROM policy_file WHERE digest = ?', [
      digest,
    ]);
    if (row === undefined || !isSealed(row.content)) return row?.content;
    if (this.cipher instanceof MissingEncryptionKey) throw this.cipher;
    return this.cipher?.open(digest, row.content);
  }

  private coded(digest: string, content: Buffer): Buffer {
    return this.cipher instanceof ArchiveCipher ? this.cipher.seal(digest, content) : content;
  }
}
