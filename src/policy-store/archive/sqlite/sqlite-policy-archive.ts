import { currentSemantics, semanticsBeforeNumbers } from '../../../core/semantics.js';
import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { type PolicySetFiles, versionOf } from '../../policy-set-files.js';
import { archivedFilesOf, packFile, unpackFile, unpackVersion } from '../archived-files.js';
import type { ArchivedFile, ArchivedVersion, VersionsPage } from '../archived-version.js';
import {
  type ArchivedState,
  bytesOnAPage,
  type KnownState,
  newestVersions,
  PolicyArchive,
  replacementMs,
  type ServedVersion,
} from '../policy-archive.js';
import { PolicyArchive1763700000010 } from './migrations/1763700000010-policy-archive.js';
import { Semantics1763700000011 } from './migrations/1763700000011-semantics.js';

const versionsPerStep = 100;
interface VersionRow {
  version: string;
  files: string;
  git_commit: string | null;
  /** Not there in a database of 0.1 that is only read. */
  semantics?: number | null;
  first_served: number;
  last_served: number;
}

/** The archive in the service's SQLite database. */
export class SqlitePolicyArchive extends PolicyArchive {
  /** The last of the changes that must not meet: a file is kept before the version that names it. */
  private lastChange: Promise<unknown> = Promise.resolve();
  private pruningEnds = false;

  private constructor(readonly connection: SqliteConnection) {
    super();
  }

  /** `path` is the file of the database; its tables are made when they are not there. */
  static async open(path: string): Promise<SqlitePolicyArchive> {
    const connection = await SqliteConnection.open({
      path,
      migrations: [PolicyArchive1763700000010, Semantics1763700000011],
      // The decision log writes the same file: what is written here must hold it up as little as can be. Its own
      // connection makes the checkpoints; these pages are only the limit for when there is none.
      setup: ['PRAGMA synchronous = NORMAL', 'PRAGMA wal_autocheckpoint = 4000'],
      busyTimeoutMs: 10_000,
    });
    return new SqlitePolicyArchive(connection);
  }

  /** To look into a database that is there, whether a service runs on it or not; what would write is refused. */
  static async openToRead(path: string): Promise<SqlitePolicyArchive> {
    return new SqlitePolicyArchive(
      await SqliteConnection.open({ path, setup: ['PRAGMA query_only = ON'], busyTimeoutMs: 10_000 }),
    );
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  keep(set: PolicySetFiles, at: number, gitCommit?: string): Promise<void> {
    return this.inTurn(() => this.keepAll(set, at, gitCommit));
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

  private async keepAll(set: PolicySetFiles, at: number, gitCommit: string | undefined): Promise<void> {
    const files: ArchivedFile[] = [];
    for (const { bytes, ...file } of archivedFilesOf(set)) {
      await this.keepFile(file.digest, bytes);
      files.push(file);
    }
    await this.connection.query(
      `INSERT INTO policy_version (policy_set, version, files, git_commit, semantics, first_served, last_served)
       VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET last_served = excluded.last_served, semantics = excluded.semantics`,
      [set.name, versionOf(set.files), JSON.stringify(files), gitCommit ?? null, currentSemantics, at, at],
    );
  }

  private async keepFile(digest: string, bytes: Uint8Array): Promise<void> {
    const known = await this.connection.query('SELECT 1 FROM policy_file WHERE digest = ?', [digest]);
    if (known.length > 0) return;
    // Each file is a transaction of its own, so that the decision log never waits for a whole set to be written.
    await this.connection.query('INSERT OR IGNORE INTO policy_file (digest, size, content) VALUES (?, ?, ?)', [
      digest,
      bytes.byteLength,
      await packFile(bytes),
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

  async versions(name: string, limit: number, after?: string): Promise<VersionsPage> {
    const found = await this.connection.query<{ version: string; bytes: number }>(
      `SELECT version, octet_length(files) AS bytes FROM policy_version
       WHERE policy_set = ?1 AND (?2 IS NULL OR (first_served, version) <
         (SELECT first_served, version FROM policy_version WHERE policy_set = ?1 AND version = ?2))
       ORDER BY first_served DESC, version DESC LIMIT ?3`,
      [name, after ?? null, limit + 1],
    );
    const items: ArchivedVersion[] = [];
    let bytes = 0;
    for (const row of found) {
      if (items.length === limit || (items.length > 0 && bytes + row.bytes > bytesOnAPage)) {
        return { items, nextCursor: items.at(-1)!.version };
      }
      bytes += row.bytes;
      const item = await this.version(name, row.version);
      if (item !== undefined) items.push(item);
    }
    return { items };
  }

  async version(name: string, version: string): Promise<ArchivedVersion | undefined> {
    const [row] = await this.connection.query<VersionRow>(
      `SELECT * FROM policy_version
       WHERE policy_set = ? AND version = ?`,
      [name, version],
    );
    return row === undefined ? undefined : toVersion(row);
  }

  async files(name: string, version: string): Promise<PolicySetFiles | undefined> {
    const archived = await this.version(name, version);
    return archived && unpackVersion(name, version, archived.files, (digest) => this.contentOf(digest));
  }

  async file(name: string, version: string, path: string): Promise<Uint8Array | undefined> {
    const archived = await this.version(name, version);
    return archived && unpackFile(name, version, path, archived.files, (digest) => this.contentOf(digest));
  }

  private async contentOf(digest: string): Promise<Buffer | undefined> {
    const [row] = await this.connection.query<{ content: Buffer }>('SELECT content FROM policy_file WHERE digest = ?', [
      digest,
    ]);
    return row?.content;
  }
}

function toVersion(row: VersionRow): ArchivedVersion {
  const version = {
    version: row.version,
    files: JSON.parse(row.files) as ArchivedFile[],
    semantics: row.semantics ?? semanticsBeforeNumbers,
    firstServed: new Date(row.first_served).toISOString(),
    lastServed: new Date(row.last_served).toISOString(),
  };
  return row.git_commit === null ? version : { ...version, gitCommit: row.git_commit };
}
