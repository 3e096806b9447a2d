import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import {
  type ChainAnchor,
  type ChainEnd,
  type ChainedRow,
  chainBeginning,
  type StoredAuditChain,
} from '../audit-chain.js';

/** The chain of audit events in an SQLite file. */
export class SqliteAuditChain implements StoredAuditChain {
  constructor(private readonly connection: SqliteConnection) {}

  /** To read; undefined when the file has none. */
  static async openToRead(path: string): Promise<(SqliteAuditChain & { close(): Promise<void> }) | undefined> {
    const connection = await SqliteConnection.open({ path, setup: ['PRAGMA query_only = ON'], busyTimeoutMs: 10_000 });
    const found = await connection.query(
      `SELECT 1 FROM sqlite_master WHERE type = 'table' AND name IN ('audit_chain', 'audit_event')`,
    );
    if (found.length === 2) return Object.assign(new SqliteAuditChain(connection), { close: () => connection.close() });
    await connection.close();
    return undefined;
  }

  async anchor(): Promise<ChainAnchor | undefined> {
    const [row] = await this.connection.query<ChainAnchor>('SELECT events, link, note FROM audit_chain');
    return row;
  }

  async end(): Promise<ChainEnd> {
    const [row] = await this.connection.query<ChainEnd>(
      `SELECT place + 1 AS events, link FROM audit_event WHERE place IS NOT NULL ORDER BY place DESC LIMIT 1`,
    );
    return row ?? (await this.anchor()) ?? chainBeginning;
  }

  from(place: number, most: number): Promise<ChainedRow[]> {
    return this.connection.query<ChainedRow>('SELECT * FROM audit_event WHERE place >= ? ORDER BY place LIMIT ?', [
      place,
      most,
    ]);
  }

  async unchained(): Promise<number> {
    const [row] = await this.connection.query<{ count: number }>(
      'SELECT count(*) AS count FROM audit_event WHERE place IS NULL',
    );
    return row!.count;
  }

  async unchainedBehind(most: number): Promise<readonly number[]> {
    const rows = await this.connection.query<{ id: number }>(
      `SELECT id FROM audit_event WHERE place IS NULL
         AND id > (SELECT id FROM audit_event WHERE place IS NOT NULL ORDER BY place LIMIT 1) ORDER BY id LIMIT ?`,
      [most],
    );
    return rows.map(({ id }) => id);
  }
}
