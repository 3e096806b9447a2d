import { randomUUID } from 'node:crypto';
import type { PostgresDatabase } from '../../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../../database/postgres/postgres-tables.js';
import { CheckpointStore, type SentCheckpoint, type StoredFleetCheckpoint } from '../checkpoint-store.js';
import { fleetCheckpoints } from './migrations/1764800000000-fleet-checkpoints.js';

/** In PostgreSQL, for all replicas. */
export class PostgresCheckpointStore extends CheckpointStore {
  private readonly tables: PostgresTables;
  private readonly table: string;
  private readonly sentTable: string;
  private readonly leader: string;

  /** Names this process among all that ever were. */
  private readonly replica = randomUUID();

  constructor(database: PostgresDatabase) {
    super();
    this.tables = new PostgresTables(database, 'fleet-checkpoints', [fleetCheckpoints]);
    this.table = this.tables.name('fleet_checkpoint');
    this.sentTable = this.tables.name('fleet_checkpoint_sent');
    this.leader = this.tables.name('fleet_checkpoint_lead');
  }

  /** By the clock of the server. */
  async lead(termMs: number): Promise<boolean> {
    const taken = await this.tables.write(
      `INSERT INTO ${this.leader} AS l (replica, until) VALUES ($1, now() + $2 * interval '1 ms')
       ON CONFLICT (one) DO UPDATE SET replica = excluded.replica, until = excluded.until
       WHERE l.replica = excluded.replica OR l.until < now()`,
      [this.replica, termMs],
    );
    return taken > 0;
  }

  async resign(): Promise<void> {
    await this.tables.write(`DELETE FROM ${this.leader} WHERE replica = $1`, [this.replica]);
  }

  async newest(): Promise<StoredFleetCheckpoint | undefined> {
    const [row] = await this.tables.query<StoredFleetCheckpoint>(
      `SELECT number, time, note FROM ${this.table} ORDER BY number DESC LIMIT 1`,
    );
    return row;
  }

  after(number: number, most: number): Promise<StoredFleetCheckpoint[]> {
    return this.tables.query(
      `SELECT number, time, note FROM ${this.table} WHERE number > $1::int8 ORDER BY number LIMIT $2`,
      [number, most],
    );
  }

  async add({ number, time, note }: StoredFleetCheckpoint): Promise<void> {
    await this.tables.write(`INSERT INTO ${this.table} (number, time, note) VALUES ($1, $2, $3)`, [number, time, note]);
  }

  async sentTo(sink: string): Promise<number> {
    const [row] = await this.tables.query<{ number: number }>(`SELECT number FROM ${this.sentTable} WHERE sink = $1`, [
      sink,
    ]);
    return row?.number ?? 0;
  }

  sent(): Promise<readonly SentCheckpoint[]> {
    return this.tables.query(`SELECT sink, number FROM ${this.sentTable} ORDER BY sink`);
  }

  async markSent(sink: string, number: number): Promise<void> {
    await this.tables.write(
      `INSERT INTO ${this.sentTable} AS s (sink, number) VALUES ($1, $2)
       ON CONFLICT (sink) DO UPDATE SET number = greatest(s.number, excluded.number)`,
      [sink, number],
    );
  }

  async deleteTo(number: number): Promise<void> {
    await this.tables.write(`DELETE FROM ${this.table} WHERE number <= $1::int8`, [number]);
  }

  /** The database is closed by its owner. */
  async close(): Promise<void> {}
}
