import { currentSemantics } from '../../../core/semantics.js';
import { isAway } from '../../../database/database-error.js';
import { ChangeCounters } from '../../../database/postgres/change-counters.js';
import type { PostgresClient } from '../../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../../database/postgres/postgres-tables.js';
import type { EncryptionKeys } from '../../../encryption/encryption-keys.js';
import { type PolicySetFiles, versionOf } from '../../policy-set-files.js';
import { type ArchiveCipher, isSealed } from '../archive-cipher.js';
import { archivedFilesOf, packFile } from '../archived-files.js';
import type { ArchivedVersion } from '../archived-version.js';
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
import { makeSharedArchiveCipher, sharedArchiveCipher } from './archive-key.js';
import { policyArchiveTables } from './migrations/1764400000010-policy-archive.js';
import { dataVersionColumns } from './migrations/1764400000012-data-versions.js';
import { archiveKeyTable } from './migrations/1764800000013-archive-key.js';

const versionsPerStep = 100;
/** Contents that one statement writes: files are small, and a round trip for each is not. */
const filesPerStatement = 50;

/** How a version served; times in milliseconds since 1970. */
interface Served {
  readonly gitCommit: string | undefined;
  readonly semantics: number;
  readonly firstServed: number;
  readonly lastServed: number;
  /** False where the files serve with live data. */
  readonly alone: boolean;
}

interface StateRow {
  readonly name: string;
  readonly version: string;
  readonly pinned_over: string | null;
  readonly semantics: number | null;
}

/** The archive of all replicas, in PostgreSQL: a version that several of them load is kept once. */
export class PostgresPolicyArchive extends StoredPolicyArchive {
  private readonly fileTable: string;
  private readonly versionTable: string;
  private readonly setTable: string;
  private pruningEnds = false;
  private cipher: ArchiveCipher | undefined;
  /** Whether nothing was encrypted when this was opened without a key. */
  private isClear = false;

  private constructor(
    private readonly tables: PostgresTables,
    private readonly counters: ChangeCounters,
    private readonly keys: EncryptionKeys | undefined,
  ) {
    super();
    this.fileTable = tables.name('policy_file');
    this.versionTable = tables.name('policy_version');
    this.setTable = tables.name('policy_set');
  }

  /**
   * The tables are made when they are not there; while the server is away, when it is back. With `keys` the contents of files are
   * encrypted from now on.
   *
   * @throws MissingEncryptionKey where they are and none of the keys opens them
   */
  static async open(database: PostgresDatabase, keys?: EncryptionKeys): Promise<PostgresPolicyArchive> {
    const archive = await PostgresPolicyArchive.openToRead(database, keys);
    try {
      await archive.sealing();
    } catch (error) {
      if (!isAway(error)) throw error;
    }
    return archive;
  }

  /** The same to look into it: what versions are called can be read without the key. */
  static async openToRead(database: PostgresDatabase, keys?: EncryptionKeys): Promise<PostgresPolicyArchive> {
    const counters = new ChangeCounters(database);
    const tables = new PostgresTables(
      database,
      'policy-store',
      [policyArchiveTables, dataVersionColumns, archiveKeyTable],
      counters.tables,
    );
    await tables.prepare();
    return new PostgresPolicyArchive(tables, counters, keys);
  }

  /** The database is closed by its owner. */
  async close(): Promise<void> {}

  async keep(set: PolicySetFiles, at: number, gitCommit?: string, use?: 'alone' | 'base'): Promise<void> {
    const alone = use !== 'base';
    await this.store(set, { gitCommit, semantics: currentSemantics, firstServed: at, lastServed: at, alone });
  }

  async keepData({ name, version, filesVersion, dataRevision }: DataVersion, at: number): Promise<void> {
    await this.tables.write(
      `INSERT INTO ${this.versionTable} AS kept
         (policy_set, version, files, semantics, files_version, data_revision, first_served, last_served)
       SELECT policy_set, $1, '[]', semantics, version, $2, $3, $3 FROM ${this.versionTable}
       WHERE policy_set = $4 AND version = $5
       ON CONFLICT (policy_set, version) DO UPDATE SET semantics = excluded.semantics,
         data_revision = greatest(kept.data_revision, excluded.data_revision),
         last_served = greatest(kept.last_served, excluded.last_served)`,
      [version, dataRevision, at, name, filesVersion],
    );
  }

  neededData(): Promise<readonly NeededData[]> {
    return this.tables.query<NeededData>(
      `SELECT policy_set AS name, min(data_revision) AS revision FROM ${this.versionTable}
       WHERE data_revision IS NOT NULL GROUP BY policy_set`,
    );
  }

  /** Keeps a version of another archive as it is there; one that is kept already has the earlier and the later time. */
  async adopt(set: PolicySetFiles, { semantics, gitCommit, ...times }: ArchivedVersion): Promise<void> {
    const [firstServed, lastServed] = [Date.parse(times.firstServed), Date.parse(times.lastServed)];
    await this.store(set, { gitCommit, semantics, firstServed, lastServed, alone: true }, 'adopted');
  }

  private async store(set: PolicySetFiles, served: Served, isAdopted?: 'adopted'): Promise<void> {
    const files = archivedFilesOf(set);
    const cipher = await this.sealing();
    const listed = files.map(({ path, digest, size }) => ({ path, digest, size }));
    const { gitCommit, semantics, firstServed, lastServed, alone } = served;
    await this.tables.transaction(async (client) => {
      await this.lock(client, 'keep');
      const known = await client.query<{ digest: string }>(
        `SELECT digest FROM ${this.fileTable} WHERE digest = ANY ($1)`,
        [files.map(({ digest }) => digest)],
      );
      const kept = new Set(known.map(({ digest }) => digest));
      // In one order, or two replicas with files in common could wait for each other.
      const missing = files.filter(({ digest }) => !kept.has(digest)).sort((a, b) => (a.digest < b.digest ? -1 : 1));
      for (let from = 0; from < missing.length; from += filesPerStatement) {
        await this.keepFiles(client, missing.slice(from, from + filesPerStatement), cipher);
      }
      await client.query(
        `INSERT INTO ${this.versionTable} AS kept
           (policy_set, version, files, git_commit, semantics, first_served, last_served, alone)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (policy_set, version) DO UPDATE SET
           alone = kept.alone OR excluded.alone,
           first_served = least(kept.first_served, excluded.first_served),
           last_served = greatest(kept.last_served, excluded.last_served)
           ${isAdopted === undefined ? ', semantics = excluded.semantics' : ''}`,
        [
          set.name,
          versionOf(set.files),
          JSON.stringify(listed),
          gitCommit ?? null,
          semantics,
          firstServed,
          lastServed,
          alone,
        ],
      );
    });
  }

  async hasServed(name: string, version: string): Promise<boolean> {
    const rows = await this.tables.query(
      `SELECT 1 FROM ${this.versionTable} WHERE policy_set = $1
         AND ((version = $2 AND (alone OR files_version IS NOT NULL)) OR files_version = $2) LIMIT 1`,
      [name, version],
    );
    return rows.length > 0;
  }

  async noteServed(versions: readonly ServedVersion[], at: number): Promise<void> {
    await this.tables.write(
      `UPDATE ${this.versionTable} AS kept SET last_served = greatest(last_served, $1)
       FROM unnest($2::text[], $3::text[]) AS served (name, version)
       WHERE kept.policy_set = served.name AND kept.version = served.version`,
      [at, versions.map(({ name }) => name), versions.map(({ version }) => version)],
    );
  }

  async prune(neededSince: number, newest = newestVersions): Promise<number> {
    let removed = 0;
    for (let step = versionsPerStep; step === versionsPerStep && !this.pruningEnds; removed += step) {
      step = await this.removeVersions(neededSince - replacementMs, newest);
    }
    for (let step = versionsPerStep; step === versionsPerStep && !this.pruningEnds; ) {
      step = await this.removeFiles();
    }
    return removed;
  }

  endPruning(): void {
    this.pruningEnds = true;
  }

  async setState({ name, version, pinnedOver }: ArchivedState, at: number): Promise<void> {
    await this.tables.transaction(async (client) => {
      const [before] = await client.query<{ pinned_over: string | null }>(
        `SELECT pinned_over FROM ${this.setTable} WHERE name = $1`,
        [name],
      );
      // Other replicas are told of rollbacks alone: what their own files say they see themselves.
      const isPin = pinnedOver !== undefined || (before?.pinned_over ?? null) !== null;
      if (isPin) await this.counters.count(client, 'policies');
      await client.query(
        `INSERT INTO ${this.setTable} (name, version, pinned_over) VALUES ($1, $2, $3)
         ON CONFLICT (name) DO UPDATE SET version = excluded.version, pinned_over = excluded.pinned_over, removed = NULL`,
        [name, version, pinnedOver ?? null],
      );
      await client.query(`UPDATE ${this.versionTable} SET last_served = $1 WHERE policy_set = $2 AND version = $3`, [
        at,
        name,
        version,
      ]);
    });
  }

  async setRemoved(name: string, at: number): Promise<void> {
    await this.tables.write(`UPDATE ${this.setTable} SET removed = $1, pinned_over = NULL WHERE name = $2`, [at, name]);
  }

  async states(): Promise<KnownState[]> {
    const rows = await this.tables.query<StateRow>(
      `SELECT name, serving.version, pinned_over, semantics FROM ${this.setTable} AS serving
       LEFT JOIN ${this.versionTable} AS kept ON kept.policy_set = name AND kept.version = serving.version
       WHERE removed IS NULL ORDER BY name COLLATE "C"`,
    );
    return rows.map(toState);
  }

  protected every(limit: number, { name, version }: ServedVersion): Promise<readonly EveryRow[]> {
    return this.tables.query<EveryRow>(
      `SELECT policy_set AS name, version, files_version, data_revision FROM ${this.versionTable}
       WHERE (policy_set COLLATE "C", version COLLATE "C") > ($1, $2)
       ORDER BY policy_set COLLATE "C", version COLLATE "C" LIMIT $3`,
      [name, version, limit],
    );
  }

  protected list(name: string, limit: number, after: string | undefined): Promise<readonly ListedVersion[]> {
    return this.tables.query<ListedVersion>(
      `SELECT version, octet_length(files::text) AS bytes FROM ${this.versionTable}
       WHERE policy_set = $1 AND alone AND ($2::text IS NULL OR (first_served, version COLLATE "C") <
         (SELECT first_served, version COLLATE "C" FROM ${this.versionTable} WHERE policy_set = $1 AND version = $2))
       ORDER BY first_served DESC, version COLLATE "C" DESC LIMIT $3`,
      [name, after ?? null, limit],
    );
  }

  protected async row(name: string, version: string): Promise<VersionRow | undefined> {
    const [row] = await this.tables.query<VersionRow>(
      `SELECT * FROM ${this.versionTable} WHERE policy_set = $1 AND version = $2`,
      [name, version],
    );
    return row;
  }

  /** Another replica may write the same content at the same time: then it is there. */
  private async keepFiles(
    client: PostgresClient,
    files: ReturnType<typeof archivedFilesOf>,
    cipher: ArchiveCipher | undefined,
  ): Promise<void> {
    const values = files.map((_file, n) => `($${3 * n + 1}, $${3 * n + 2}, $${3 * n + 3})`).join(', ');
    const packed = await Promise.all(files.map(({ bytes }) => packFile(bytes)));
    const contents = packed.map((content, n) => {
      const bytes = Buffer.from(content);
      return cipher?.seal(files[n]!.digest, bytes) ?? bytes;
    });
    await client.query(
      `INSERT INTO ${this.fileTable} (digest, size, content) VALUES ${values} ON CONFLICT DO NOTHING`,
      files.flatMap(({ digest, size }, n) => [digest, size, contents[n]!]),
    );
  }

  private removeVersions(endedBefore: number, newest: number): Promise<number> {
    return this.tables.transaction(async (client) => {
      await this.lock(client, 'prune');
      return client.write(
        `DELETE FROM ${this.versionTable} WHERE (policy_set, version) IN (
           SELECT policy_set, version FROM (
             SELECT policy_set, version, row_number() OVER later AS place, lag(last_served) OVER later AS ended
             FROM ${this.versionTable}
             WINDOW later AS (PARTITION BY policy_set ORDER BY last_served DESC, version COLLATE "C")) AS ordered
           WHERE place > $1 AND ended < $2
             AND NOT EXISTS (SELECT FROM ${this.setTable} AS serving
               WHERE serving.name = ordered.policy_set AND serving.version = ordered.version)
             AND NOT EXISTS (SELECT FROM ${this.versionTable} AS based
               WHERE based.policy_set = ordered.policy_set AND based.files_version = ordered.version)
           LIMIT ${versionsPerStep})`,
        [newest, endedBefore],
      );
    });
  }

  /** Removes files that no version names. */
  private removeFiles(): Promise<number> {
    return this.tables.transaction(async (client) => {
      await this.lock(client, 'prune');
      return client.write(
        `DELETE FROM ${this.fileTable} WHERE digest IN (
           SELECT digest FROM ${this.fileTable} EXCEPT
           SELECT file ->> 'digest' FROM ${this.versionTable}, json_array_elements(files) AS file
           LIMIT ${versionsPerStep})`,
      );
    });
  }

  /**
   * Until the transaction ends: many replicas keep versions at once, but none while files are removed, one of which a new
   * version may name.
   */
  private async lock(client: PostgresClient, why: 'keep' | 'prune'): Promise<void> {
    const shared = why === 'keep' ? '_shared' : '';
    await client.query(`SELECT pg_advisory_xact_lock${shared}(hashtextextended($1, 0))`, [this.fileTable]);
  }

  protected async contentOf(digest: string): Promise<Buffer | undefined> {
    const [row] = await this.tables.query<{ content: Buffer }>(
      `SELECT content FROM ${this.fileTable} WHERE digest = $1`,
      [digest],
    );
    if (row === undefined || !isSealed(row.content)) return row?.content;
    return (await this.opening())?.open(digest, row.content);
  }

  /** What decrypts contents; undefined where nobody has begun to encrypt. */
  private async opening(): Promise<ArchiveCipher | undefined> {
    this.cipher ??= await sharedArchiveCipher(this.tables, (name) => this.tables.name(name), this.keys);
    return this.cipher;
  }

  /**
   * What encrypts contents; undefined where nobody has a key.
   *
   * @throws MissingEncryptionKey
   */
  private async sealing(): Promise<ArchiveCipher | undefined> {
    const { keys } = this;
    if (keys === undefined) {
      // Of a start while the server was away; a replica that serves goes on when others begin to encrypt.
      if (!this.isClear) await this.opening();
      this.isClear = true;
      return undefined;
    }
    this.cipher ??= await this.tables.transaction((client) =>
      makeSharedArchiveCipher(client, (name) => this.tables.name(name), keys),
    );
    return this.cipher;
  }
}

function toState({ name, version, pinned_over, semantics }: StateRow): KnownState {
  return {
    name,
    version,
    ...(pinned_over !== null && { pinnedOver: pinned_over }),
    semantics: semantics ?? undefined,
  };
}
