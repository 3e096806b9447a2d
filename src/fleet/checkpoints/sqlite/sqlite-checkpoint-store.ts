import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { CheckpointStore, type SentCheckpoint, type StoredFleetCheckpoint } from '../checkpoint-store.js';
import { FleetCheckpoints1764800000000 } from './migrations/1764800000000-fleet-checkpoints.js';

/** In the service's SQLite database, which one process at a time uses. */
export class SqliteCheckpointStore extends CheckpointStore {
  private constructor(readonly connection: SqliteConnection) {
    super();
  }

  static async open(path: string): Promise<SqliteCheckpointStore> {
    const migrations = [FleetCheckpoints1764800000000];
    return new SqliteCheckpointStore(await SqliteConnection.open({ path, migrations, busyTimeoutMs: 10_000 }));
  }

  /** To read; undefined when the file has none. */
  static async openToRead(path: string): Promise<SqliteCheckpointStore | undefined> {
    const connection = await SqliteConnection.open({ path, setup: ['PRAGMA query_only = ON'], busyTimeoutMs: 10_000 });
    const found = await connection.query(`SELECT 1 FROM sqlite_master WHERE name = 'fleet_checkpoint'`);
    if (found.length > 0) return new SqliteCheckpointStore(connection);
    await connection.close();
    return undefined;
  }

  async lead(): Promise<boolean> {
    return true;
  }

  async resign(): Promise<void> {}

  async newest(): Promise<StoredFleetCheckpoint | undefined> {
    const [row] = await this.connection.query<StoredFleetCheckpoint>(
      'SELECT number, time, note FROM fleet_checkpoint ORDER BY number DESC LIMIT 1',
    );
    return row;
  }

  after(number: number, most: number): Promise<StoredFleetCheckpoint[]> {
    return this.connection.query(
      'SELECT number, time, note FROM fleet_checkpoint WHERE number > ? ORDER BY number LIMIT ?',
      [number, most],
    );
  }

  async add({ number, time, note }: StoredFleetCheckpoint): Promise<void> {
    await this.connection.query('INSERT INTO fleet_checkpoint (number, time, note) VALUES (?, ?, ?)', [
      number,
      time,
      note,
    ]);
  }

  async sentTo(sink: string): Promise<number> {
    const [row] = await this.connection.query<{ number: number }>(
      'SELECT number FROM fleet_checkpoint_sent WHERE sink = ?',
      [sink],
    );
    return row?.number ?? 0;
  }

  sent(): Promise<readonly SentCheckpoint[]> {
    return this.connection.query('SELECT sink, number FROM fleet_checkpoint_sent ORDER BY sink');
  }

  async markSent(sink: string, number: number): Promise<void> {
    await this.connection.query(
      `INSERT INTO fleet_checkpoint_sent (sink, number) VALUES (?, ?)
       ON CONFLICT (sink) DO UPDATE SET number = max(number, excluded.number)`,
      [sink, number],
    );
  }

  async deleteTo(number: number): Promise<void> {
    await this.connection.query('DELETE FROM fleet_checkpoint WHERE number <= ?', [number]);
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}
