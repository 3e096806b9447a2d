import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { SqliteTurns } from '../../database/sqlite/sqlite-turns.js';
import { type ChainEnd, type ChainedRow, chainEvents } from '../audit-chain.js';
import type { AuditRow, NewAuditRow } from '../audit-row.js';
import { type AuditFilter, deletedAtOnce, StoredAuditLog, type StoredAuditLogOptions } from '../stored-audit-log.js';
import { AuditEvents1763700000030 } from './migrations/1763700000030-audit-events.js';
import { AuditedVersions1763700000031 } from './migrations/1763700000031-versions.js';
import { AuditChain1764800000030 } from './migrations/1764800000030-audit-chain.js';
import { SqliteAuditChain } from './sqlite-audit-chain.js';

export interface SqliteAuditLogOptions extends StoredAuditLogOptions {
  /** The file of the database; its table is made when it is not there. */
  readonly path: string;
}

/** The audit events in the service's SQLite database. */
export class SqliteAuditLog extends StoredAuditLog {
  private readonly turns: SqliteTurns;
  private readonly chain: SqliteAuditChain;

  private constructor(
    readonly connection: SqliteConnection,
    options: StoredAuditLogOptions,
  ) {
    super(options);
    this.turns = new SqliteTurns(connection);
    this.chain = new SqliteAuditChain(connection);
  }

  static async open(options: SqliteAuditLogOptions): Promise<SqliteAuditLog> {
    const migrations = [AuditEvents1763700000030, AuditedVersions1763700000031, AuditChain1764800000030];
    const connection = await SqliteConnection.open({ path: options.path, migrations, busyTimeoutMs: 10_000 });
    return new SqliteAuditLog(connection, options);
  }

  protected end(): Promise<void> {
    return this.turns.inTurn(() => this.connection.close());
  }

  protected async ends(): Promise<{ readonly first: number; readonly last: number }> {
    const [row] = await this.inTurn<{ first: number | null; last: number | null }>(
      'SELECT (SELECT min(id) FROM audit_event) AS first, (SELECT max(id) FROM audit_event) AS last',
    );
    return { first: row?.first ?? 1, last: row?.last ?? 0 };
  }

  protected async timeAt(id: number): Promise<number | undefined> {
    const [row] = await this.inTurn<{ time: number }>(
      'SELECT time FROM audit_event WHERE id >= ? ORDER BY id LIMIT 1',
      [id],
    );
    return row?.time;
  }

  protected find(filter: AuditFilter, low: number, before: number, most: number): Promise<AuditRow[]> {
    const conditions: [string, string | number | undefined][] = [
      ['type = ?', filter.type],
      ['actor = ?', filter.actor],
      ['address = ?', filter.address],
      ['policy_set = ?', filter.policySet],
      ['request_id = ?', filter.requestId],
      ['time >= ?', filter.from],
      ['time < ?', filter.to],
      ['instr(concat_ws(char(10), actor, address, policy_set, detail, request_id), ?)', filter.text],
      ['policy_set IN (SELECT value FROM json_each(?))', filter.policySets && JSON.stringify(filter.policySets)],
      ['id >= ?', low],
      ['id < ?', before],
    ];
    const given = conditions.filter((condition): condition is [string, string | number] => condition[1] !== undefined);
    return this.inTurn<AuditRow>(
      `SELECT * FROM audit_event WHERE ${given.map(([condition]) => condition).join(' AND ')} ORDER BY id DESC LIMIT ?`,
      [...given.map(([, value]) => value), most],
    );
  }

  protected oldest(): Promise<Pick<AuditRow, 'id' | 'time'>[]> {
    return this.inTurn('SELECT id, time FROM audit_event ORDER BY id LIMIT ?', [deletedAtOnce]);
  }

  /** No statement comes between those of a transaction. */
  private inTurn<Row>(sql: string, values: readonly (string | number)[] = []): Promise<Row[]> {
    return this.turns.inTurn(() => this.connection.query<Row>(sql, values));
  }

  protected deleteTo(id: number): Promise<void> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const deleted = `id <= ?1 AND (place IS NULL OR place < coalesce(
        (SELECT min(place) FROM audit_event WHERE id > ?1 AND place IS NOT NULL), ${Number.MAX_SAFE_INTEGER}))`;
      const [end] = await this.connection.query<ChainEnd>(
        `SELECT place + 1 AS events, link FROM audit_event WHERE place IS NOT NULL AND ${deleted}
         ORDER BY place DESC LIMIT 1`,
        [id],
      );
      await this.connection.query(`DELETE FROM audit_event WHERE ${deleted}`, [id]);
      if (end === undefined) return;
      const values = [end.events, end.link, this.anchorNote(end)];
      await this.connection.query('UPDATE audit_chain SET events = ?, link = ?, note = ?', values);
    });
  }

  async head(): Promise<ChainEnd | undefined> {
    const end = await this.turns.inTurn(() => this.chain.end());
    return end.events === 0 ? undefined : end;
  }

  protected insert(rows: readonly NewAuditRow[]): Promise<void> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const [last] = await this.connection.query<{ id: number }>(
        `SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit_event'), 0),
           coalesce((SELECT max(id) FROM audit_event), 0)) AS id`,
      );
      const chained = chainEvents(
        await this.chain.end(),
        rows.map((row, i) => ({ ...row, id: last!.id + 1 + i })),
      );
      await this.connection.query(
        `INSERT INTO audit_event (${columns.join(', ')}, salt, leaf, link)
         SELECT ${columns.map((name) => `j.value ->> '${name}'`).join(', ')}, ${hashes.map(unhexed).join(', ')}
         FROM json_each(?) AS j`,
        [JSON.stringify(chained.map(withHex))],
      );
    });
  }
}

const columns = [
  'id',
  'time',
  'type',
  'actor',
  'method',
  'address',
  'policy_set',
  'detail',
  'request_id',
  'from_version',
  'to_version',
  'count',
  'place',
] as const satisfies (keyof ChainedRow)[];

const hashes = ['salt', 'leaf', 'link'] as const;

function unhexed(name: string): string {
  return `unhex(j.value ->> '${name}')`;
}

function withHex(row: ChainedRow): object {
  const { salt, leaf, link } = row;
  return { ...row, salt: salt.toString('hex'), leaf: leaf.toString('hex'), link: link.toString('hex') };
}
