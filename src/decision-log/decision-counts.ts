import { VerdictError } from '../errors.js';
import { offsetRuns } from '../query/zone-offsets.js';
import { Turns } from '../turns/turns.js';
import { type TallyField, type TallyRow, tallyFields } from './tally.js';
import { dayMinutes, openFields, type TallyGroup, type TallyQuestion } from './tally-question.js';

/** Most rows of an answer: more are nobody's chart. */
const rowLimit = 10_000;
/** Most values of a field that an answer keeps apart: what it adds up may have named different ones. */
const valueLimit = 5_000;
/** Rows that the event loop adds up at a time: half a millisecond. */
const rowsAtOnce = 512;

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/** Adds up what the parts of a log (files, tables, what is in memory) say to one question. */
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
    readonly question: TallyQuestion,
    /** Most rows of the answer. */
    readonly limit = rowLimit,
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
   * What takes the groups of one part of the log, some at a time.
   *
   * @throws VerdictError `invalid_request` when there are more of them than rows of an answer: what is left out beyond
   * the limit may be what this answer would count with others, so it cannot be given
   */
  part(): (groups: readonly TallyGroup[]) => void {
    let read = 0;
    return (groups) => {
      read += groups.length;
      if (read > this.limit) throw tooManyRows(this.limit);
      for (const group of groups) this.add(group);
    };
  }

  /** Adds rows that no store has counted; `names` bounds the values that they bring. Throws like `part`. */
  async addRows(rows: readonly TallyRow[], names: NameBounds): Promise<void> {
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

  /** The minute at which the bucket of a minute begins, as SQL finds it (`startOf`). */
  private startOf(minute: number): number | undefined {
    if (this.question.bucket === undefined) return undefined;
    if (!this.starts.has(minute)) {
      if (this.starts.size > this.limit) this.starts.clear();
      this.starts.set(minute, bucketStart(this.question, minute));
    }
    return this.starts.get(minute);
  }
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
export class NameBounds {
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
