import { randomBytes } from 'node:crypto';
import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { OrderCounts } from '../erasure/erase-group.js';
import { ErasureOrders, type NewErasureOrder, type StoredErasureOrder } from '../erasure/erasure-orders.js';
import type { ErasureOrder } from '../erasure/standing-orders.js';
import { Erasures1764800000040 } from './migrations/1764800000040-erasures.js';

/** The orders in the service's SQLite database. */
export class SqliteErasureOrders extends ErasureOrders {
  private constructor(readonly connection: SqliteConnection) {
    super();
  }

  static async open(path: string): Promise<SqliteErasureOrders> {
    const migrations = [Erasures1764800000040];
    return new SqliteErasureOrders(await SqliteConnection.open({ path, migrations, busyTimeoutMs: 10_000 }));
  }

  async key(): Promise<Buffer> {
    // Of two processes that ask at once, one makes it and both read it.
    await this.connection.query('INSERT OR IGNORE INTO erasure_key (single, key) VALUES (1, ?)', [randomBytes(32)]);
    const [row] = await this.connection.query<{ key: Buffer }>('SELECT key FROM erasure_key');
    return row!.key;
  }

  async add({ id, kind, digest, reason, by, time }: NewErasureOrder): Promise<void> {
    await this.connection.query(
      'INSERT INTO erasure (id, kind, digest, reason, ordered_by, time) VALUES (?, ?, ?, ?, ?, ?)',
      [id, kind, digest, reason, by, time],
    );
  }

  async find(id: string): Promise<StoredErasureOrder | undefined> {
    const [row] = await this.connection.query<StoredErasureOrder>(`${selected} WHERE id = ?`, [id]);
    return row;
  }

  list(limit: number, before?: string): Promise<readonly StoredErasureOrder[]> {
    // Ids are in the order of time.
    return before === undefined
      ? this.connection.query(`${selected} ORDER BY id DESC LIMIT ?`, [limit])
      : this.connection.query(`${selected} WHERE id < ? ORDER BY id DESC LIMIT ?`, [before, limit]);
  }

  async newest(): Promise<number | undefined> {
    const [row] = await this.connection.query<{ time: number | null }>(
      'SELECT max(max(time, coalesce(finished, 0))) AS time FROM erasure',
    );
    return row?.time ?? undefined;
  }

  open(): Promise<readonly ErasureOrder[]> {
    return this.connection.query('SELECT id, time, digest FROM erasure WHERE finished IS NULL ORDER BY id');
  }

  /** Who opens it is that process, or stands beside it. */
  async isAttended(): Promise<boolean> {
    return true;
  }

  async count(id: string, { about, named, held }: OrderCounts, unreadable: number): Promise<void> {
    await this.connection.query(
      `UPDATE erasure SET about = about + ?, named = named + ?, held = ?, unreadable = ? WHERE id = ?`,
      [about, named, held, unreadable, id],
    );
  }

  async finish(id: string, time: number): Promise<void> {
    await this.connection.query('UPDATE erasure SET finished = ? WHERE id = ? AND finished IS NULL', [time, id]);
  }

  async reopen(): Promise<boolean> {
    await this.connection.query('UPDATE erasure SET finished = NULL');
    return true;
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

const selected = `SELECT id, kind, digest, reason, ordered_by AS "by", time, finished, about, named, held, unreadable FROM erasure`;
