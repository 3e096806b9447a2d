import type { PostgresStatements, PostgresValue } from '../../database/postgres/postgres-client.js';
import type { Candidate, CandidateSource, Passed, RowKey } from './candidates.js';
import type { RecordPosition } from './record-position.js';
import { type SharedKeys, textBytes } from './shared-keys.js';

/** The rows of `decision_group` that a page may need. */
export interface RowRange {
  /** Only records below this are wanted; undefined: all. */
  readonly below: RecordPosition | undefined;
  /** Only records from this time on are wanted, in milliseconds since 1970; undefined: all. */
  readonly from: number | undefined;
}

/** What statements are run with: one transaction, and the qualified names of tables. */
export interface LogTransaction {
  readonly client: PostgresStatements;
  readonly table: (name: string) => string;
  /** What decrypts texts. */
  readonly keys: SharedKeys;
}

/** Which rows are walked through. */
export interface WalkedRows {
  /**
   * Keys (record-keys.ts) that one of its records must have: all of one of these lists, since those of an encrypted row are
   * masked. None: every row.
   */
  readonly keys: readonly (readonly Buffer[])[];
  /** Only rows that the key pages do not cover. */
  readonly isUnindexed: boolean;
}

/** Rows that span more, in milliseconds, have an index of their own (1764400000000-shared-log.ts). */
const wideMs = 1_000;
/** Passing over a record by its row's keys costs this much of reading its text. */
const keyCost = 1 / 16;
/** Rows that a statement passes over: few at first, since the first page is often in the newest ones. */
const firstWindow = 8;
const lastWindow = 512;
const firstKeyWindow = 256;
const lastKeyWindow = 16_384;
/** Statements look at as many rows as take about so long, in milliseconds. */
const longMs = 15;
/** The newest partitions are often empty: they are made ahead. */
const daysAtFirst = 3;
/** Most days of a statement; more and more while they turn out to be empty. */
const mostDays = 16;
/** Finding that days are empty costs as much as reading this many records. */
const daysCost = 256;

/** Above every key of a row. */
const top: RowKey = { until: Number.MAX_SAFE_INTEGER, writer: 2 ** 31 - 1, first: Number.MAX_SAFE_INTEGER };

/**
 * The days that have a partition, the newest first, by the names of their tables (day-partitions.ts). With each of some
 * hundred partitions in its plan, a statement over all takes longer to be planned than all statements of a page to be run.
 */
export async function readDays({
  client,
  table,
}: Pick<LogTransaction, 'client' | 'table'>): Promise<readonly string[]> {
  const rows = await client.query<{ day: string }>(
    `SELECT right(c.relname, 8) AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = $1::regclass AND NOT i.inhdetachpending`,
    [table('decision_group')],
  );
  const days = rows.map(({ day }) => `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`);
  return days.sort().reverse();
}

/**
 * The rows of a range in their order, day by day. A row that ends up to a second above the range can hold records within it,
 * so the walk begins there; `wideRows` has those that end still higher.
 */
export class RowWalk implements CandidateSource {
  private readonly ready: (Candidate | Passed)[] = [];
  private readonly days: string[];
  private below: RowKey;
  private window: number;
  private size = daysAtFirst;

  /** @param days as `readDays` gives them */
  constructor(
    private readonly transaction: LogTransaction,
    days: readonly string[],
    private readonly range: RowRange,
    private readonly rows: WalkedRows,
  ) {
    const { below, from } = range;
    this.below = below === undefined ? top : { until: below.time + wideMs + 1, writer: 0, first: 0 };
    const newest = below === undefined ? undefined : textOfDay(below.time + wideMs);
    const oldest = from === undefined ? undefined : textOfDay(from);
    this.days = days.filter(
      (day) => (newest === undefined || day <= newest) && (oldest === undefined || day >= oldest),
    );
    this.window = this.hasCondition ? firstKeyWindow : firstWindow;
  }

  async next(): Promise<Candidate | Passed | undefined> {
    while (this.ready.length === 0 && this.days.length > 0) await this.readOn();
    return this.ready.shift();
  }

  /** Whether rows are passed over, so that a statement can return fewer than it looked at. */
  private get hasCondition(): boolean {
    return this.rows.keys.length > 0 || this.rows.isUnindexed;
  }

  private async readOn(): Promise<void> {
    const days = this.days.slice(0, this.size);
    const started = performance.now();
    const rows = this.hasCondition ? await this.passThrough(days) : await this.readAll(days);
    const tookMs = performance.now() - started;
    const passed = rows.at(-1);
    if (passed !== undefined) {
      const { until, writer, first } = passed;
      this.below = { until, writer, first };
      this.ready.push(...rows);
    }
    if (passed === undefined || passed.walked < this.window) {
      this.days.splice(0, days.length);
      this.size = passed === undefined ? Math.min(this.size * 2, mostDays) : 1;
      const below = Date.parse(days.at(-1)!);
      if (passed === undefined) this.ready.push({ until: below, writer: 0, first: 0, cost: daysCost });
    }
    const [least, most] = this.hasCondition ? [firstKeyWindow, lastKeyWindow] : [firstWindow, lastWindow];
    if (passed === undefined) return;
    const wanted = Math.min(this.window * 4, (passed.walked * longMs) / tookMs);
    this.window = Math.round(Math.min(most, Math.max(least, wanted)));
  }

  private async readAll(days: readonly string[]): Promise<WalkedStep[]> {
    const { client, table } = this.transaction;
    const rows = await client.query<Candidate>(
      `SELECT writer, first, count, since, until, ${textBytes()} AS bytes
       FROM ${table('decision_group')} g WHERE ${inRange}
       ORDER BY until DESC, writer DESC, first DESC LIMIT $10`,
      this.values(days),
    );
    return rows.map((row) => ({ ...row, cost: 0, walked: rows.length }));
  }

  /** The rows of the next window that have the keys, and how far it went. */
  private async passThrough(days: readonly string[]): Promise<WalkedStep[]> {
    const { client, table } = this.transaction;
    const { keys, isUnindexed } = this.rows;
    const unindexed = isUnindexed
      ? `AND first > (SELECT w.indexed FROM ${table('decision_writer')} w WHERE w.writer = g.writer)`
      : '';
    const rows = await client.query<PassedRow>(
      `WITH walked AS MATERIALIZED (
         SELECT writer, first, count, since, until, ${textBytes()} AS bytes,
           (${hasKeys(keys, 11)}) ${unindexed} AS found
         FROM ${table('decision_group')} g WHERE ${inRange}
         ORDER BY until DESC, writer DESC, first DESC LIMIT $10
       )
       (SELECT writer, first, count, since, until, bytes, NULL::int8 AS walked, 0::int8 AS passed FROM walked WHERE found
        ORDER BY until DESC, writer DESC, first DESC)
       UNION ALL
       (SELECT writer, first, 0, since, until, 0, (SELECT count(*) FROM walked), (SELECT sum(count) FROM walked)::int8
        FROM walked ORDER BY until, writer, first LIMIT 1)`,
      [...this.values(days), ...keys.flat()],
    );
    return rows.map(({ walked, passed, ...row }) => {
      if (walked === null) return { ...row, cost: 0, walked: 0 };
      const { until, writer, first } = row;
      return { until, writer, first, cost: passed * keyCost, walked };
    });
  }

  private values(days: readonly string[]): PostgresValue[] {
    const { until, writer, first } = this.below;
    const { from = 0, below } = this.range;
    return [days.at(-1)!, days[0]!, until, writer, first, from, ...startOf(below), this.window];
  }
}

type WalkedStep = (Candidate | Passed) & { readonly walked: number };

interface PassedRow extends Omit<Candidate, 'cost'> {
  /** Given in the last row alone: how many rows were walked over, and the records in them. */
  readonly walked: number | null;
  readonly passed: number;
}

/**
 * `first` and `writer` make the order of rows of one time whole, so that none is passed over between two statements. A row
 * whose earliest record is above the range has none within it; that is seen without reading its text, for there can be
 * thousands of rows of one time.
 */
const inRange = `day BETWEEN $1::date AND $2::date AND (until, writer, first) < ($3::int8, $4::int4, $5::int8)
  AND until >= $6::int8 AND (since, writer, first) < ($7::int8, $8::int4, $9::int8)`;

/** What rows with records below a place begin below. */
function startOf(below: RecordPosition | undefined): [time: number, writer: number, sequence: number] {
  if (below === undefined) return [top.until, top.writer, top.first];
  // A cursor can name a writer that no log has.
  return [below.time, Math.min(below.writer, top.writer), below.sequence];
}

/**
 * The rows that begin within a range and end more than a second above it, in their order: few, since the shipper joins no
 * groups over more than a second, and an index has nothing but them. Without the limit of a second, one such row would
 * make every page look back as far.
 */
export async function wideRows(
  { client, table }: LogTransaction,
  days: readonly string[],
  { below, from = 0 }: RowRange,
  { keys, isUnindexed }: WalkedRows,
): Promise<readonly Candidate[]> {
  if (below === undefined) return [];
  const oldest = textOfDay(below.time + wideMs);
  const above = days.filter((day) => day >= oldest);
  if (above.length === 0) return [];
  const unindexed = isUnindexed
    ? `AND first > (SELECT w.indexed FROM ${table('decision_writer')} w WHERE w.writer = g.writer)`
    : '';
  const rows = await client.query<Candidate>(
    `SELECT writer, first, count, since, until, ${textBytes()} AS bytes FROM ${table('decision_group')} g
     WHERE day BETWEEN $1::date AND $2::date AND until - since > ${wideMs} AND until > $3::int8 AND until >= $4::int8
       AND since <= $5::int8 AND (${hasKeys(keys, 6)}) ${unindexed}
     ORDER BY until DESC, writer DESC, first DESC`,
    [above.at(-1)!, above[0]!, below.time + wideMs, from, below.time, ...keys.flat()],
  );
  return rows.map((row) => ({ ...row, cost: 0 }));
}

/** Whether a record of the row can have all keys of one of the lists, which are the parameters from `$first` on. */
function hasKeys(lists: readonly (readonly Buffer[])[], first: number): string {
  let next = first;
  const conditions = lists.map(({ length }) => {
    const condition = hasAll(length, next);
    next += length;
    return condition;
  });
  return conditions.length === 0 ? 'true' : conditions.join(' OR ');
}

/**
 * Whether a record of the row can have all keys, which are the parameters from `$first` on: each is among `keys`, and the
 * masks of their places have a bit in common. A key that is found across two entries says nothing of places.
 */
function hasAll(count: number, first: number): string {
  const parameters = Array.from({ length: count }, (_, i) => `$${first + i}::bytea`);
  const found = parameters.map((key) => `position(${key} IN keys) > 0`).join(' AND ');
  if (count === 1) return found;
  const masks = parameters.map((key) => {
    const mask = '(get_byte(keys, place + 5) << 8) | get_byte(keys, place + 6)';
    return `(SELECT CASE WHEN place % 8 = 1 THEN coalesce(nullif(${mask}, 0), 65535) ELSE 65535 END
      FROM (SELECT position(${key} IN keys) AS place OFFSET 0) found)`;
  });
  return `CASE WHEN ${found} THEN (${masks.join(' & ')}) <> 0 ELSE false END`;
}

function textOfDay(time: number): string {
  return new Date(Math.min(time, lastTime)).toISOString().slice(0, 10);
}

/** The end of the year 9999: later days have no text of four digits. */
const lastTime = 253_402_300_799_999;
