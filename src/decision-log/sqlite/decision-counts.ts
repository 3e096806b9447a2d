import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { VerdictError } from '../../errors.js';
import { offsetRuns } from '../../query/zone-offsets.js';
import { Turns } from '../../turns/turns.js';
import { type TallyField, type TallyRow, tallyFields } from '../tally.js';
import { recount } from './recount.js';
import { readTallies, type TallyGroup, type TallyQuestion } from './tally-query.js';
import { openFields, tallyLimits } from './tally-table.js';
import type { UncountedGroup } from './uncounted.js';

/** Most rows of an answer: more are nobody's chart. */
export const rowLimit = 10_000;
/** Most values of a field that an answer keeps apart: files may have named different ones. */
export const valueLimit = 5_000;
/** Records that a service reads again for an answer when no count of them was kept: a tenth of a second. */
export const recountLimit = 16_384;
/** Rows that the event loop adds up at a time: half a millisecond. */
const rowsAtOnce = 512;
const dayMinutes = 1_440;

/** A file of the journal as counting sees it. */
export interface CountedFile {
  /** Has the index, with the journal attached as `journal`. */
  readonly connection: SqliteConnection;
  /** True if the index has counts of this journal. */
  readonly hasCounts: boolean;
  /** Sequences before its first and of its last record. */
  readonly before: number;
  readonly end: number;
  /** The newest groups, from the memory of the writing process, taken before anything is read. */
  readonly uncounted: readonly UncountedGroup[];
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/** Adds up what the files of a log say to one question. */
export class DecisionCounts {
  private readonly groupsByStart = new Map<number, Map<string, Mutable<TallyGroup>>>();
  private rows = 0;
  private readonly starts = new Map<number, number | undefined>();
  /** Decisions that match, but for filters on values that were not kept apart. */
  uncertain = 0;
  total = 0;

  private readonly names: NameBounds;
  private readonly turns = new Turns();

  constructor(
    private readonly question: TallyQuestion,
    private readonly limit = rowLimit,
    values = valueLimit,
  ) {
    this.names = new NameBounds(values);
  }

  /** The counts, one list for each bucket with records, in order of time. */
  buckets(): TallyGroup[][] {
    const starts = [...this.groupsByStart.keys()].sort((a, b) => a - b);
    return starts.map((start) => [...this.groupsByStart.get(start)!.values()]);
  }

  /**
   * Adds a file's decisions. Returns the last sequence up to which all are counted when some are not: the index is being
   * built and more than `mostRecounted` records would have to be read.
   */
  async addFile(file: CountedFile, mostRecounted = recountLimit): Promise<number | undefined> {
    const { connection, end } = file;
    let read = 0;
    const add = (groups: TallyGroup[]) => {
      read += groups.length;
      // What is left out beyond the limit may be what this answer would count with others, so it cannot be given.
      if (read > this.limit) throw tooManyRows(this.limit);
      for (const group of groups) this.add(group);
    };
    const counted = file.hasCounts ? await readTallies(connection, this.question, this.limit, add) : 0;
    const names = new NameBounds(tallyLimits.names);
    const newest = file.uncounted.filter(({ last }) => last > counted && last <= end);
    const from = Math.max(counted, file.before);
    const known = newest[0] === undefined ? end : newest[0].first - 1;
    const isComplete = known - from <= mostRecounted;
    if (isComplete) for await (const rows of recount(connection, from, known)) await this.addRows(rows, names);
    for (const { rows } of newest) await this.addRows(rows, names);
    return isComplete ? undefined : from;
  }

  private async addRows(rows: readonly TallyRow[], names: NameBounds): Promise<void> {
    const { from, to, filters, policySets, by } = this.question;
    for (let i = 0; i < rows.length; i += rowsAtOnce) {
      if (this.turns.isOver) await this.turns.next();
      for (const row of rows.slice(i, i + rowsAtOnce)) {
        if (row.minute < from || row.minute >= to) continue;
        if (policySets !== undefined && !policySets.includes(row.policySet)) continue;
        const kept = (field: TallyField) => (names.keeps(field, row[field]) ? row[field] : null);
        const filtered = tallyFields.filter((field) => filters[field] !== undefined);
        if (filtered.some((field) => filters[field] !== row[field])) continue;
        this.add({ start: this.startOf(row.minute), values: by.map(kept), isUncertain: false, count: row.count });
      }
    }
  }

  private add(group: TallyGroup): void {
    if (group.isUncertain) {
      this.uncertain += group.count;
      return;
    }
    this.total += group.count;
    let bucket = this.groupsByStart.get(group.start ?? 0);
    if (bucket === undefined) {
      bucket = new Map();
      this.groupsByStart.set(group.start ?? 0, bucket);
    }
    const values = this.boundValues(group.values);
    const key = JSON.stringify(values);
    const same = bucket.get(key);
    if (same !== undefined) same.count += group.count;
    else {
      bucket.set(key, { ...group, values });
      this.rows++;
    }
    if (this.rows > this.limit) throw tooManyRows(this.limit);
  }

  private boundValues(values: TallyGroup['values']): TallyGroup['values'] {
    const { by } = this.question;
    return values.map((value, i) => (value === null || this.names.keeps(by[i]!, value) ? value : null));
  }

  /** The minute at which the bucket of a minute begins, as in `readTallies`. */
  private startOf(minute: number): number | undefined {
    if (this.question.bucket === undefined) return undefined;
    if (!this.starts.has(minute)) {
      if (this.starts.size > this.limit) this.starts.clear();
      this.starts.set(minute, bucketStart(this.question, minute));
    }
    return this.starts.get(minute);
  }
}

/** The lowest time of the first group after a sequence, in milliseconds since 1970. */
export async function timeAfter(connection: SqliteConnection, sequence: number): Promise<number> {
  const [row] = await connection.query<{ since: number }>(
    'SELECT since FROM journal.journal WHERE first > ? ORDER BY first LIMIT 1',
    [sequence],
  );
  return row?.since ?? 0;
}

function bucketStart({ bucket = 1, zone }: TallyQuestion, minute: number): number {
  const time = minute * 60_000;
  if (bucket === dayMinutes) return zone.startOfDay(zone.dayAt(time)) / 60_000;
  const offset = zone.offsetAt(time);
  const start = Math.floor((minute + offset) / bucket) * bucket - offset;
  // Where clocks were changed within the bucket, it begins then.
  return zone.offsetAt(start * 60_000) === offset ? start : offsetRuns(zone, start, minute).at(-1)!.start;
}

/** Keeps a number of values of each field apart, those that come first. Sets and answers are always kept. */
class NameBounds {
  private readonly names = new Map<TallyField, Set<string>>(openFields.map((field) => [field, new Set()]));

  constructor(private readonly limit: number) {}

  keeps(field: TallyField, name: string): boolean {
    const names = this.names.get(field);
    if (names === undefined || names.has(name)) return true;
    if (names.size >= this.limit) return false;
    names.add(name);
    return true;
  }
}

function tooManyRows(limit: number): VerdictError {
  const detail = `gives more than ${limit} rows, which is the most; ask for less time, fewer fields or a longer bucket`;
  return new VerdictError('invalid_request', `The query ${detail}.`, { errors: [{ pointer: '/bucket', detail }] });
}
