import type { PostgresClient, PostgresStatements } from '../../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../../database/postgres/postgres-tables.js';
import type { Hold, NewHold } from '../hold.js';
import { Holds, holdNotFound, mostHolds, mostReleased, tooManyHolds } from '../holds.js';
import { type HoldRow, holdColumns, holdOfRow, newHold, valuesOf } from '../stored-hold.js';
import { holdTable } from './migrations/1764800000000-holds.js';

/** Longest wait of who adds or releases a hold for a removal that runs, and of a removal for others, in milliseconds. */
const changeWaitMs = 50_000;
const removalWaitMs = 5_000;
/** A transaction in which nothing is asked for long is ended by the server. */
const pingMs = 4_000;

/** The holds of all replicas, in PostgreSQL. */
export class PostgresHolds extends Holds {
  private readonly table: string;

  private constructor(
    private readonly tables: PostgresTables,
    private readonly schema: string,
  ) {
    super();
    this.table = tables.name('decision_hold');
  }

  /** The table is made when it is not there; while the server is away, when it is back. */
  static async open(database: PostgresDatabase): Promise<PostgresHolds> {
    const tables = new PostgresTables(database, 'holds', [holdTable]);
    await tables.prepare();
    return new PostgresHolds(tables, database.schema);
  }

  add(hold: NewHold, now: number): Promise<Hold> {
    return this.change(async (client) => {
      const added = newHold(hold, now);
      const inForce = `SELECT count(*)::int4 AS n FROM ${this.table} WHERE released IS NULL`;
      const [row] = await client.query<{ n: number }>(inForce);
      if (row!.n >= mostHolds) throw tooManyHolds();
      await client.query(`INSERT INTO ${this.table} (${holdColumns}) VALUES ($1, $2, $3, $4, $5, $6, $7)`, [
        ...valuesOf(added),
      ]);
      return added;
    });
  }

  async list(): Promise<readonly Hold[]> {
    const rows = await this.tables.query<HoldRow>(
      `SELECT * FROM ((SELECT * FROM ${this.table} WHERE released IS NULL)
         UNION ALL (SELECT * FROM ${this.table} WHERE released IS NOT NULL ORDER BY place DESC LIMIT $1)) h
       ORDER BY (released IS NOT NULL), place DESC`,
      [mostReleased],
    );
    return rows.map(holdOfRow);
  }

  async find(id: string): Promise<Hold> {
    const [row] = await this.tables.query<HoldRow>(`SELECT * FROM ${this.table} WHERE id = $1`, [id]);
    if (row === undefined) throw holdNotFound(id);
    return holdOfRow(row);
  }

  release(id: string, by: string, now: number): Promise<Hold> {
    return this.change(async (client) => {
      const [row] = await client.query<HoldRow>(
        `UPDATE ${this.table} SET released = $2, released_by = $3 WHERE id = $1 AND released IS NULL RETURNING *`,
        [id, now, by],
      );
      if (row !== undefined) {
        await this.eraseAgain(client, row.from_time ?? 0);
        return holdOfRow(row);
      }
      const [known] = await client.query(`SELECT FROM ${this.table} WHERE id = $1`, [id]);
      throw holdNotFound(id, known === undefined ? '' : ' in force');
    });
  }

  /** What a hold kept from erasure is erased when it is released, by all replicas. */
  private async eraseAgain(client: PostgresClient, from: number): Promise<void> {
    const [orders, done] = ['erasure', 'erasure_done'].map((name) => this.tables.name(name));
    const [there] = await client.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [orders!]);
    if (!there!.there) return;
    await client.write(`UPDATE ${orders} SET shared = NULL, held = 0 WHERE time >= $1`, [from]);
    await client.write(`DELETE FROM ${done} d USING ${orders} e WHERE e.id = d.erasure AND e.time >= $1`, [from]);
  }

  inForce(): Promise<readonly Hold[]> {
    return this.readInForce(this.tables);
  }

  guard<Result>(remove: (inForce: readonly Hold[]) => Promise<Result>): Promise<Result> {
    return this.tables.transaction(
      async (client) => {
        await this.lock(client);
        const inForce = await this.readInForce(client);
        // What is removed is removed on another connection, so that this one is idle meanwhile.
        const ping = setInterval(() => void client.query('SELECT').catch(() => undefined), pingMs);
        try {
          return await remove(inForce);
        } finally {
          clearInterval(ping);
        }
      },
      { lockTimeoutMs: removalWaitMs },
    );
  }

  /** The database is closed by its owner. */
  async close(): Promise<void> {}

  private change<Result>(work: (client: PostgresClient) => Promise<Result>): Promise<Result> {
    return this.tables.transaction(
      async (client) => {
        await this.lock(client);
        return work(client);
      },
      { lockTimeoutMs: changeWaitMs, statementTimeoutMs: changeWaitMs },
    );
  }

  private async lock(client: PostgresClient): Promise<void> {
    await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`verdict holds of ${this.schema}`]);
  }

  private async readInForce(statements: PostgresStatements): Promise<Hold[]> {
    return (await statements.query<HoldRow>(`SELECT * FROM ${this.table} WHERE released IS NULL`)).map(holdOfRow);
  }
}
