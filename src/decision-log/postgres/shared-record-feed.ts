import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { Turns } from '../../turns/turns.js';
import { recordsOf } from '../group-text.js';
import type { FedRecord, FedRecords, RecordFeed } from '../record-feed.js';
import type { StreamPosition } from '../stream-position.js';
import { inSnapshot, type SnapshotSource } from './log-snapshot.js';
import { type LogTransaction, readDays } from './row-walk.js';
import { type CodedText, type SharedKeys, textColumns } from './shared-keys.js';

/** Time between two looks at what writers have shipped, in milliseconds. */
const lookMs = 250;
/** Records that are read at a time, about, and their text in characters. */
const recordsAtOnce = 1_024;
const lengthAtOnce = 512 * 1024;
/** Rows of one writer that a statement reads: each has 256 KB of text at most, but for large records. */
const rowsAtOnce = 8;
/** More records than a row has (shared-row.ts). */
const mostOfRow = 1_024;
/** The newest days are looked at first: a look at all of them takes as long as all other work of a read. */
const nearDays = 4;

interface FedRow {
  readonly writer: number;
  readonly first: number;
  readonly count: number;
  readonly records: string;
}

interface ReadPart {
  readonly log: string;
  readonly rows: readonly FedRow[];
  readonly shipped: ReadonlyMap<number, number>;
  readonly position: Map<number, number>;
  readonly isEnd: boolean;
}

/** The log of all replicas as it grows: what writers ship, of each in its order, whenever it comes. */
export class SharedRecordFeed implements RecordFeed {
  private readonly source: SnapshotSource;

  constructor(database: PostgresDatabase, keys?: SharedKeys) {
    this.source = { database, keys };
  }

  async end(): Promise<StreamPosition> {
    return inSnapshot(this.source, async (transaction) => {
      const { log, shipped } = await readShipped(transaction);
      return { log, writers: shipped };
    });
  }

  async readOn(after: StreamPosition): Promise<FedRecords> {
    const { log, rows, shipped, position, isEnd } = await inSnapshot(this.source, (transaction) =>
      readPart(transaction, after),
    );
    const seen = after.log === log ? after.writers : new Map<number, number>();
    const records: FedRecord[] = [];
    const turns = new Turns();
    for (const { writer, first, records: text } of rows) {
      if (turns.isOver) await turns.next();
      const from = seen.get(writer) ?? 0;
      const to = shipped.get(writer) ?? 0;
      const ofRow = [...recordsOf({ first, records: text }, [], () => undefined)].reverse();
      for (const record of ofRow) {
        if (record.sequence > from && record.sequence <= to) records.push({ writer, record });
      }
    }
    return { records, position: { log, writers: position }, isEnd };
  }

  subscribe(listener: () => void): { end(): void } {
    const timer = setInterval(listener, lookMs).unref();
    return { end: () => clearInterval(timer) };
  }
}

async function readShipped({ client, table }: LogTransaction) {
  const rows = await client.query<{ name: string; writer: number | null; shipped: number }>(
    `SELECT l.name, w.writer, w.shipped FROM ${table('decision_log')} l
     LEFT JOIN ${table('decision_writer')} w ON true ORDER BY w.writer`,
  );
  const writers = rows.flatMap(({ writer, shipped }) => (writer === null ? [] : [[writer, shipped] as const]));
  return { log: rows[0]!.name, shipped: new Map(writers) };
}

async function readPart(transaction: LogTransaction, after: StreamPosition): Promise<ReadPart> {
  const { log, shipped } = await readShipped(transaction);
  const seen = after.log === log ? after.writers : new Map<number, number>();
  const position = new Map<number, number>();
  for (const writer of shipped.keys()) position.set(writer, seen.get(writer) ?? 0);
  const rows: FedRow[] = [];
  let records = 0;
  let length = 0;
  let days: readonly string[] | undefined;
  for (const [writer, end] of shipped) {
    let from = position.get(writer)!;
    while (from < end) {
      if (records >= recordsAtOnce || length >= lengthAtOnce) return { log, rows, shipped, position, isEnd: false };
      days ??= await readDays(transaction);
      const found = await readRows(transaction, days, writer, from);
      rows.push(...found);
      for (const row of found) {
        records += row.count;
        length += row.records.length;
      }
      const last = found.at(-1);
      // Nothing of it is kept any more.
      from = last === undefined ? end : Math.min(end, last.first + last.count - 1);
      position.set(writer, from);
    }
  }
  return { log, rows, shipped, position, isEnd: true };
}

/** The next rows of a writer behind a record, in the order of their sequences. */
export async function readRows(
  transaction: LogTransaction,
  days: readonly string[],
  writer: number,
  after: number,
): Promise<readonly FedRow[]> {
  const near = await rowsOfDays(transaction, days.slice(0, nearDays), writer, after);
  // What follows on it is there, so no other day has anything before it.
  if (near.length > 0 && near[0]!.first <= after + 1) return contiguous(near, after);
  if (days.length <= nearDays) return near;
  return contiguous(await rowsOfDays(transaction, days, writer, after), after);
}

/** A row that does not follow on the one before may have others between, of a day that was not looked at. */
function contiguous(rows: readonly FedRow[], after: number): readonly FedRow[] {
  let next = after + 1;
  const end = rows.findIndex(({ first, count }, i) => {
    const follows = i === 0 || first <= next;
    next = first + count;
    return !follows;
  });
  return end === -1 ? rows : rows.slice(0, end);
}

async function rowsOfDays(
  transaction: LogTransaction,
  days: readonly string[],
  writer: number,
  after: number,
): Promise<readonly FedRow[]> {
  const { client, table, keys } = transaction;
  const rows = await client.query<CodedText>(
    `SELECT g.* FROM unnest($1::date[]) days (day)
     CROSS JOIN LATERAL (
       SELECT ${textColumns} FROM ${table('decision_group')} r
       WHERE r.day = days.day AND r.writer = $2::int4 AND r.first > $3::int8 - ${mostOfRow} AND r.first + r.count > $3::int8 + 1
       ORDER BY r.first LIMIT ${rowsAtOnce}) g
     ORDER BY g.first LIMIT ${rowsAtOnce}`,
    [days, writer, after],
  );
  return keys.decoded(transaction, rows);
}
