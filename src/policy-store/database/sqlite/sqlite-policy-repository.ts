import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { policySetNotFound } from '../../../errors.js';
import { type PolicySetFiles, versionOf } from '../../policy-set-files.js';
import { packFiles, unpackFiles } from '../packed-files.js';
import {
  type ChangeNote,
  type PolicyHead,
  PolicyRepository,
  type RepositoryWatch,
  requireExpected,
  type StoredPolicySet,
} from '../policy-repository.js';
import { type HeadRow, headColumns, toHead } from '../stored-head.js';
import { PolicyHeads1764400000060 } from './migrations/1764400000060-policy-heads.js';
import { SqliteWatch } from './sqlite-watch.js';

/** The policy sets in the service's SQLite database. A command may write them while a service runs. */
export class SqlitePolicyRepository extends PolicyRepository {
  private constructor(readonly connection: SqliteConnection) {
    super();
  }

  /** `path` is the file of the database; its tables are made when they are not there. */
  static async open(path: string): Promise<SqlitePolicyRepository> {
    const migrations = [PolicyHeads1764400000060];
    return new SqlitePolicyRepository(await SqliteConnection.open({ path, migrations, busyTimeoutMs: 10_000 }));
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  async heads(): Promise<readonly PolicyHead[]> {
    const rows = await this.connection.query<HeadRow>(
      `SELECT ${headColumns} FROM policy_head WHERE version IS NOT NULL ORDER BY name`,
    );
    return rows.map(toHead);
  }

  async read(name: string): Promise<StoredPolicySet | undefined> {
    const [row] = await this.connection.query<HeadRow & { content: Buffer }>(
      `SELECT ${headColumns}, content FROM policy_head WHERE name = ? AND version IS NOT NULL`,
      [name],
    );
    return row === undefined ? undefined : { head: toHead(row), set: await unpackFiles(name, row.content) };
  }

  async lastRevision(name: string): Promise<number | undefined> {
    const [row] = await this.connection.query<{ revision: number }>('SELECT revision FROM policy_head WHERE name = ?', [
      name,
    ]);
    return row?.revision;
  }

  async write(set: PolicySetFiles, note: ChangeNote & { readonly gitCommit?: string | undefined }): Promise<number> {
    const { content, digest } = await packFiles(set);
    return this.change(set.name, async (before) => {
      requireExpected(set.name, before?.version == null ? undefined : before.revision, note.expected);
      if (before?.digest === digest && before.pinned === null) return before.revision;
      const values = [versionOf(set.files), digest, note.gitCommit ?? null, note.at, note.by, content];
      if (before === undefined) {
        return this.changed(
          `INSERT INTO policy_head (name, revision, version, digest, git_commit, changed, changed_by, content)
           VALUES (?, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING revision`,
          [set.name, ...values],
        );
      }
      return this.changed(
        `UPDATE policy_head SET revision = revision + 1, pinned = NULL, version = ?, digest = ?, git_commit = ?,
           changed = ?, changed_by = ?, content = ? WHERE name = ? AND revision = ? RETURNING revision`,
        [...values, set.name, before.revision],
      );
    });
  }

  pin(name: string, version: string | undefined, { by, at }: Omit<ChangeNote, 'expected'>): Promise<number> {
    return this.change(name, async (before) => {
      if (before?.version == null) throw policySetNotFound(name);
      const pinned = version === before.version ? null : (version ?? null);
      if (before.pinned === pinned) return before.revision;
      return this.changed(
        `UPDATE policy_head SET revision = revision + 1, pinned = ?, changed = ?, changed_by = ?
         WHERE name = ? AND revision = ? RETURNING revision`,
        [pinned, at, by, name, before.revision],
      );
    });
  }

  async remove(name: string, { expected, by, at }: ChangeNote): Promise<void> {
    await this.change(name, async (before) => {
      if (before?.version == null) throw policySetNotFound(name);
      requireExpected(name, before.revision, expected);
      return this.changed(
        `UPDATE policy_head SET revision = revision + 1, version = NULL, digest = NULL, pinned = NULL,
           git_commit = NULL, content = NULL, changed = ?, changed_by = ?
         WHERE name = ? AND revision = ? RETURNING revision`,
        [at, by, name, before.revision],
      );
    });
  }

  watch(look: () => Promise<void>): RepositoryWatch {
    return new SqliteWatch(this.connection, look);
  }

  /**
   * Each change is one statement that holds for the revision that was read before it; where another process came between,
   * it is made anew.
   */
  private async change(
    name: string,
    work: (before: HeadRow | undefined) => Promise<number | undefined>,
  ): Promise<number> {
    for (;;) {
      const [before] = await this.connection.query<HeadRow>(`SELECT ${headColumns} FROM policy_head WHERE name = ?`, [
        name,
      ]);
      const revision = await work(before);
      if (revision !== undefined) return revision;
    }
  }

  /** The revision that a statement made; undefined where another process changed the set first. */
  private async changed(
    sql: string,
    values: readonly (string | number | Buffer | null)[],
  ): Promise<number | undefined> {
    // TypeORM drops the rows of what begins with INSERT or UPDATE.
    const [row] = await this.connection.query<{ revision: number }>(`WITH one AS (SELECT 1) ${sql}`, values);
    return row?.revision;
  }
}
