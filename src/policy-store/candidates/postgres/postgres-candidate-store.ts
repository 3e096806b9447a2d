import { ChangeCounters } from '../../../database/postgres/change-counters.js';
import type { ChangeFeed } from '../../../database/postgres/change-feed.js';
import type { PostgresClient } from '../../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../../database/postgres/postgres-tables.js';
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
import { candidateTables } from './migrations/1764900000000-candidates.js';

/** That a candidate runs, and nobody has it to promote it. */
const free = `(state = 'running' OR (state = 'promoting' AND since <= $4))`;

/** The candidates of all replicas, in PostgreSQL. */
export class PostgresCandidateStore extends CandidateStore {
  private readonly tables: PostgresTables;
  private readonly counters: ChangeCounters;
  private readonly table: string;
  private readonly countTable: string;
  private readonly differenceTable: string;

  private constructor(
    database: PostgresDatabase,
    private readonly feed: ChangeFeed | undefined,
  ) {
    super();
    this.counters = new ChangeCounters(database);
    this.tables = new PostgresTables(database, 'candidates', [candidateTables], this.counters.tables);
    this.table = this.tables.name('policy_candidate');
    this.countTable = this.tables.name('policy_candidate_count');
    this.differenceTable = this.tables.name('policy_candidate_difference');
  }

  /**
   * The tables are made when they are not there; while the server is away, when it is back.
   *
   * @param feed tells of changes, where somebody watches
   */
  static async open(database: PostgresDatabase, feed?: ChangeFeed): Promise<PostgresCandidateStore> {
    const store = new PostgresCandidateStore(database, feed);
    await store.tables.prepare();
    return store;
  }

  /** The database is closed by its owner. */
  async close(): Promise<void> {}

  async all(): Promise<readonly PolicyCandidate[]> {
    const rows = await this.tables.query<CandidateRow>(
      `SELECT ${candidateColumns} FROM ${this.table} ORDER BY policy_set COLLATE "C"`,
    );
    return rows.map(toCandidate);
  }

  async files({ policySet, id }: CandidateId): Promise<PolicySetFiles | undefined> {
    const [row] = await this.tables.query<{ content: Buffer }>(
      `SELECT content FROM ${this.table} WHERE policy_set = $1 AND id = $2`,
      [policySet, id],
    );
    return row && unpackFiles(policySet, row.content);
  }

  async put(candidate: PolicyCandidate, set: PolicySetFiles): Promise<'set' | 'replaced' | 'promoting'> {
    const { content } = await packFiles(set);
    const { policySet, setAt } = candidate;
    return this.change(async (client) => {
      const taken = await client.query(
        `SELECT 1 FROM ${this.table} WHERE policy_set = $1 AND state = 'promoting' AND since > $2`,
        [policySet, setAt - promotionMs],
      );
      if (taken.length > 0) return 'promoting';
      const before = await this.clear(client, 'policy_set = $1', [policySet]);
      await client.query(
        `INSERT INTO ${this.table} (${candidateColumns}, content)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
        [...valuesOfCandidate(candidate), content],
      );
      return before ? 'replaced' : 'set';
    });
  }

  take({ policySet, id }: CandidateId, at: number): Promise<boolean> {
    return this.change(async (client) => {
      const rows = await client.query(
        `UPDATE ${this.table} SET state = 'promoting', since = $1 WHERE policy_set = $2 AND id = $3 AND ${free} RETURNING id`,
        [at, policySet, id, at - promotionMs],
      );
      return rows.length > 0;
    });
  }

  release({ policySet, id }: CandidateId, at: number): Promise<void> {
    return this.change(async (client) => {
      await client.query(
        `UPDATE ${this.table} SET state = 'running', since = $1 WHERE policy_set = $2 AND id = $3 AND state = 'promoting'`,
        [at, policySet, id],
      );
    });
  }

  async finish({ policySet, id }: CandidateId): Promise<void> {
    await this.change((client) => this.clear(client, 'policy_set = $1 AND id = $2', [policySet, id]));
  }

  settle(
    ...[{ policySet, id }, state, { reason, detail }, at]: Parameters<CandidateStore['settle']>
  ): Promise<boolean> {
    return this.change(async (client) => {
      const rows = await client.query(
        `UPDATE ${this.table} SET state = $5, reason = $6, detail = $7, since = $1
         WHERE policy_set = $2 AND id = $3 AND ${free} RETURNING id`,
        [at, policySet, id, at - promotionMs, state, reason, detail],
      );
      return rows.length > 0;
    });
  }

  remove({ policySet, id }: CandidateId, at: number): Promise<boolean> {
    const isFree = `(state <> 'promoting' OR since <= $3)`;
    return this.change((client) =>
      this.clear(client, `policy_set = $1 AND id = $2 AND ${isFree}`, [policySet, id, at - promotionMs]),
    );
  }

  private async clear(client: PostgresClient, where: string, values: readonly (string | number)[]): Promise<boolean> {
    const rows = await client.query<{ policy_set: string }>(
      `DELETE FROM ${this.table} WHERE ${where} RETURNING policy_set`,
      values,
    );
    for (const { policy_set } of rows) {
      for (const table of [this.countTable, this.differenceTable]) {
        await client.query(`DELETE FROM ${table} WHERE policy_set = $1`, [policy_set]);
      }
    }
    return rows.length > 0;
  }

  async count(
    { policySet, id }: CandidateId,
    added: ReadonlyMap<string, number>,
  ): Promise<ReadonlyMap<string, number>> {
    // In one order, or two replicas could wait for each other.
    const inOrder = [...added].sort(([a], [b]) => (a < b ? -1 : 1));
    if (inOrder.length > 0) {
      await this.tables.write(
        `INSERT INTO ${this.countTable} AS counted (policy_set, candidate, kind, n)
         SELECT policy_set, id, added.kind, added.n FROM ${this.table}, unnest($3::text[], $4::int8[]) AS added (kind, n)
         WHERE policy_set = $1 AND id = $2 ORDER BY added.kind
         ON CONFLICT (policy_set, candidate, kind) DO UPDATE SET n = counted.n + excluded.n`,
        [policySet, id, inOrder.map(([kind]) => kind), inOrder.map(([, n]) => n)],
      );
    }
    const rows = await this.tables.query<{ kind: string; n: number }>(
      `SELECT kind, n FROM ${this.countTable} WHERE policy_set = $1 AND candidate = $2`,
      [policySet, id],
    );
    return new Map(rows.map(({ kind, n }) => [kind, n]));
  }

  /** Replicas that keep one at the same time may keep some more than `keptDifferences`. */
  async keep({ policySet, id }: CandidateId, difference: NewDifference): Promise<void> {
    const { digest, kind, clock } = difference;
    await this.tables.write(
      `INSERT INTO ${this.differenceTable} (policy_set, candidate, digest, kind, clock, content)
       SELECT policy_set, id, $3, $4, $5, $6 FROM ${this.table} WHERE policy_set = $1 AND id = $2
         AND (SELECT count(*) FROM ${this.differenceTable} AS kept
           WHERE kept.policy_set = $1 AND kept.candidate = $2 AND kept.kind = $4) < ${keptDifferences}
       ON CONFLICT DO NOTHING`,
      [policySet, id, digest, kind, clock, packDifference(difference)],
    );
  }

  async differences({ policySet, id }: CandidateId, kind?: DifferenceKind): Promise<readonly CandidateDifference[]> {
    const rows = await this.tables.query<{ content: string }>(
      `SELECT content FROM ${this.differenceTable}
       WHERE policy_set = $1 AND candidate = $2 AND ($3::text IS NULL OR kind = $3) ORDER BY kind, clock DESC`,
      [policySet, id, kind ?? null],
    );
    return rows.map(({ content }) => unpackDifference(content));
  }

  watch(look: () => Promise<void>): RepositoryWatch {
    if (this.feed === undefined) throw new Error('a store that is opened without the feed of changes has no watch');
    return this.feed.subscribe('policies', look);
  }

  /** Counts the change first: replicas change candidates one after another, and hear of it when it is committed. */
  private change<Result>(work: (client: PostgresClient) => Promise<Result>): Promise<Result> {
    return this.tables.transaction(async (client) => {
      await this.counters.count(client, 'policies');
      return work(client);
    });
  }
}
