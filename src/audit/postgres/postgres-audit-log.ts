import type { PostgresClient, PostgresValue } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../database/postgres/postgres-tables.js';
import { type ChainEnd, type ChainedRow, chainEvents } from '../audit-chain.js';
import type { AuditRow, NewAuditRow } from '../audit-row.js';
import { type AuditFilter, deletedAtOnce, StoredAuditLog, type StoredAuditLogOptions } from '../stored-audit-log.js';
import { auditEvents } from './migrations/1764400000030-audit-events.js';
import { auditChain } from './migrations/1764800000030-audit-chain.js';
import { PostgresAuditChain } from './postgres-audit-chain.js';

/** The audit events of all replicas, in PostgreSQL. What is noted while it is away waits in memory, within bounds. */
export class PostgresAuditLog extends StoredAuditLog {
  private readonly table: string;

  private constructor(
    private readonly tables: PostgresTables,
    options: StoredAuditLogOptions,
  ) {
    super(options);
    this.table = tables.name('audit_event');
  }

  /** The table is made when it is not there; while the server is away, when it is back. */
  static async open(database: PostgresDatabase, options: StoredAuditLogOptions): Promise<PostgresAuditLog> {
    const tables = new PostgresTables(database, 'audit', [auditEvents, auditChain]);
    await tables.prepare();
    return new PostgresAuditLog(tables, options);
  }

  /** The database is closed by its owner. */
  protected async end(): Promise<void> {}

  protected async ends(): Promise<{ readonly first: number; readonly last: number }> {
    const [row] = await this.tables.query<{ first: number | null; last: number | null }>(
      `SELECT (SELECT min(id) FROM ${this.table}) AS first, (SELECT max(id) FROM ${this.table}) AS last`,
    );
    return { first: row?.first ?? 1, last: row?.last ?? 0 };
  }

  protected async timeAt(id: number): Promise<number | undefined> {
    const [row] = await this.tables.query<{ time: number }>(
      `SELECT time FROM ${this.table} WHERE id >= $1 ORDER BY id LIMIT 1`,
      [id],
    );
    return row?.time;
  }

  protected find(filter: AuditFilter, low: number, before: number, most: number): Promise<AuditRow[]> {
    const conditions: [string, PostgresValue | undefined][] = [
      ['type =', filter.type],
      ['actor =', filter.actor],
      ['address =', filter.address],
      ['policy_set =', filter.policySet],
      ['request_id =', filter.requestId],
      ['time >=', filter.from],
      ['time <', filter.to],
      ['policy_set = ANY', filter.policySets],
      [
        "concat_ws(E'\\n', actor, address, policy_set, detail, request_id) LIKE",
        filter.text && `%${filter.text.replace(/[\\%_]/g, '\\$&')}%`,
      ],
      ['id >=', low],
      ['id <', before],
    ];
    const given = conditions.filter((each): each is [string, PostgresValue] => each[1] !== undefined);
    const where = given.map(([condition], n) => `${condition} ($${n + 1})`).join(' AND ');
    return this.tables.query<AuditRow>(
      `SELECT * FROM ${this.table} WHERE ${where} ORDER BY id DESC LIMIT $${given.length + 1}`,
      [...given.map(([, value]) => value), most],
    );
  }

  protected oldest(): Promise<Pick<AuditRow, 'id' | 'time'>[]> {
    return this.tables.query(`SELECT id, time FROM ${this.table} ORDER BY id LIMIT $1`, [deletedAtOnce]);
  }

  protected async deleteTo(id: number): Promise<void> {
    await this.alone(async (client) => {
      const deleted = `id <= $1::int8 AND (place IS NULL OR place < coalesce(
        (SELECT min(place) FROM ${this.table} WHERE id > $1::int8 AND place IS NOT NULL), ${Number.MAX_SAFE_INTEGER}))`;
      const [end] = await client.query<ChainEnd>(
        `SELECT place + 1 AS events, link FROM ${this.table} WHERE place IS NOT NULL AND ${deleted}
         ORDER BY place DESC LIMIT 1`,
        [id],
      );
      await client.query(`DELETE FROM ${this.table} WHERE ${deleted}`, [id]);
      if (end === undefined) return;
      await client.query(`UPDATE ${this.tables.name('audit_chain')} SET events = $1, link = $2, note = $3`, [
        end.events,
        end.link,
        this.anchorNote(end),
      ]);
    });
  }

  async head(): Promise<ChainEnd | undefined> {
    const end = await new PostgresAuditChain(this.tables, (name) => this.tables.name(name)).end();
    return end.events === 0 ? undefined : end;
  }

  protected async insert(rows: readonly NewAuditRow[]): Promise<void> {
    await this.alone(async (client, chain) => {
      await this.chainOthers(client, chain);
      const ids = await client.query<{ id: number }>(
        `SELECT nextval(pg_get_serial_sequence($1, 'id')) AS id FROM generate_series(1, $2::int)`,
        [this.table, rows.length],
      );
      const chained = chainEvents(
        await chain.end(),
        rows.map((row, i) => ({ ...row, id: ids[i]!.id })),
      );
      await client.query(
        `INSERT INTO ${this.table} (${Object.keys(columns).join(', ')}, salt, leaf, link) OVERRIDING SYSTEM VALUE
         SELECT ${Object.entries(columns)
           .map(([name, type]) => `(j ->> '${name}')::${type}`)
           .join(', ')},
           ${hashes.map(decoded).join(', ')}
         FROM json_array_elements($1::json) j`,
        [JSON.stringify(chained.map(withHex))],
      );
    });
  }

  /**
   * Gives a place to events that a release without the chain added beside this one, if it may: a role can be one that only adds.
   * Nothing tells them from events that somebody else added, so their leaves say how they came.
   */
  private async chainOthers(client: PostgresClient, chain: PostgresAuditChain): Promise<void> {
    for (;;) {
      const others = await client.query<AuditRow>(
        `SELECT * FROM ${this.table} WHERE place IS NULL AND id > (SELECT begun FROM ${this.tables.name('audit_chain')})
           AND has_table_privilege($1, 'UPDATE')
         ORDER BY id LIMIT 1000`,
        [this.table],
      );
      if (others.length === 0) return;
      const chained = chainEvents(await chain.end(), others, true);
      await client.query(
        `UPDATE ${this.table} e SET place = (j ->> 'place')::int8, ${hashes.map((name) => `${name} = ${decoded(name)}`).join(', ')}
         FROM json_array_elements($1::json) j WHERE e.id = (j ->> 'id')::int8`,
        [JSON.stringify(chained.map(withHex))],
      );
    }
  }

  /** Does something with the chain, one replica after the other. */
  private async alone(work: (client: PostgresClient, chain: PostgresAuditChain) => Promise<unknown>): Promise<void> {
    await this.tables.transaction(async (client) => {
      await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`chain of ${this.table}`]);
      await work(client, new PostgresAuditChain(client, (name) => this.tables.name(name)));
    });
  }
}

const columns = {
  id: 'int8',
  time: 'int8',
  type: 'text',
  actor: 'text',
  method: 'text',
  address: 'text',
  policy_set: 'text',
  detail: 'text',
  request_id: 'text',
  from_version: 'text',
  to_version: 'text',
  count: 'int8',
  place: 'int8',
} as const satisfies Partial<Record<keyof ChainedRow, string>>;

const hashes = ['salt', 'leaf', 'link'] as const;

function decoded(name: string): string {
  return `decode(j ->> '${name}', 'hex')`;
}

function withHex(row: ChainedRow): object {
  const { salt, leaf, link } = row;
  return { ...row, salt: salt.toString('hex'), leaf: leaf.toString('hex'), link: link.toString('hex') };
}
