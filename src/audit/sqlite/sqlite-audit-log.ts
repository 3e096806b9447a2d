import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { invalidParameter } from '../../errors.js';
import { readTimeRange } from '../../query/time-range.js';
import type { AuditEvent, AuditEventType, AuditPage, AuditQuery, NewAuditEvent } from '../audit-event.js';
import { AuditLog, type AuditLogOptions } from '../audit-log.js';
import { type PendingEvent, PendingEvents } from '../pending-events.js';
import { AuditEvents1763700000030 } from './migrations/1763700000030-audit-events.js';
import { AuditedVersions1763700000031 } from './migrations/1763700000031-versions.js';

export interface SqliteAuditLogOptions extends AuditLogOptions {
  /** The file of the database; its table is made when it is not there. */
  readonly path: string;
  /** Most statements of one search, each of which looks at 20,000 events (200). */
  readonly searchWindows?: number;
}

const defaultLimit = 50;
const flushMs = 1_000;
/** Events that one statement examines. It takes some milliseconds, in which no event can be written. */
const rowsPerWindow = 20_000;
/** Events that are read in one turn of the event loop: a millisecond or two. */
const rowsAtOnce = 200;
/** Most statements of one search. After four million events the page ends early and says where. */
const maxWindows = 200;
const pruneEveryMs = 60_000;
/** Events that one statement deletes, so that other writes do not wait for long. */
const deletedAtOnce = 1_000;
/** Longest text stored from a request, in characters. */
const maxText = 512;

/** The audit events in the service's SQLite database. */
export class SqliteAuditLog extends AuditLog {
  readonly counts = new Map<AuditEventType, number>();
  private readonly pending = new PendingEvents();
  private timer: NodeJS.Timeout | undefined;
  private pruneTimer: NodeJS.Timeout | undefined;
  private pruning: Promise<void> = Promise.resolve();
  private closing = false;

  private constructor(
    readonly connection: SqliteConnection,
    private readonly options: SqliteAuditLogOptions,
  ) {
    super();
  }

  static async open(options: SqliteAuditLogOptions): Promise<SqliteAuditLog> {
    const migrations = [AuditEvents1763700000030, AuditedVersions1763700000031];
    const connection = await SqliteConnection.open({ path: options.path, migrations, busyTimeoutMs: 10_000 });
    const audit = new SqliteAuditLog(connection, options);
    if (options.maxAgeMs !== undefined) {
      audit.startPruning();
      audit.pruneTimer = setInterval(() => audit.startPruning(), pruneEveryMs).unref();
    }
    return audit;
  }

  async close(): Promise<void> {
    this.closing = true;
    clearTimeout(this.timer);
    clearInterval(this.pruneTimer);
    await this.pruning;
    await this.flush();
    await this.connection.close();
  }

  async record(event: NewAuditEvent, now = Date.now()): Promise<void> {
    this.count(event.type);
    await this.write([{ event, time: now, count: 1 }]);
  }

  note(event: NewAuditEvent, now = Date.now()): void {
    this.count(event.type);
    this.pending.add(event, now);
    this.timer ??= setTimeout(() => void this.flush(), flushMs).unref();
  }

  async search(query: AuditQuery, policySets?: readonly string[]): Promise<AuditPage> {
    const { from, to } = readTimeRange(query);
    await this.flush();
    const limit = query.limit ?? defaultLimit;
    const conditions: [string, string | number | undefined][] = [
      ['type = ?', query.type],
      ['actor = ?', query.actor],
      ['address = ?', query.address],
      ['policy_set = ?', query.policySet],
      ['request_id = ?', query.requestId],
      ['time >= ?', from],
      ['time < ?', to],
      ['policy_set IN (SELECT value FROM json_each(?))', policySets && JSON.stringify(policySets)],
    ];
    const given = conditions.filter((condition): condition is [string, string | number] => condition[1] !== undefined);
    const sql = `SELECT * FROM audit_event WHERE ${[...given.map(([condition]) => condition), 'id >= ? AND id < ?'].join(' AND ')}
      ORDER BY id DESC LIMIT ?`;
    const values = given.map(([, value]) => value);
    const { first, last } = await this.ends();
    const items: AuditEvent[] = [];
    let before = Math.min(cursorOf(query.cursor) ?? Number.MAX_SAFE_INTEGER, last + 1);
    for (let windows = 0; before > first; ) {
      if (windows === (this.options.searchWindows ?? maxWindows))
        return { items, nextCursor: String(before), searchedTo: await this.timeAt(before) };
      const low = Math.max(first, before - rowsPerWindow);
      const most = Math.min(rowsAtOnce, limit + 1 - items.length);
      const rows = await this.connection.query<Row>(sql, [...values, low, before, most]);
      items.push(...rows.map(toEvent));
      // One event more than asked for shows that there is a next page.
      if (items.length > limit) return { items: items.slice(0, limit), nextCursor: String(items[limit - 1]!.id) };
      if (rows.length === most) before = rows.at(-1)!.id;
      else {
        before = low;
        windows++;
      }
    }
    return { items };
  }

  private async ends(): Promise<{ readonly first: number; readonly last: number }> {
    const [row] = await this.connection.query<{ first: number | null; last: number | null }>(
      'SELECT (SELECT min(id) FROM audit_event) AS first, (SELECT max(id) FROM audit_event) AS last',
    );
    return { first: row?.first ?? 1, last: row?.last ?? 0 };
  }

  private async timeAt(id: number): Promise<string> {
    const [row] = await this.connection.query<{ time: number }>(
      'SELECT time FROM audit_event WHERE id >= ? ORDER BY id LIMIT 1',
      [id],
    );
    return new Date(row?.time ?? 0).toISOString();
  }

  async prune(now: number): Promise<void> {
    const before = now - (this.options.maxAgeMs ?? Number.POSITIVE_INFINITY);
    while (!this.closing) {
      // The order of ids is nearly the order of times, so no index of times is needed.
      const oldest = await this.connection.query<{ id: number; time: number }>(
        'SELECT id, time FROM audit_event ORDER BY id LIMIT ?',
        [deletedAtOnce],
      );
      const kept = oldest.findIndex(({ time }) => time >= before);
      const last = oldest.at(kept < 0 ? -1 : kept - 1);
      if (kept === 0 || last === undefined) return;
      await this.connection.query('DELETE FROM audit_event WHERE id <= ?', [last.id]);
      if (kept > 0) return;
    }
  }

  private startPruning(): void {
    this.pruning = this.pruning
      .then(() => this.prune(Date.now()))
      .catch((error: unknown) => this.options.onProblem('audit events could not be deleted', error));
  }

  private count(type: AuditEventType): void {
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
  }

  private async flush(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const events = this.pending.take();
    if (events.length === 0) return;
    try {
      await this.write(events);
    } catch (error) {
      // The operator's log tells what the table lacks.
      this.options.onProblem(
        `${events.length} audit events could not be written: ${this.options.mask(JSON.stringify(events))}`,
        error,
      );
    }
  }

  private async write(events: readonly PendingEvent[]): Promise<void> {
    const rows = events.map(({ event, time, count }) => ({ ...event, time, count }));
    const text = (name: string) => `substr(j.value ->> '${name}', 1, ${maxText})`;
    await this.connection.query(
      `INSERT INTO audit_event (time, type, actor, method, address, policy_set, detail, request_id, from_version, to_version, count)
       SELECT j.value ->> 'time', ${textColumns.map(text).join(', ')},
              j.value ->> 'count'
       FROM json_each(?) AS j`,
      [this.options.mask(JSON.stringify(rows))],
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

interface Row {
  id: number;
  time: number;
  type: AuditEventType;
  actor: string | null;
  method: string | null;
  address: string | null;
  policy_set: string | null;
  detail: string | null;
  request_id: string | null;
  from_version: string | null;
  to_version: string | null;
  count: number;
}

function toEvent(row: Row): AuditEvent {
  return {
    id: row.id,
    time: new Date(row.time).toISOString(),
    type: row.type,
    ...(row.actor !== null && { actor: row.actor }),
    ...(row.method !== null && { method: row.method }),
    ...(row.address !== null && { address: row.address }),
    ...(row.policy_set !== null && { policySet: row.policy_set }),
    ...(row.from_version !== null && { fromVersion: row.from_version }),
    ...(row.to_version !== null && { toVersion: row.to_version }),
    ...(row.detail !== null && { detail: row.detail }),
    ...(row.request_id !== null && { requestId: row.request_id }),
    count: row.count,
  };
}

function cursorOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw invalidParameter('cursor', 'is not the nextCursor of a page');
}
