import type { PostgresValue } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../database/postgres/postgres-tables.js';
import type { PendingEvent } from '../pending-events.js';
import {
  type AuditFilter,
  type AuditRow,
  deletedAtOnce,
  maxAuditText,
  StoredAuditLog,
  type StoredAuditLogOptions,
} from '../stored-audit-log.js';
import { auditEvents } from './migrations/1764400000030-audit-events.js';

/** The audit events of all replicas, in PostgreSQL. What is noted while it is away waits in memory, within bounds. */
export class PostgresAuditLog extends StoredAuditLog {
  private readonly table: string;

  private constructor(
    private readonly tables: PostgresTables,
    private readonly mask: (text: string) => string,
    options: StoredAuditLogOptions,
  ) {
    super(options);
    this.table = tables.name('audit_event');
  }

  /** The table is made when it is not there; while the server is away, when it is back. */
  static async open(database: PostgresDatabase, options: StoredAuditLogOptions): Promise<PostgresAuditLog> {
    const tables = new PostgresTables(database, 'audit', [auditEvents]);
    await tables.prepare();
    return new PostgresAuditLog(tables, options.mask, options);
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
    await this.tables.write(`DELETE FROM ${this.table} WHERE id <= $1`, [id]);
  }

  protected async write(events: readonly PendingEvent[]): Promise<void> {
    const rows = events.map(({ event, time, count }) => ({ ...event, time, count }));
    const text = (name: string) => `left(j ->> '${name}', ${maxAuditText})`;
    await this.tables.write(
      `INSERT INTO ${this.table} (time, type, actor, method, address, policy_set, detail, request_id, from_version, to_version, count)
       SELECT (j ->> 'time')::int8, ${textMembers.map(text).join(', ')}, (j ->> 'count')::int8
       FROM json_array_elements($1::json) WITH ORDINALITY AS rows (j, place) ORDER BY place`,
      [forPostgres(this.mask(JSON.stringify(rows)))],
    );
  }
}

const textMembers = [
  'type',
  'actor',
  'method',
  'address',
  'policySet',
  'detail',
  'requestId',
  'fromVersion',
  'toVersion',
];

/** PostgreSQL keeps no NUL and no half of a surrogate pair; JSON writes both as escapes. */
function forPostgres(json: string): string {
  return json.replace(/(?<!\\)((?:\\\\)*)\\u(0000|d[89a-f][0-9a-f]{2})/gi, '$1\\ufffd');
}
