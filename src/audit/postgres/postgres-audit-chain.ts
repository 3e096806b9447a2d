import type { PostgresStatements } from '../../database/postgres/postgres-client.js';
import {
  type ChainAnchor,
  type ChainEnd,
  type ChainedRow,
  chainBeginning,
  type StoredAuditChain,
} from '../audit-chain.js';

/** The chain of the audit events of all replicas. */
export class PostgresAuditChain implements StoredAuditChain {
  constructor(
    private readonly statements: PostgresStatements,
    private readonly table: (name: string) => string,
  ) {}

  async anchor(): Promise<ChainAnchor | undefined> {
    const [row] = await this.statements.query<ChainAnchor>(
      `SELECT events, link, note FROM ${this.table('audit_chain')}`,
    );
    return row;
  }

  async end(): Promise<ChainEnd> {
    const [row] = await this.statements.query<ChainEnd>(
      `SELECT place + 1 AS events, link FROM ${this.table('audit_event')}
       WHERE place IS NOT NULL ORDER BY place DESC LIMIT 1`,
    );
    return row ?? (await this.anchor()) ?? chainBeginning;
  }

  from(place: number, most: number): Promise<ChainedRow[]> {
    return this.statements.query<ChainedRow>(
      `SELECT * FROM ${this.table('audit_event')} WHERE place >= $1::int8 ORDER BY place LIMIT $2`,
      [place, most],
    );
  }

  async unchained(): Promise<number> {
    const [row] = await this.statements.query<{ count: number }>(
      `SELECT count(*) AS count FROM ${this.table('audit_event')} WHERE place IS NULL`,
    );
    return row!.count;
  }

  async unchainedBehind(most: number): Promise<readonly number[]> {
    const rows = await this.statements.query<{ id: number }>(
      `SELECT id FROM ${this.table('audit_event')} WHERE place IS NULL
         AND id > (SELECT id FROM ${this.table('audit_event')} WHERE place IS NOT NULL ORDER BY place LIMIT 1) ORDER BY id LIMIT $1`,
      [most],
    );
    return rows.map(({ id }) => id);
  }
}
