import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { SqliteTurns } from '../../../database/sqlite/sqlite-turns.js';
import { packFiles, unpackFiles } from '../../database/packed-files.js';
import type { RepositoryWatch } from '../../database/policy-repository.js';
import type { PolicySetFiles } from '../../policy-set-files.js';
import {
  type CandidateDifference,
  type CandidateId,
  type DifferenceKind,
  keptDifferences,
  type PolicyCandidate,
  promotionMs,
} from '../candidate.js';
import { CandidateStore, type NewDifference } from '../candidate-store.js';
import {
  type CandidateRow,
  candidateColumns,
  packDifference,
  toCandidate,
  unpackDifference,
  valuesOfCandidate,
} from '../stored-candidate.js';
import { Candidates1764900000000 } from './migrations/1764900000000-candidates.js';

type Value = string | number | Buffer | null;

/** The candidates in the service's SQLite database, which this process alone changes. */
export class SqliteCandidateStore extends CandidateStore {
  private readonly turns: SqliteTurns;
  private look: (() => Promise<void>) | undefined;

  private constructor(readonly connection: SqliteConnection) {
    super();
    this.turns = new SqliteTurns(connection);
  }

  /** `path` is the file of the database; its tables are made when they are not there. */
  static async open(path: string): Promise<SqliteCandidateStore> {
    const migrations = [Candidates1764900000000];
    return new SqliteCandidateStore(await SqliteConnection.open({ path, migrations, busyTimeoutMs: 10_000 }));
  }

  close(): Promise<void> {
    return this.connection.close();
  }

  async all(): Promise<readonly PolicyCandidate[]> {
    const rows = await this.query<CandidateRow>(`SELECT ${candidateColumns} FROM policy_candidate ORDER BY policy_set`);
    return rows.map(toCandidate);
  }

  async files({ policySet, id }: CandidateId): Promise<PolicySetFiles | undefined> {
    const [row] = await this.query<{ content: Buffer }>(
      'SELECT content FROM policy_candidate WHERE policy_set = ? AND id = ?',
      [policySet, id],
    );
    return row && unpackFiles(policySet, row.content);
  }

  async put(candidate: PolicyCandidate, set: PolicySetFiles): Promise<'set' | 'replaced' | 'promoting'> {
    const { content } = await packFiles(set);
    const { policySet, setAt } = candidate;
    return this.changed(async () => {
      if (await this.isThere('policy_set = ? AND NOT', [policySet], setAt)) return 'promoting';
      const before = await this.clear(policySet);
      await this.connection.query(
        `INSERT INTO policy_candidate (${candidateColumns}, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        [...valuesOfCandidate(candidate), content],
      );
      return before ? 'replaced' : 'set';
    });
  }

  take({ policySet, id }: CandidateId, at: number): Promise<boolean> {
    return this.changed(async () => {
      const isFree = await this.isThere(
        `policy_set = ? AND id = ? AND state IN ('running', 'promoting') AND`,
        [policySet, id],
        at,
      );
      if (isFree) await this.setState({ policySet, id }, 'promoting', at);
      return isFree;
    });
  }

  release(id: CandidateId, at: number): Promise<void> {
    return this.changed(() => this.setState(id, 'running', at));
  }

  async finish({ policySet, id }: CandidateId): Promise<void> {
    await this.changed(() => this.clear(policySet, id));
  }

  /** Within a transaction: of a candidate that runs. */
  private async setState({ policySet, id }: CandidateId, state: 'running' | 'promoting', at: number): Promise<void> {
    await this.connection.query(
      `UPDATE policy_candidate SET state = ?, since = ?
       WHERE policy_set = ? AND id = ? AND state IN ('running', 'promoting')`,
      [state, at, policySet, id],
    );
  }

  /** Within a transaction. @param where ends before the condition that it is not being promoted */
  private async isThere(where: string, values: readonly string[], at: number): Promise<boolean> {
    const sql = `SELECT 1 FROM policy_candidate WHERE ${where} (state <> 'promoting' OR since <= ?)`;
    const rows = await this.connection.query(sql, [...values, at - promotionMs]);
    return rows.length > 0;
  }

  settle(
    ...[{ policySet, id }, state, { reason, detail }, at]: Parameters<CandidateStore['settle']>
  ): Promise<boolean> {
    return this.changed(async () => {
      const runs = await this.isThere(
        `policy_set = ? AND id = ? AND state IN ('running', 'promoting') AND`,
        [policySet, id],
        at,
      );
      if (!runs) return false;
      await this.connection.query(
        'UPDATE policy_candidate SET state = ?, reason = ?, detail = ?, since = ? WHERE policy_set = ? AND id = ?',
        [state, reason, detail, at, policySet, id],
      );
      return true;
    });
  }

  remove({ policySet, id }: CandidateId, at: number): Promise<boolean> {
    return this.changed(async () => {
      const isFree = await this.isThere('policy_set = ? AND id = ? AND', [policySet, id], at);
      return isFree && (await this.clear(policySet, id));
    });
  }

  /** Within a transaction: removes the candidate of a set, or the one of this id alone. */
  private async clear(policySet: string, id?: string): Promise<boolean> {
    const there = await this.connection.query(
      'SELECT 1 FROM policy_candidate WHERE policy_set = ?1 AND (?2 IS NULL OR id = ?2)',
      [policySet, id ?? null],
    );
    if (there.length === 0) return false;
    for (const part of ['', '_count', '_difference']) {
      await this.connection.query(`DELETE FROM policy_candidate${part} WHERE policy_set = ?`, [policySet]);
    }
    return true;
  }

  count({ policySet, id }: CandidateId, added: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, number>> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      if (added.size > 0) {
        await this.connection.query(
          `INSERT INTO policy_candidate_count (policy_set, candidate, kind, n)
           SELECT policy_set, candidate.id, added.key, added.value FROM policy_candidate candidate, json_each(?) added
           WHERE policy_set = ? AND candidate.id = ?
           ON CONFLICT DO UPDATE SET n = n + excluded.n`,
          [JSON.stringify(Object.fromEntries(added)), policySet, id],
        );
      }
      const rows = await this.connection.query<{ kind: string; n: number }>(
        'SELECT kind, n FROM policy_candidate_count WHERE policy_set = ? AND candidate = ?',
        [policySet, id],
      );
      return new Map(rows.map(({ kind, n }) => [kind, n]));
    });
  }

  async keep({ policySet, id }: CandidateId, difference: NewDifference): Promise<void> {
    const { digest, kind, clock } = difference;
    await this.query(
      `INSERT OR IGNORE INTO policy_candidate_difference (policy_set, candidate, digest, kind, clock, content)
       SELECT policy_set, id, ?3, ?4, ?5, ?6 FROM policy_candidate WHERE policy_set = ?1 AND id = ?2
         AND (SELECT count(*) FROM policy_candidate_difference
           WHERE policy_set = ?1 AND candidate = ?2 AND kind = ?4) < ${keptDifferences}`,
      [policySet, id, digest, kind, clock, packDifference(difference)],
    );
  }

  async differences({ policySet, id }: CandidateId, kind?: DifferenceKind): Promise<readonly CandidateDifference[]> {
    const rows = await this.query<{ content: string }>(
      `SELECT content FROM policy_candidate_difference WHERE policy_set = ?1 AND candidate = ?2 AND (?3 IS NULL OR kind = ?3)
       ORDER BY kind, clock DESC`,
      [policySet, id, kind ?? null],
    );
    return rows.map(({ content }) => unpackDifference(content));
  }

  /** Nobody else changes the file. */
  watch(look: () => Promise<void>): RepositoryWatch {
    this.look = look;
    const end = () => {
      this.look = undefined;
    };
    return { ageMs: 0, end };
  }

  private async changed<Result>(change: () => Promise<Result>): Promise<Result> {
    const result = await this.turns.transaction('BEGIN IMMEDIATE', change);
    // Not awaited: what looks may be what made the change.
    void this.look?.().catch(() => undefined);
    return result;
  }

  private query<Row extends object>(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    return this.turns.inTurn(() => this.connection.query<Row>(sql, [...values]));
  }
}
