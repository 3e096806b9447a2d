import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { SqliteTurns } from '../../../database/sqlite/sqlite-turns.js';
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
import { PolicyHeads1764400000060 } from './migrations/1764400000060-policy-heads.js';
import { PolicyRevisions1764400000061 } from './migrations/1764400000061-policy-revisions.js';
import { SqliteSetRevisions } from './sqlite-set-revisions.js';
import { SqliteWatch } from './sqlite-watch.js';

/** The tables of policy sets in the database, which live data needs too: what changes takes its revision from one row. */
export const policyMigrations = [PolicyHeads1764400000060, PolicyRevisions1764400000061] as const;

/** The policy sets in the service's SQLite database. A command may write them while a service runs. */
export class SqlitePolicyRepository extends PolicyRepository {
  private readonly turns: SqliteTurns;
  private readonly numbers: SqliteSetRevisions;

  private constructor(readonly connection: SqliteConnection) {
    super();
    this.turns = new SqliteTurns(connection);
    this.numbers = new SqliteSetRevisions(connection);
  }

  /** `path` is the file of the database; its tables are made when they are not there. */
  static async open(path: string): Promise<SqlitePolicyRepository> {
    const migrations = [...policyMigrations];
    return new SqlitePolicyRepository(await SqliteConnection.open({ path, migrations, busyTimeoutMs: 10_000 }));
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  async heads(): Promise<readonly PolicyHead[]> {
    const rows = await this.query<HeadRow>(
      `SELECT ${headColumns} FROM policy_head WHERE version IS NOT NULL ORDER BY name`,
    );
    return rows.map(toHead);
  }

  async read(name: string): Promise<StoredPolicySet | undefined> {
    const [row] = await this.query<HeadRow & { content: Buffer }>(
      `SELECT ${headColumns}, content FROM policy_head WHERE name = ? AND version IS NOT NULL`,
      [name],
    );
    return row === undefined ? undefined : { head: toHead(row), set: await unpackFiles(name, row.content) };
  }

  async lastRevision(name: string): Promise<number | undefined> {
    return lastRevisionOf(await this.turns.inTurn(() => this.numbers.read(name))) || undefined;
  }

  async revisions(name: string): Promise<SetRevisions | undefined> {
    const [row] = await this.query<SetRevisions>(
      'SELECT files, data FROM policy_revision JOIN policy_head USING (name) WHERE name = ? AND version IS NOT NULL',
      [name],
    );
    return row;
  }

  async write(set: PolicySetFiles, note: WriteNote): Promise<number> {
    const { content, digest } = await packFiles(set);
    return this.change(set.name, async (before, revisions) => {
      requireExpected(set.name, before?.version == null ? undefined : revisions, note.expected);
      requireSameData(set.name, revisions, note);
      if (before?.digest === digest && before.pinned === null) return lastRevisionOf(revisions);
      const revision = await this.numbers.raise(set.name, 'files');
      await this.connection.query(
        `INSERT INTO policy_head (name, revision, version, digest, git_commit, changed, changed_by, content)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, version = excluded.version,
           digest = excluded.digest, pinned = NULL, git_commit = excluded.git_commit, changed = excluded.changed,
           changed_by = excluded.changed_by, content = excluded.content`,
        [set.name, revision, versionOf(set.files), digest, note.gitCommit ?? null, note.at, note.by, content],
      );
      return revision;
    });
  }

  pin(name: string, version: string | undefined, { expected = 'any', by, at }: PinNote): Promise<number> {
    return this.change(name, async (before, revisions) => {
      if (before?.version == null) throw policySetNotFound(name);
      requireExpected(name, revisions, expected);
      const pinned = version === before.version ? null : (version ?? null);
      if (before.pinned === pinned) return before.revision;
      const revision = await this.numbers.raise(name, 'files');
      await this.connection.query(
        'UPDATE policy_head SET revision = ?, pinned = ?, changed = ?, changed_by = ? WHERE name = ?',
        [revision, pinned, at, by, name],
      );
      return revision;
    });
  }

  remove(name: string, { expected, by, at }: ChangeNote): Promise<number> {
    return this.change(name, async (before, revisions) => {
      if (before?.version == null) throw policySetNotFound(name);
      requireExpected(name, revisions, expected);
      const revision = await this.numbers.raise(name, 'files');
      await this.connection.query(
        `UPDATE policy_head SET revision = ?, version = NULL, digest = NULL, pinned = NULL,
           git_commit = NULL, content = NULL, changed = ?, changed_by = ? WHERE name = ?`,
        [revision, at, by, name],
      );
      return revision;
    });
  }

  watch(look: () => Promise<void>): RepositoryWatch {
    return new SqliteWatch((sql) => this.query(sql), look);
  }

  private query<Row extends object>(
    sql: string,
    values: readonly (string | number | Buffer | null)[] = [],
  ): Promise<Row[]> {
    return this.turns.inTurn(() => this.connection.query<Row>(sql, values));
  }

  private change<Result>(
    name: string,
    work: (before: HeadRow | undefined, revisions: SetRevisions) => Promise<Result>,
  ): Promise<Result> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const [before] = await this.connection.query<HeadRow>(`SELECT ${headColumns} FROM policy_head WHERE name = ?`, [
        name,
      ]);
      return work(before, await this.numbers.read(name));
    });
  }
}
