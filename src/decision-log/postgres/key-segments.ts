import { keyBytes } from '../record-keys.js';
import { type Candidate, type CandidateSource, compareRows, type Passed, type RowKey } from './candidates.js';
import {
  decodeListed,
  type KeyPage,
  type ListedRow,
  listBytes,
  markBytes,
  markedRows,
  pageEntryBytes,
  placeBytes,
  placeOf,
} from './key-pages.js';
import type { LogTransaction, RowRange } from './row-walk.js';

/** Segments that are asked of the database at a time. */
const segmentsAtOnce = 256;
/** Segments whose pages one statement reads: few at first, since the newest one often has enough. */
const firstOpened = 4;
const lastOpened = 64;
/** Days that one statement reads pages of: the fewer, the faster it is planned. */
const daysAtOnce = 8;
/** Rows of a segment that are found at a time: few at first. */
const firstRows = 4;
const lastRows = 64;
/** Reading a page costs as much as reading the text of 16 records. */
const pageCost = 16;
/** A source says how far it is when it has spent this much since it last did, or this long in milliseconds. */
const costOfPause = 512;
const longMs = 15;

/** A segment in which rows with all keys may be. */
interface Segment {
  readonly id: number;
  readonly day: string;
  readonly since: number;
  readonly until: number;
  readonly lag: number;
  readonly groups: number;
  readonly marks: Buffer;
}

/** A page of a segment that may have the key, at or before an ordinal. */
interface PageRequest {
  readonly segment: Segment;
  readonly key: Buffer;
  readonly ordinal: number;
}

/**
 * The rows that have all keys, by the pages of the key index. Segments are opened when the position falls below their
 * `until`; those of one time overlap, since replicas ship when they can.
 */
export class SegmentCandidates implements CandidateSource {
  private readonly open: SegmentCursor[] = [];
  /** Segments that are still to be opened, the newest first, and where the next ones are asked for; undefined at the end. */
  private unopened: Segment[] = [];
  private listed: { readonly until: number; readonly id: number } | undefined = {
    until: Number.MAX_SAFE_INTEGER,
    id: Number.MAX_SAFE_INTEGER,
  };
  private opened = firstOpened;
  private spent = 0;

  constructor(
    private readonly transaction: LogTransaction,
    private readonly keys: readonly Buffer[],
    private readonly range: RowRange,
  ) {}

  async next(): Promise<Candidate | Passed | undefined> {
    const started = performance.now();
    for (;;) {
      if (this.unopened.length === 0 && this.listed !== undefined) await this.list(this.listed);
      const cursor = this.highest();
      const newest = this.unopened[0];
      if (cursor === undefined && newest === undefined) return undefined;
      const below = cursor?.below;
      if (newest !== undefined && (below === undefined || below.until <= newest.until)) await this.openSome();
      else if (cursor!.head !== undefined) {
        const row = cursor!.take();
        this.closeEnded(cursor!);
        return { ...row, cost: this.takeCost() };
      } else {
        this.spent += pageCost * (await cursor!.read(this.transaction));
        this.closeEnded(cursor!);
      }
      const isLong = this.spent >= costOfPause || performance.now() - started > longMs;
      const passed = isLong ? this.position() : undefined;
      if (passed !== undefined) return { ...passed, cost: this.takeCost() };
    }
  }

  /** What is left lies below this; undefined where the next row is known. */
  private position(): RowKey | undefined {
    const cursor = this.highest();
    const below = cursor?.below;
    if (cursor?.head !== undefined) return undefined;
    const newest = this.unopened[0] ?? (this.listed === undefined ? undefined : { until: this.listed.until });
    if (newest === undefined || (below !== undefined && below.until > newest.until)) return below;
    return above(newest.until);
  }

  private highest(): SegmentCursor | undefined {
    let highest: SegmentCursor | undefined;
    for (const cursor of this.open) {
      if (highest === undefined || compareRows(cursor.below!, highest.below!) > 0) highest = cursor;
    }
    return highest;
  }

  private closeEnded(cursor: SegmentCursor): void {
    if (cursor.below === undefined) this.open.splice(this.open.indexOf(cursor), 1);
  }

  private takeCost(): number {
    const cost = this.spent;
    this.spent = 0;
    return cost;
  }

  private async list(after: { readonly until: number; readonly id: number }): Promise<void> {
    const { client, table } = this.transaction;
    const { below, from = 0 } = this.range;
    this.unopened = await client.query<Segment>(
      `SELECT id, day, since, until, lag, groups, marks FROM ${table('key_segment')}
       WHERE (until, id) < ($1::int8, $2::int8) AND until >= $3::int8 AND since <= $4::int8
       ORDER BY until DESC, id DESC LIMIT ${segmentsAtOnce}`,
      [after.until, after.id, from, below?.time ?? Number.MAX_SAFE_INTEGER],
    );
    this.listed = this.unopened.length < segmentsAtOnce ? undefined : this.unopened.at(-1);
  }

  /** Reads the first page for each key in the next segments; those that do not have every key are passed over. */
  private async openSome(): Promise<void> {
    const days = [...new Set(this.unopened.slice(0, this.opened).map(({ day }) => day))].slice(0, daysAtOnce);
    const end = this.unopened.findIndex(({ day }, i) => i >= this.opened || !days.includes(day));
    const segments = this.unopened.splice(0, end === -1 ? this.unopened.length : end);
    const starts = segments.map((segment) => startIn(segment, this.range));
    const requests = segments.flatMap((segment, i) => {
      return this.keys.map((key) => ({ segment, key, ordinal: starts[i]! }));
    });
    const started = performance.now();
    const pages = await readPages(this.transaction, requests);
    // Where the disk is slow, a few segments take as long as many that are in memory.
    const wanted = (segments.length * longMs) / (performance.now() - started);
    this.opened = Math.round(Math.min(lastOpened, 4 * this.opened, Math.max(firstOpened, wanted)));
    this.spent += (requests.length * pageCost) / 4;
    for (const [i, segment] of segments.entries()) {
      const own = pages.slice(i * this.keys.length, (i + 1) * this.keys.length);
      if (own.some((page) => page === undefined)) continue;
      const postings = this.keys.map((key, j) => new Posting(key, own[j]!));
      const cursor = new SegmentCursor(segment, postings, starts[i]!, this.range);
      if (cursor.below !== undefined) this.open.push(cursor);
    }
  }
}

/** Goes through the rows of a segment that have all keys, from the highest ordinal to the lowest. */
class SegmentCursor {
  private rows: ListedRow[] = [];
  private size = firstRows;
  private isOver = false;

  constructor(
    private readonly segment: Segment,
    private readonly postings: readonly Posting[],
    /** The highest ordinal that was not looked at. */
    private ordinal: number,
    private readonly range: RowRange,
  ) {
    this.isOver = ordinal < 0;
  }

  /** The next row, where it has been read. */
  get head(): ListedRow | undefined {
    return this.rows[0];
  }

  /** What is left is this row, or lies below this; undefined when nothing is left. */
  get below(): RowKey | undefined {
    return this.head ?? (this.isOver ? undefined : above(highestUntil(this.segment, this.ordinal)));
  }

  take(): Omit<Candidate, 'cost'> {
    return this.rows.shift()!;
  }

  /** Finds some rows, or reads the pages that finding some needs; returns how many pages were read. */
  async read(transaction: LogTransaction): Promise<number> {
    const ordinals: number[] = [];
    let wanted: PageRequest[] = [];
    while (ordinals.length < this.size && this.ordinal >= 0 && wanted.length === 0) {
      const found = this.postings.map((posting) => posting.atOrBefore(this.ordinal));
      const missing = found.flatMap((entry, i) => (entry === 'elsewhere' ? [this.postings[i]!] : []));
      if (found.includes(undefined)) this.ordinal = -1;
      else if (missing.length > 0) {
        wanted = missing.map(({ key }) => ({ segment: this.segment, key, ordinal: this.ordinal }));
      } else {
        const entries = found as Entry[];
        const lowest = Math.min(...entries.map(({ ordinal }) => ordinal));
        const mask = entries.reduce((all, entry) => all & entry.mask, 0xffff);
        if (entries.every(({ ordinal }) => ordinal === lowest)) {
          // Records with one key, and others with the other: the row has none with both.
          if (mask !== 0) ordinals.push(lowest);
          this.ordinal = lowest - 1;
        } else this.ordinal = lowest;
      }
    }
    if (wanted.length > 0) {
      const pages = await readPages(transaction, wanted);
      for (const [i, { key }] of wanted.entries()) {
        const posting = this.postings.find((each) => each.key === key)!;
        if (pages[i] === undefined) this.ordinal = -1;
        else posting.page = pages[i];
      }
    }
    if (ordinals.length > 0) await this.readRows(transaction, ordinals);
    this.isOver ||= this.ordinal < 0;
    return wanted.length;
  }

  private async readRows({ client, table }: LogTransaction, ordinals: readonly number[]): Promise<void> {
    const read = await client.query<{ row: Buffer }>(
      `SELECT substr(s.list, o.ordinal * ${listBytes} + 1, ${listBytes}) AS row
       FROM ${table('key_segment')} s, unnest($2::int[]) WITH ORDINALITY AS o(ordinal, place)
       WHERE s.id = $1::int8 ORDER BY o.place`,
      [this.segment.id, ordinals],
    );
    const { below, from = 0 } = this.range;
    for (const { row } of read) {
      const listed = decodeListed(row);
      if (listed.until < from) {
        this.isOver = true;
        break;
      }
      if (below === undefined || listed.since <= below.time) this.rows.push(listed);
    }
    this.size = Math.min(lastRows, 2 * this.size);
  }
}

interface Entry {
  readonly ordinal: number;
  readonly mask: number;
}

/** The rows of a segment that have a key: the page that is looked at now. */
class Posting {
  constructor(
    readonly key: Buffer,
    public page: KeyPage,
  ) {}

  /** The highest entry of the key at or before an ordinal: undefined where there is none. */
  atOrBefore(ordinal: number): Entry | 'elsewhere' | undefined {
    const place = placeOf(this.key, ordinal);
    const { entries, low } = this.page;
    if (Buffer.compare(place, low) < 0) {
      // The page begins with the key, so the pages before it can have it too.
      return this.key.equals(low.subarray(0, keyBytes)) ? 'elsewhere' : undefined;
    }
    // Invariant: the entry at `from` is not beyond the place, that at `end` is.
    let from = 0;
    let end = entries.length / pageEntryBytes;
    while (end - from > 1) {
      const middle = Math.floor((from + end) / 2);
      const at = middle * pageEntryBytes;
      if (place.compare(entries, at, at + placeBytes) >= 0) from = middle;
      else end = middle;
    }
    const at = from * pageEntryBytes;
    if (this.key.compare(entries, at, at + keyBytes) !== 0) return undefined;
    return { ordinal: entries.readUInt16BE(at + keyBytes), mask: entries.readUInt16BE(at + placeBytes) };
  }
}

/** The pages that are asked for; undefined where the segment does not have the key at or before the ordinal. */
async function readPages(
  { client, table }: LogTransaction,
  requests: readonly PageRequest[],
): Promise<(KeyPage | undefined)[]> {
  const days = requests.map(({ segment }) => segment.day).sort();
  const rows = await client.query<KeyPage & { place: number }>(
    // The key that a page has at its end, across two entries, is found and means nothing; the reader compares.
    `SELECT r.place, p.low, p.entries
     FROM unnest($1::date[], $2::int8[], $3::bytea[]) WITH ORDINALITY AS r(day, segment, low, place)
     CROSS JOIN LATERAL (
       SELECT k.low, k.entries FROM ${table('key_page')} k
       WHERE k.day = r.day AND k.segment = r.segment AND k.low <= r.low AND k.day BETWEEN $4::date AND $5::date
       ORDER BY k.low DESC LIMIT 1) p
     WHERE position(substr(r.low, 1, ${keyBytes}) IN p.entries) > 0`,
    [
      requests.map(({ segment }) => segment.day),
      requests.map(({ segment }) => segment.id),
      requests.map(({ key, ordinal }) => `\\x${placeOf(key, ordinal).toString('hex')}`),
      days[0]!,
      days.at(-1)!,
    ],
  );
  const pages: (KeyPage | undefined)[] = requests.map(() => undefined);
  for (const { place, low, entries } of rows) pages[place - 1] = { low, entries };
  return pages;
}

/** The highest ordinal of a row that can begin at or before the end of the range; -1 where there is none. */
function startIn({ groups, lag, marks }: Segment, { below }: RowRange): number {
  if (below === undefined) return groups - 1;
  for (let i = 0; i * markBytes < marks.length; i++) {
    if (marks.readUIntBE(i * markBytes, markBytes) > below.time + lag) return i * markedRows - 1;
  }
  return groups - 1;
}

/** No row up to this ordinal ends later. */
function highestUntil({ marks, until }: Segment, ordinal: number): number {
  const next = (Math.floor(ordinal / markedRows) + 1) * markBytes;
  return next < marks.length ? marks.readUIntBE(next, markBytes) : until;
}

/** Above every row that ends at this time. */
function above(until: number): RowKey {
  return { until, writer: 2 ** 31 - 1, first: Number.MAX_SAFE_INTEGER };
}

/** The key pages of the shared log, as a search asks for them. */
export const keySegments = {
  /** The rows that have all keys, of those that pages cover. Throws DatabaseError when it is read. */
  sources(transaction: LogTransaction, keys: readonly Buffer[], range: RowRange): Promise<readonly CandidateSource[]> {
    return Promise.resolve([new SegmentCandidates(transaction, keys, range)]);
  },
};
