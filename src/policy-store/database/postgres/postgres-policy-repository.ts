import { ChangeCounters } from '../../../database/postgres/change-counters.js';
import type { ChangeFeed } from '../../../database/postgres/change-feed.js';
import type { PostgresClient } from '../../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../../database/postgres/postgres-tables.js';
import { policySetNotFound } from '../../../errors.js';
import { type PolicySetFiles, versionOf } from '../../policy-set-files.js';
import { lastRevisionOf, type SetRevisions } from '../../set-revisions.js';
import { packFiles, unpackFiles } from '../packed-files.js';
import {
  type ChangeNote,
  type PinNote,
  type PolicyHead,
  PolicyRepository,
  type RepositoryWatch,
  requireExpected,
  requireSameData,
  type StoredPolicySet,
  type WriteNote,
} from '../policy-repository.js';
import { type HeadRow, headColumns, toHead } from '../stored-head.js';
import { policyHeadTable } from './migrations/1764400000060-policy-heads.js';
import { policyRevisionTable } from './migrations/1764400000061-policy-revisions.js';
import { PostgresSetRevisions } from './postgres-set-revisions.js';

/** The policy sets of all replicas, in PostgreSQL. */
export class PostgresPolicyRepository extends PolicyRepository {
  private readonly tables: PostgresTables;
  private readonly counters: ChangeCounters;
  private readonly numbers: PostgresSetRevisions;
  private readonly table: string;

  private constructor(
    database: PostgresDatabase,
    private readonly feed: ChangeFeed | undefined,
  ) {
    super();
    this.counters = new ChangeCounters(database);
    this.tables = policyTables(database, this.counters);
    this.numbers = new PostgresSetRevisions(this.tables);
    this.table = this.tables.name('policy_head');
  }

  /**
   * The tables are made when they are not there; while the server is away, when it is back.
   *
   * @param feed tells of changes, where somebody watches
   */
  static async open(database: PostgresDatabase, feed?: ChangeFeed): Promise<PostgresPolicyRepository> {
    const repository = new PostgresPolicyRepository(database, feed);
    await repository.tables.prepare();
    return repository;
  }

  async heads(): Promise<readonly PolicyHead[]> {
    const rows = await this.tables.query<HeadRow>(
      `SELECT ${headColumns} FROM ${this.table} WHERE version IS NOT NULL ORDER BY name COLLATE "C"`,
    );
    return rows.map(toHead);
  }

  async read(name: string): Promise<StoredPolicySet | undefined> {
    const [row] = await this.tables.query<HeadRow & { content: Buffer }>(
      `SELECT ${headColumns}, content FROM ${this.table} WHERE name = $1 AND version IS NOT NULL`,
      [name],
    );
    return row === undefined ? undefined : { head: toHead(row), set: await unpackFiles(name, row.content) };
  }

  async lastRevision(name: string): Promise<number | undefined> {
    return lastRevisionOf(await this.numbers.read(this.tables, name)) || undefined;
  }

  async revisions(name: string): Promise<SetRevisions | undefined> {
    const [row] = await this.tables.query<SetRevisions>(
      `SELECT files, data FROM ${this.numbers.table} JOIN ${this.table} USING (name) WHERE name = $1 AND version IS NOT NULL`,
      [name],
    );
    return row;
  }

  async write(set: PolicySetFiles, note: WriteNote): Promise<number> {
    const { content, digest } = await packFiles(set);
    return this.change(set.name, async (client, before, revisions) => {
      requireExpected(set.name, before?.version == null ? undefined : revisions, note.expected);
      requireSameData(set.name, revisions, note);
      if (before?.digest === digest && before.pinned === null) return lastRevisionOf(revisions);
      const revision = await this.numbers.raise(client, set.name, 'files');
      await client.query(
        `INSERT INTO ${this.table} (name, revision, version, digest, git_commit, changed, changed_by, content)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, version = excluded.version,
           digest = excluded.digest, pinned = NULL, git_commit = excluded.git_commit, changed = excluded.changed,
           changed_by = excluded.changed_by, content = excluded.content`,
        [set.name, revision, versionOf(set.files), digest, note.gitCommit ?? null, note.at, note.by, content],
      );
      return revision;
    });
  }

  pin(name: string, version: string | undefined, { expected = 'any', by, at }: PinNote): Promise<number> {
    return this.change(name, async (client, before, revisions) => {
      if (before?.version == null) throw policySetNotFound(name);
      requireExpected(name, revisions, expected);
      const pinned = version === before.version ? null : (version ?? null);
      if (before.pinned === pinned) return before.revision;
      const revision = await this.numbers.raise(client, name, 'files');
      await client.query(
        `UPDATE ${this.table} SET revision = $1, pinned = $2, changed = $3, changed_by = $4 WHERE name = $5`,
        [revision, pinned, at, by, name],
      );
      return revision;
    });
  }

  remove(name: string, { expected, by, at }: ChangeNote): Promise<number> {
    return this.change(name, async (client, before, revisions) => {
      if (before?.version == null) throw policySetNotFound(name);
      requireExpected(name, revisions, expected);
      const revision = await this.numbers.raise(client, name, 'files');
      await client.query(
        `UPDATE ${this.table} SET revision = $1, version = NULL, digest = NULL, pinned = NULL,
           git_commit = NULL, content = NULL, changed = $2, changed_by = $3 WHERE name = $4`,
        [revision, at, by, name],
      );
      return revision;
    });
  }

  watch(look: () => Promise<void>): RepositoryWatch {
    if (this.feed === undefined)
      throw new Error('a repository that is opened without the feed of changes has no watch');
    return this.feed.subscribe('policies', look);
  }

  /** The database is closed by its owner. */
  async close(): Promise<void> {}

  /** Counts the change first: that row is locked until the end, so replicas change sets one after another. */
  private change<Result>(
    name: string,
    work: (client: PostgresClient, before: HeadRow | undefined, revisions: SetRevisions) => Promise<Result>,
  ): Promise<Result> {
    return this.tables.transaction(async (client) => {
      await this.counters.count(client, 'policies');
      const [before] = await client.query<HeadRow>(`SELECT ${headColumns} FROM ${this.table} WHERE name = $1`, [name]);
      return work(client, before, await this.numbers.read(client, name));
    });
  }
}

/** The tables of policy sets in the database, which live data needs too: what changes takes its revision from one row. */
export function policyTables(database: PostgresDatabase, counters: ChangeCounters): PostgresTables {
  return new PostgresTables(database, 'policies', [policyHeadTable, policyRevisionTable], counters.tables);
}
