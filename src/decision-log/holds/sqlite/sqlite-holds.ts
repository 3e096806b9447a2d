import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { SqliteTurns } from '../../../database/sqlite/sqlite-turns.js';
import type { Hold, NewHold } from '../hold.js';
import { Holds, holdNotFound, mostHolds, mostReleased, tooManyHolds } from '../holds.js';
import { type HoldRow, holdColumns, holdOfRow, newHold, valuesOf } from '../stored-hold.js';
import { Holds1764800000000 } from './migrations/1764800000000-holds.js';

/** The holds in the service's SQLite database, which commands may change while the service runs. */
export class SqliteHolds extends Holds {
  /** While a transaction lasts, no other process writes to the database either. */
  private readonly turns: SqliteTurns;

  private constructor(readonly connection: SqliteConnection) {
    super();
    this.turns = new SqliteTurns(connection);
  }

  /** `path` is the file of the database; the table is made when it is not there. */
  static async open(path: string): Promise<SqliteHolds> {
    return new SqliteHolds(
      await SqliteConnection.open({ path, migrations: [Holds1764800000000], busyTimeoutMs: 10_000 }),
    );
  }

  add(hold: NewHold, now: number): Promise<Hold> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const added = newHold(hold, now);
      const [row] = await this.connection.query<{ n: number }>(
        'SELECT count(*) AS n FROM decision_hold WHERE released IS NULL',
      );
      if (row!.n >= mostHolds) throw tooManyHolds();
      await this.connection.query(
        `INSERT INTO decision_hold (${holdColumns}) VALUES (?, ?, ?, ?, ?, ?, ?)`,
        valuesOf(added),
      );
      return added;
    });
  }

  async list(): Promise<readonly Hold[]> {
    const inForce = await this.connection.query<HoldRow>(
      'SELECT * FROM decision_hold WHERE released IS NULL ORDER BY place DESC',
    );
    const released = await this.connection.query<HoldRow>(
      'SELECT * FROM decision_hold WHERE released IS NOT NULL ORDER BY place DESC LIMIT ?',
      [mostReleased],
    );
    return [...inForce, ...released].map(holdOfRow);
  }

  async find(id: string): Promise<Hold> {
    const [row] = await this.connection.query<HoldRow>('SELECT * FROM decision_hold WHERE id = ?', [id]);
    if (row === undefined) throw holdNotFound(id);
    return holdOfRow(row);
  }

  release(id: string, by: string, now: number): Promise<Hold> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const hold = await this.find(id);
      if (hold.released !== undefined) throw holdNotFound(id, ' in force');
      const released = 'UPDATE decision_hold SET released = ?, released_by = ? WHERE id = ?';
      await this.connection.query(released, [now, by, id]);
      // What it kept from erasure is erased now.
      const orders = await this.connection.query(`SELECT 1 FROM sqlite_master WHERE name = 'erasure'`);
      if (orders.length > 0) {
        const again = 'UPDATE erasure SET finished = NULL, held = 0 WHERE time >= ?';
        await this.connection.query(again, [hold.from ?? 0]);
      }
      return { ...hold, released: now, releasedBy: by };
    });
  }

  async inForce(): Promise<readonly Hold[]> {
    const rows = await this.connection.query<HoldRow>('SELECT * FROM decision_hold WHERE released IS NULL');
    return rows.map(holdOfRow);
  }

  guard<Result>(remove: (inForce: readonly Hold[]) => Promise<Result>): Promise<Result> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => remove(await this.inForce()));
  }

  close(): Promise<void> {
    return this.turns.inTurn(() => this.connection.close());
  }
}
