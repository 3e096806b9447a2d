import type { PostgresClient, PostgresValue } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { sortInTurns } from '../../turns/sort-in-turns.js';
import { Turns } from '../../turns/turns.js';
import { dayName } from './day-partitions.js';
import {
  decodeListed,
  encodeList,
  encodeMarks,
  type KeyPage,
  type ListedRow,
  listBytes,
  SegmentEntries,
  segmentRows,
} from './key-pages.js';
import { textBytes } from './shared-keys.js';

export interface IndexLimits {
  /** Records without an index from which on a segment is made: rows are passed over by their own keys until then. */
  readonly waiting: number;
  /** Most records of a step. */
  readonly records: number;
  /** Most rows of a segment. */
  readonly rows: number;
  /** Segments from which on some of a day are made into one: a search that finds nothing reads a page of each. */
  readonly segments: number;
}

/** A step takes a fraction of a second and some 30 MB; what waits, a few hundredths of a second of a search. */
const indexLimits: IndexLimits = { waiting: 250_000, records: 131_072, rows: segmentRows, segments: 200 };

/**
 * A step has time: it pauses before each of its turns, which are short, so that callers do not wait longer while it runs.
 * Both in milliseconds. It does not pause while this many times `waiting` records wait.
 */
const pauseMs = 2;
const shortTurnMs = 1;
const pressedBy = 4;

/** A step looks at the rows of four times its records, so that it takes the oldest of all writers. */
const lookAhead = 4;
/** Fewest sequences of a writer that a step looks at. */
const leastSequences = 4_096;
/** Segments that become one in a step: it takes a second or two and some 40 MB. */
const mergedAtOnce = 4;
/** Most entries of a segment that others are made into: four with the usual number of keys have half as many. */
const mergedEntries = 4_194_304;
/** Rows whose keys are read at a time: half a megabyte. */
const rowsAtOnce = 256;
/** Pages that one statement writes: a quarter of a megabyte. */
const pagesAtOnce = 32;

/** What a step knows of a writer. */
interface WaitingWriter {
  readonly writer: number;
  readonly indexed: number;
  readonly shipped: number;
  /** The lowest time of its rows beyond `indexed`. */
  readonly open_since: number | null;
}

/** A row of `decision_group` within its day. */
export interface RowName {
  readonly writer: number;
  readonly first: number;
}

function nameOfRow({ writer, first }: RowName): string {
  return `${writer} ${first}`;
}

/** A segment that may become one with others of its day. */
interface MergedSegment {
  readonly id: number;
  readonly day: string;
  readonly groups: number;
  readonly entries: number;
}

interface WaitingRow extends ListedRow {
  readonly day: string;
  readonly keyBytes: number;
}

/** The rows of a writer beyond `indexed` and up to `high`, in the order of their sequences. */
interface WriterRows {
  readonly writer: WaitingWriter;
  readonly high: number;
  readonly rows: readonly WaitingRow[];
}

/**
 * Puts the keys of rows into pages (1764400000003-key-pages.ts). One replica at a time is about it; each step is one
 * transaction, so that whatever ends it leaves every row to be found, by its own keys or by a page.
 */
export class IndexJob {
  constructor(
    private readonly database: PostgresDatabase,
    private readonly limits: IndexLimits = indexLimits,
  ) {}

  /**
   * Makes segments of the oldest rows that have none, if enough wait, or if something of a day that is over does and no
   * segment was made for an hour, or, with `force`, if anything does; otherwise makes one segment of some, if there are
   * many. Says whether it did something.
   */
  step(force = false): Promise<boolean> {
    return this.database.transaction(async (client) => {
      const [held] = await client.query<{ held: boolean }>(
        'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS held',
        [this.lock],
      );
      if (!held!.held) return false;
      const writers = await client.query<WaitingWriter>(
        `SELECT writer, indexed, shipped, open_since FROM ${this.table('decision_writer')} WHERE shipped > indexed`,
      );
      const records = writers.reduce((sum, { shipped, indexed }) => sum + shipped - indexed, 0);
      const isPressed = force || records > pressedBy * this.limits.waiting;
      const turns = new Turns(isPressed ? 0 : pauseMs, shortTurnMs);
      if (writers.length === 0 || !(await this.isDue(client, writers, records, force)))
        return this.mergeSome(client, turns);
      const waiting = await this.readWaiting(client, writers);
      const chosen = await this.choose(waiting, turns);
      for (const day of new Set(chosen.map((row) => row.day))) {
        const rows = chosen.filter((row) => row.day === day);
        await this.writeSegment(client, day, rows, await this.readKeys(client, day, rows, turns), turns);
      }
      await this.noteIndexed(client, waiting, new Set(chosen));
      return true;
    });
  }

  /**
   * Makes the segments of a day anew that list one of these rows, whose keys were changed.
   *
   * @param day `2026-03-03`
   */
  async rebuild(day: string, changed: readonly RowName[]): Promise<void> {
    const names = new Set(changed.map(nameOfRow));
    await this.rebuildWhere(day, (row) => names.has(nameOfRow(row)));
  }

  /** Makes all segments of a day anew, whose rows have other keys. */
  rebuildDay(day: string): Promise<void> {
    return this.rebuildWhere(day, () => true);
  }

  private async rebuildWhere(day: string, isChanged: (row: RowName) => boolean): Promise<void> {
    // What a step that is under way makes is there when it has ended.
    const segments = await this.locked((client) =>
      client.query<{ id: number }>(`SELECT id FROM ${this.table('key_segment')} WHERE day = $1::date`, [day]),
    );
    for (const { id } of segments) await this.locked((client) => this.rebuildSegment(client, day, id, isChanged));
  }

  private async rebuildSegment(
    client: PostgresClient,
    day: string,
    id: number,
    isChanged: (row: RowName) => boolean,
  ): Promise<void> {
    const [segment] = await client.query<{ list: Buffer }>(
      `SELECT list FROM ${this.table('key_segment')} WHERE id = $1`,
      [id],
    );
    // Others were made one of it, which is rebuilt, too.
    if (segment === undefined) return;
    const listed = Array.from({ length: segment.list.length / listBytes }, (_, i) => {
      return decodeListed(segment.list, i * listBytes);
    });
    if (!listed.some(isChanged)) return;
    const rows = await client.query<WaitingRow>(
      `SELECT g.day, g.writer, g.first, g.since, g.until, g.count, ${textBytes('g')} AS bytes,
         octet_length(g.keys) AS "keyBytes"
       FROM unnest($2::int[], $3::int8[]) WITH ORDINALITY AS r(writer, first, place)
       JOIN ${this.table('decision_group')} g ON g.day = $1::date AND g.writer = r.writer AND g.first = r.first
       ORDER BY r.place`,
      [day, listed.map(({ writer }) => writer), listed.map(({ first }) => first)],
    );
    const turns = new Turns();
    const made = await this.writeSegment(client, day, rows, await this.readKeys(client, day, rows, turns), turns);
    await this.replace(client, day, made, [id]);
  }

  private locked<T>(work: (client: PostgresClient) => Promise<T>): Promise<T> {
    return this.database.transaction(async (client) => {
      await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [this.lock]);
      return work(client);
    });
  }

  /**
   * Forgets the segments of the UTC days before one (since 1970): after their partitions were dropped.
   *
   * @param held days before it that stay
   */
  async forget(day: number, held: readonly number[] = []): Promise<void> {
    await this.database.transaction(async (client) => {
      await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [this.lock]);
      await client.write(
        `DELETE FROM ${this.table('key_segment')} WHERE day < $1::date AND day <> ALL ($2::text[]::date[])`,
        [dayName(day), held.map(dayName)],
      );
    });
  }

  private get lock(): string {
    return `verdict key index of ${this.database.schema}`;
  }

  private table(name: string): string {
    return this.database.table(name);
  }

  private async isDue(
    client: PostgresClient,
    writers: readonly WaitingWriter[],
    records: number,
    force: boolean,
  ): Promise<boolean> {
    if (force) return true;
    if (records >= this.limits.waiting) return true;
    const [now] = await client.query<{ today: number; recent: boolean }>(
      `SELECT (extract(epoch FROM date_trunc('day', now() AT TIME ZONE 'UTC')) * 1000)::int8 AS today,
         EXISTS (SELECT FROM ${this.table('key_segment')} WHERE built > now() - interval '1 hour') AS recent`,
    );
    return !now!.recent && writers.some(({ open_since }) => open_since !== null && open_since < now!.today);
  }

  /** The oldest rows of each writer that have no pages. */
  private async readWaiting(client: PostgresClient, writers: readonly WaitingWriter[]): Promise<WriterRows[]> {
    const most = Math.max(leastSequences, Math.ceil((lookAhead * this.limits.records) / writers.length));
    const windows = writers.map((writer) => ({ writer, high: Math.min(writer.shipped, writer.indexed + most) }));
    const rows = await client.query<WaitingRow>(
      `SELECT g.day, g.writer, g.first, g.since, g.until, g.count, ${textBytes('g')} AS bytes,
         octet_length(g.keys) AS "keyBytes"
       FROM unnest($1::int[], $2::int8[], $3::int8[]) AS w(writer, low, high)
       CROSS JOIN unnest($4::date[]) AS d(day)
       JOIN ${this.table('decision_group')} g
         ON g.day = d.day AND g.writer = w.writer AND g.first > w.low AND g.first <= w.high
       WHERE g.day BETWEEN $5::date AND $6::date`,
      [
        windows.map(({ writer }) => writer.writer),
        windows.map(({ writer }) => writer.indexed),
        windows.map(({ high }) => high),
        ...(await this.readDays(client, writers)),
      ],
    );
    const byWriter = new Map<number, WaitingRow[]>(writers.map(({ writer }) => [writer, []]));
    for (const row of rows) byWriter.get(row.writer)!.push(row);
    return windows.map(({ writer, high }) => {
      const own = byWriter.get(writer.writer)!;
      return { writer, high, rows: own.sort((a, b) => a.first - b.first) };
    });
  }

  /** The days that can have rows without pages, with the first and the last of them. */
  private async readDays(client: PostgresClient, writers: readonly WaitingWriter[]): Promise<PostgresValue[]> {
    const since = Math.min(...writers.map(({ open_since }) => open_since ?? Number.MAX_SAFE_INTEGER));
    const rows = await client.query<{ day: string }>(
      `SELECT day FROM (
         SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM $$FROM \\('(\\d{4}-\\d\\d-\\d\\d)'\\)$$) AS day
         FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = $1::regclass AND NOT i.inhdetachpending) p
       WHERE day IS NOT NULL AND day::date >= (to_timestamp($2::int8 / 1000) AT TIME ZONE 'UTC')::date
       ORDER BY day`,
      [this.table('decision_group'), Math.min(since, lastTime)],
    );
    const days = rows.map(({ day }) => day);
    return [days, days[0] ?? '0001-01-01', days.at(-1) ?? '0001-01-01'];
  }

  /**
   * The rows that a step takes: those that end first, but of each writer all up to some sequence, since `indexed` says how
   * far that is. A writer's rows need not end in the order of their sequences.
   */
  private async choose(waiting: readonly WriterRows[], turns: Turns): Promise<readonly WaitingRow[]> {
    const reached = waiting.flatMap(({ rows }) => {
      let reach = 0;
      return rows.map((row) => {
        reach = Math.max(reach, row.until);
        return { row, reach };
      });
    });
    const inOrder = await sortInTurns(
      reached,
      (a, b) => a.reach - b.reach || a.row.writer - b.row.writer || a.row.first - b.row.first,
      turns,
    );
    let records = 0;
    const end = inOrder.findIndex(({ row }, i) => {
      records += row.count;
      return i > 0 && (i >= this.limits.rows || records > this.limits.records);
    });
    return sortInTurns(
      (end === -1 ? inOrder : inOrder.slice(0, end)).map(({ row }) => row),
      compareListed,
      turns,
    );
  }

  /** @param rows in the order of their ordinals */
  private async writeSegment(
    client: PostgresClient,
    day: string,
    rows: readonly ListedRow[],
    entries: SegmentEntries,
    turns: Turns,
  ): Promise<number> {
    const lowest = rows.reduce((least, { since }) => Math.min(least, since), Number.MAX_SAFE_INTEGER);
    const lag = rows.reduce((most, { since, until }) => Math.max(most, until - since), 0);
    const [segment] = await client.query<{ id: number }>(
      `INSERT INTO ${this.table('key_segment')} (day, since, until, lag, groups, entries, list, marks)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`,
      [day, lowest, rows.at(-1)!.until, lag, rows.length, entries.count, encodeList(rows), encodeMarks(rows)],
    );
    let pages: KeyPage[] = [];
    for await (const page of entries.pages(turns)) {
      if (pages.push(page) < pagesAtOnce) continue;
      await this.writePages(client, day, segment!.id, pages);
      pages = [];
    }
    if (pages.length > 0) await this.writePages(client, day, segment!.id, pages);
    return segment!.id;
  }

  /** Makes one segment of some of a day, which follow on each other in time; says whether there were any. */
  private async mergeSome(client: PostgresClient, turns: Turns): Promise<boolean> {
    const segments = await client.query<MergedSegment>(
      `SELECT id, day, groups, entries FROM ${this.table('key_segment')} ORDER BY day, until, id`,
    );
    const merged = segments.length > this.limits.segments ? smallestRun(segments, this.limits.rows) : [];
    const [{ day } = { day: '' }] = merged;
    const ids = merged.map(({ id }) => id);
    if (ids.length === 0) return false;
    const { rows, ordinals } = await this.readLists(client, ids, turns);
    const entries = new SegmentEntries(merged.reduce((sum, segment) => sum + segment.entries, 0));
    for (const id of ids) {
      for (let low = Buffer.alloc(0); ; ) {
        const pages = await client.query<KeyPage>(
          `SELECT low, entries FROM ${this.table('key_page')}
           WHERE day = $1::date AND segment = $2 AND low > $3::bytea ORDER BY low LIMIT ${pagesAtOnce}`,
          [day, id, low],
        );
        for (const page of pages) {
          if (turns.isOver) await turns.next();
          entries.addPage(page.entries, ordinals.get(id)!);
        }
        const last = pages.at(-1);
        if (last === undefined) break;
        low = Buffer.from(last.low);
      }
    }
    await this.replace(client, day, await this.writeSegment(client, day, rows, entries, turns), ids);
    return true;
  }

  /** Removes the segments that one was made of. */
  private async replace(client: PostgresClient, day: string, id: number, ids: readonly number[]): Promise<void> {
    await client.write(
      `UPDATE ${this.table('key_segment')} SET built = (
         SELECT max(built) FROM ${this.table('key_segment')} WHERE id = ANY ($2::int8[])) WHERE id = $1`,
      [id, ids],
    );
    await client.write(`DELETE FROM ${this.table('key_page')} WHERE day = $1::date AND segment = ANY ($2::int8[])`, [
      day,
      ids,
    ]);
    await client.write(`DELETE FROM ${this.table('key_segment')} WHERE id = ANY ($1::int8[])`, [ids]);
  }

  /** The rows of some segments in one order, and the new ordinals in it, by the old ones of each segment. */
  private async readLists(client: PostgresClient, ids: readonly number[], turns: Turns) {
    const listed: { readonly id: number; readonly ordinal: number; readonly row: ListedRow }[] = [];
    const ordinals = new Map<number, Uint16Array>();
    for (const id of ids) {
      const [segment] = await client.query<{ list: Buffer }>(
        `SELECT list FROM ${this.table('key_segment')} WHERE id = $1`,
        [id],
      );
      const count = segment!.list.length / listBytes;
      ordinals.set(id, new Uint16Array(count));
      for (let ordinal = 0; ordinal < count; ordinal++) {
        if (ordinal % 1_024 === 0 && turns.isOver) await turns.next();
        listed.push({ id, ordinal, row: decodeListed(segment!.list, ordinal * listBytes) });
      }
    }
    const inOrder = await sortInTurns(listed, (a, b) => compareListed(a.row, b.row), turns);
    for (const [ordinal, { id, ordinal: old }] of inOrder.entries()) ordinals.get(id)![old] = ordinal;
    return { rows: inOrder.map(({ row }) => row), ordinals };
  }

  private async readKeys(
    client: PostgresClient,
    day: string,
    rows: readonly WaitingRow[],
    turns: Turns,
  ): Promise<SegmentEntries> {
    const entries = new SegmentEntries(Math.ceil(rows.reduce((sum, { keyBytes }) => sum + keyBytes, 0) / 8));
    for (let from = 0; from < rows.length; from += rowsAtOnce) {
      const some = rows.slice(from, from + rowsAtOnce);
      const read = await client.query<{ place: number; keys: Buffer }>(
        `SELECT r.place, g.keys FROM unnest($2::int[], $3::int8[]) WITH ORDINALITY AS r(writer, first, place)
         JOIN ${this.table('decision_group')} g ON g.day = $1::date AND g.writer = r.writer AND g.first = r.first
         ORDER BY r.place`,
        [day, some.map(({ writer }) => writer), some.map(({ first }) => first)],
      );
      for (const { place, keys } of read) {
        if (turns.isOver) await turns.next();
        entries.add(from + place - 1, keys);
      }
    }
    return entries;
  }

  private async writePages(
    client: PostgresClient,
    day: string,
    segment: number,
    pages: readonly KeyPage[],
  ): Promise<void> {
    const values = pages.map((_, i) => `($1::date, $2::int8, $${2 * i + 3}::bytea, $${2 * i + 4}::bytea)`);
    await client.write(
      `INSERT INTO ${this.table('key_page')} (day, segment, low, entries) VALUES ${values.join(', ')}`,
      [day, segment, ...pages.flatMap(({ low, entries }) => [low, entries])],
    );
  }

  /** Says up to where each writer's rows have pages. Shippers wait for it until the transaction ends. */
  private async noteIndexed(
    client: PostgresClient,
    waiting: readonly WriterRows[],
    chosen: ReadonlySet<WaitingRow>,
  ): Promise<void> {
    const locked = await client.query<WaitingWriter>(
      `SELECT writer, shipped, open_since FROM ${this.table('decision_writer')}
       WHERE writer = ANY ($1::int[]) ORDER BY writer FOR UPDATE`,
      [waiting.map(({ writer }) => writer.writer)],
    );
    const shipped = new Map(locked.map((row) => [row.writer, row]));
    const noted = [];
    for (const { writer, high, rows } of waiting) {
      const now = shipped.get(writer.writer);
      if (now === undefined) continue;
      const left = rows.filter((row) => !chosen.has(row));
      const beyond = now.shipped > high ? await this.lowestSince(client, now, high) : undefined;
      const since = Math.min(beyond ?? Number.MAX_SAFE_INTEGER, ...left.map((row) => row.since));
      noted.push({
        writer: writer.writer,
        indexed: left[0] === undefined ? high : left[0].first - 1,
        since: since === Number.MAX_SAFE_INTEGER ? null : since,
      });
    }
    await client.write(
      `UPDATE ${this.table('decision_writer')} w SET indexed = n.indexed, open_since = n.since
       FROM unnest($1::int[], $2::int8[], $3::int8[]) AS n(writer, indexed, since) WHERE w.writer = n.writer`,
      [noted.map(({ writer }) => writer), noted.map(({ indexed }) => indexed), noted.map(({ since }) => since)],
    );
  }

  /** The lowest time of the writer's rows beyond a sequence, or a lower one where they are many. */
  private async lowestSince(client: PostgresClient, writer: WaitingWriter, after: number): Promise<number | undefined> {
    const { shipped, open_since } = writer;
    if (shipped - after > this.limits.records) return open_since ?? undefined;
    const [row] = await client.query<{ since: number | null }>(
      `SELECT min(g.since) AS since FROM unnest($3::date[]) AS d(day)
       JOIN ${this.table('decision_group')} g ON g.day = d.day AND g.writer = $1 AND g.first > $2
       WHERE g.day BETWEEN $4::date AND $5::date`,
      [writer.writer, after, ...(await this.readDays(client, [writer]))],
    );
    return row?.since ?? undefined;
  }
}

/** The end of the year 9999: later days have no text of four digits. */
const lastTime = 253_402_300_799_999;

/** In the order of a segment's list. */
function compareListed(a: ListedRow, b: ListedRow): number {
  return a.until - b.until || a.writer - b.writer || a.first - b.first;
}

/**
 * Two to four segments of one day that follow on each other, and have no more than `most` rows and `mergedEntries` entries
 * together: as many as there are, and of these the ones with the fewest rows.
 *
 * @param segments by day, then in order of time
 */
function smallestRun(segments: readonly MergedSegment[], most: number): readonly MergedSegment[] {
  for (let length = mergedAtOnce; length >= 2; length--) {
    let smallest: readonly MergedSegment[] = [];
    let least = most + 1;
    for (let i = 0; i + length <= segments.length; i++) {
      const run = segments.slice(i, i + length);
      if (run.at(-1)!.day !== run[0]!.day) continue;
      const rows = run.reduce((sum, { groups }) => sum + groups, 0);
      const entries = run.reduce((sum, segment) => sum + segment.entries, 0);
      if (rows < least && entries <= mergedEntries) [smallest, least] = [run, rows];
    }
    if (smallest.length > 0) return smallest;
  }
  return [];
}
