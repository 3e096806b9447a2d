import { randomBytes } from 'node:crypto';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../database/postgres/postgres-tables.js';
import type { ErasureCounts, OrderCounts } from '../erasure/erase-group.js';
import { ErasureOrders, type NewErasureOrder, type StoredErasureOrder } from '../erasure/erasure-orders.js';
import { type AllOrders, type ErasureOrder, StandingOrders } from '../erasure/standing-orders.js';
import { sharedLogMigrations } from './shared-migrations.js';
import { silentMs } from './writers.js';

type Row = Omit<StoredErasureOrder, 'finished' | 'waitingFor'> & {
  readonly shared: number | null;
  readonly done: number | null;
  readonly waiting: readonly string[];
};

/** The orders of all replicas, in PostgreSQL. */
export class PostgresErasureOrders extends ErasureOrders {
  private readonly tables: PostgresTables;

  /** @param writer the number of this replica's journal in the shared log; undefined where it has none or does not know it yet */
  constructor(
    database: PostgresDatabase,
    private readonly writer: () => number | undefined = () => undefined,
  ) {
    super();
    this.tables = new PostgresTables(database, 'decision-log', sharedLogMigrations);
  }

  async key(): Promise<Buffer> {
    const { tables } = this;
    await tables.write(`INSERT INTO ${tables.name('erasure_key')} (key) VALUES ($1) ON CONFLICT DO NOTHING`, [
      randomBytes(32),
    ]);
    const [row] = await tables.query<{ key: Buffer }>(`SELECT key FROM ${tables.name('erasure_key')}`);
    return row!.key;
  }

  async add({ id, kind, digest, reason, by, time }: NewErasureOrder): Promise<void> {
    const { tables } = this;
    await tables.transaction(async (client) => {
      await client.write(
        `INSERT INTO ${tables.name('erasure')} (id, kind, digest, reason, ordered_by, time) VALUES ($1, $2, $3, $4, $5, $6)`,
        [id, kind, digest, reason, by, time],
      );
      // In one order, so that two at once do not wait for each other.
      await client.query(`SELECT FROM ${tables.name('decision_writer')} ORDER BY writer FOR UPDATE`);
      await client.write(`UPDATE ${tables.name('decision_writer')} SET orders = orders + 1`);
    });
  }

  async find(id: string): Promise<StoredErasureOrder | undefined> {
    const [row] = await this.tables.query<Row>(`${this.selected} WHERE e.id = $1`, [id]);
    return row && stored(row);
  }

  async list(limit: number, before?: string): Promise<readonly StoredErasureOrder[]> {
    const rows = await this.tables.query<Row>(
      `${this.selected} WHERE $2::text IS NULL OR e.id < $2 ORDER BY e.id DESC LIMIT $1`,
      [limit, before ?? null],
    );
    return rows.map(stored);
  }

  async newest(): Promise<number | undefined> {
    const { tables } = this;
    const [row] = await tables.query<{ time: number | null }>(
      `SELECT greatest(max(time), max(shared), (SELECT max(time) FROM ${tables.name('erasure_done')})) AS time
       FROM ${tables.name('erasure')}`,
    );
    return row?.time ?? undefined;
  }

  open(): Promise<readonly ErasureOrder[]> {
    const { tables } = this;
    return tables.query(
      `SELECT id, time, digest FROM ${tables.name('erasure')} e WHERE shared IS NULL OR $1::int IS NOT NULL AND NOT EXISTS (
         SELECT FROM ${tables.name('erasure_done')} d WHERE d.erasure = e.id AND d.writer = $1) ORDER BY id`,
      [this.writer() ?? null],
    );
  }

  /** All that there are. The number comes first: an order that is made in between is then known, and demanded of nobody. */
  async all(): Promise<AllOrders> {
    const { tables } = this;
    const orders = await tables.query<ErasureOrder>(`SELECT id, time, digest FROM ${tables.name('erasure')}`);
    if (orders.length === 0) return { standing: new StandingOrders(Buffer.alloc(0), []), count: 0 };
    return { standing: new StandingOrders(await this.key(), orders), count: orders.length };
  }

  /** A replica that records nothing carries nothing out. */
  async isAttended(): Promise<boolean> {
    const { tables } = this;
    const running = await tables.query(
      `SELECT FROM ${tables.name('decision_writer')}
       WHERE state = 'running' AND beat > clock_timestamp() - $1::int8 * interval '1 millisecond' LIMIT 1`,
      [silentMs],
    );
    return this.writer() !== undefined || running.length > 0;
  }

  async count(id: string, { about, named, held }: OrderCounts, unreadable: number): Promise<void> {
    if (about + named + held + unreadable === 0) return;
    const { tables } = this;
    await tables.write(
      `UPDATE ${tables.name('erasure')} SET about = about + $2, named = named + $3, held = greatest(held, $4),
         unreadable = greatest(unreadable, $5) WHERE id = $1`,
      [id, about, named, held, unreadable],
    );
  }

  /**
   * Notes what became of rows of the shared log; `time`: when all of them were done, null while they are not. What could not be read
   * counts as the last pass found it.
   */
  async noteShared(orders: readonly ErasureOrder[], counts: ErasureCounts, time: number | null): Promise<void> {
    const { tables } = this;
    await tables.transaction(async (client) => {
      for (const { id } of orders) {
        const { about, named, held } = counts.of(id);
        await client.write(
          `UPDATE ${tables.name('erasure')} SET shared = coalesce(shared, $2::int8), about = about + $3, named = named + $4,
             held = greatest(held, $5), unreadable = $6 WHERE id = $1`,
          [id, time, about, named, held, counts.unreadable],
        );
      }
    });
  }

  /** Those of these whose rows in the shared log are still to be rewritten. */
  async unshared(): Promise<readonly ErasureOrder[]> {
    const { tables } = this;
    return tables.query(`SELECT id, time, digest FROM ${tables.name('erasure')} WHERE shared IS NULL ORDER BY id`);
  }

  async finish(id: string, time: number): Promise<void> {
    const writer = this.writer();
    if (writer === undefined) return;
    const { tables } = this;
    await tables.write(
      `INSERT INTO ${tables.name('erasure_done')} (erasure, writer, time) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
      [id, writer, time],
    );
  }

  /** What is shared was there all the time. */
  async reopen(): Promise<boolean> {
    const writer = this.writer();
    // Until it is known which of the journals this is.
    if (writer === undefined) return false;
    await this.tables.write(`DELETE FROM ${this.tables.name('erasure_done')} WHERE writer = $1`, [writer]);
    return true;
  }

  async close(): Promise<void> {}

  private get selected(): string {
    const { tables } = this;
    const done = `SELECT FROM ${tables.name('erasure_done')} d WHERE d.erasure = e.id AND d.writer = w.writer`;
    return `SELECT e.id, e.kind, e.digest, e.reason, e.ordered_by AS by, e.time, e.shared, e.about, e.named, e.held, e.unreadable,
      (SELECT max(d.time) FROM ${tables.name('erasure_done')} d WHERE d.erasure = e.id) AS done,
      ARRAY(SELECT w.instance FROM ${tables.name('decision_writer')} w WHERE w.state = 'running' AND NOT EXISTS (${done})
        ORDER BY w.writer) AS waiting
      FROM ${tables.name('erasure')} e`;
  }
}

function stored({ shared, done, waiting, ...order }: Row): StoredErasureOrder {
  const finished = shared === null || waiting.length > 0 ? null : Math.max(shared, done ?? 0);
  return { ...order, finished, ...(waiting.length > 0 && { waitingFor: waiting }) };
}
