import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { NewAuditEvent } from '../audit-event.js';
import type { PendingEvent } from '../pending-events.js';
import {
  type AuditFilter,
  type AuditRow,
  deletedAtOnce,
  maxAuditText,
  StoredAuditLog,
  type StoredAuditLogOptions,
} from '../stored-audit-log.js';
import { AuditEvents1763700000030 } from './migrations/1763700000030-audit-events.js';
import { AuditedVersions1763700000031 } from './migrations/1763700000031-versions.js';

export interface SqliteAuditLogOptions extends StoredAuditLogOptions {
  /** The file of the database; its table is made when it is not there. */
  readonly path: string;
}

/** The audit events in the service's SQLite database. */
export class SqliteAuditLog extends StoredAuditLog {
  private constructor(
    readonly connection: SqliteConnection,
    private readonly mask: (text: string) => string,
    options: StoredAuditLogOptions,
  ) {
    super(options);
  }

  static async open(options: SqliteAuditLogOptions): Promise<SqliteAuditLog> {
    const migrations = [AuditEvents1763700000030, AuditedVersions1763700000031];
    const connection = await SqliteConnection.open({ path: options.path, migrations, busyTimeoutMs: 10_000 });
    return new SqliteAuditLog(connection, options.mask, options);
  }

  protected end(): Promise<void> {
    return this.connection.close();
  }

  protected async ends(): Promise<{ readonly first: number; readonly last: number }> {
    const [row] = await this.connection.query<{ first: number | null; last: number | null }>(
      'SELECT (SELECT min(id) FROM audit_event) AS first, (SELECT max(id) FROM audit_event) AS last',
    );
    return { first: row?.first ?? 1, last: row?.last ?? 0 };
  }

  protected async timeAt(id: number): Promise<number | undefined> {
    const [row] = await this.connection.query<{ time: number }>(
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
    return this.connection.query<AuditRow>(
      `SELECT * FROM audit_event WHERE ${given.map(([condition]) => condition).join(' AND ')} ORDER BY id DESC LIMIT ?`,
      [...given.map(([, value]) => value), most],
    );
  }

  protected oldest(): Promise<Pick<AuditRow, 'id' | 'time'>[]> {
    return this.connection.query('SELECT id, time FROM audit_event ORDER BY id LIMIT ?', [deletedAtOnce]);
  }

  protected async deleteTo(id: number): Promise<void> {
    await this.connection.query('DELETE FROM audit_event WHERE id <= ?', [id]);
  }

  protected async write(events: readonly PendingEvent[]): Promise<void> {
    const rows = events.map(({ event, time, count }) => ({ ...event, time, count }));
    const text = (name: string) => `substr(j.value ->> '${name}', 1, ${maxAuditText})`;
    await this.connection.query(
      `INSERT INTO audit_event (time, type, actor, method, address, policy_set, detail, request_id, from_version, to_version, count)
       SELECT j.value ->> 'time', ${textColumns.map(text).join(', ')},
              j.value ->> 'count'
       FROM json_each(?) AS j`,
      [this.mask(JSON.stringify(rows))],
    );
  }
}

const textColumns = [
  'type',
  'actor',
  'method',
  'address',
  'policySet',
  'detail',
  'requestId',
  'fromVersion',
  'toVersion',
] as const satisfies (keyof NewAuditEvent)[];
