import { Turns } from '../../turns/turns.js';
import type { DecisionRecord } from '../decision-record.js';
import type { KeyedIndex } from '../keyed-index.js';
import { isRecordLine, timeOfLine } from '../line-time.js';
import { filterKeys, matchingRecords, type RecordFilter, readsTexts } from '../record-filter.js';
import {
  type Candidate,
  type CandidateSource,
  compareRows,
  isCandidate,
  ListedCandidates,
  MergedCandidates,
} from './candidates.js';
import type { LogSnapshot } from './log-snapshot.js';
import { type OwnTail, tailWriter } from './own-tail.js';
import { comparePositions, lowerPosition, type RecordPosition } from './record-position.js';
import { type ReadRow, readTexts } from './row-texts.js';
import { type LogTransaction, type RowRange, RowWalk, readDays, wideRows } from './row-walk.js';
import type { WriterGap } from './shared-gaps.js';
import { readTailText, tailRows } from './tail-rows.js';

/** The rows that the key pages cover. */
export interface SharedKeyIndex {
  /**
   * The sources of the rows that have all keys, within `transaction`'s snapshot: those with records below `range.below`,
   * which may end above it, and none that ends before `range.from`.
   */
  sources(transaction: LogTransaction, keys: readonly Buffer[], range: RowRange): Promise<readonly CandidateSource[]>;
}

/** Where records are looked for. */
export interface SearchedLog {
  readonly transaction: LogTransaction;
  readonly snapshot: LogSnapshot;
  readonly tail: OwnTail | undefined;
  /** Without it every row is passed over by its own keys. */
  readonly keyIndex: SharedKeyIndex | undefined;
  /** The highest sequence of a writer that is wanted; without it, all. */
  readonly upTo?: (writer: number) => number;
}

/** How much is looked for at a time. */
export interface SearchLimits {
  readonly records: number;
  /** Most text of records, about, in characters. */
  readonly length: number;
  /** Most work, in records whose text is read; passing over one by keys costs a sixteenth. */
  readonly work: number;
  /** Longest time in milliseconds, about. */
  readonly ms: number;
}

export interface FoundRecords {
  /** The newest first. */
  readonly records: readonly DecisionRecord[];
  readonly positions: readonly RecordPosition[];
  /** Every record from this place on was looked at, and those that match are among `records`; undefined: all were. */
  readonly end: RecordPosition | undefined;
  /** True if the budget was used up before there were enough. */
  readonly isPartial: boolean;
  /** Records whose text is not what was written. */
  readonly damage: readonly WriterGap[];
}

/** Rows whose texts are read at a time: few at first, since the first page is often in the newest ones. */
const firstBatch = 4;
const lastBatch = 16;
/** Where PostgreSQL looks through the texts and sends few. */
const lastTextBatch = 1_024;
/**
 * Records can be large: no more text than this is read at a time, or one row, so that it becomes strings within a millisecond or
 * two; and no more is looked through by PostgreSQL.
 */
const batchBytes = 2 ** 20;
const textBatchBytes = 2 ** 25;
/** As many rows are read at a time as take about so long, in milliseconds. */
const longMs = 15;

interface Found {
  readonly position: RecordPosition;
  readonly record: DecisionRecord;
  readonly length: number;
}

/**
 * The next records below a place that match, in the order of all. Rows overlap, so records wait until no row that is still
 * to come can hold a higher one (`MergedCandidates.below`).
 */
export async function findRecords(
  log: SearchedLog,
  filter: RecordFilter,
  after: RecordPosition | undefined,
  limits: SearchLimits,
): Promise<FoundRecords> {
  const ends = performance.now() + limits.ms;
  // `to` itself is not wanted, and writers are counted from 1.
  const to = filter.to === undefined ? undefined : { time: filter.to, writer: 0, sequence: 0 };
  const range: RowRange = { below: lowerPosition(after, to), from: filter.from };
  const rows = await MergedCandidates.of(await sourcesOf(log, filter, range));
  const matches = new Matches(log, filter, range);
  const found: Found[] = [];
  let left = limits.work;
  let length = 0;
  // PostgreSQL looks through no text that is encrypted.
  let batch = new BatchSize(readsTexts(filter) && log.snapshot.index === undefined);
  let newest: Candidate | undefined;
  let steps = 0;
  const isSpent = (): boolean => {
    // However slow the database is, a page goes on.
    if (steps === 0) return false;
    const { below } = rows;
    // Rows that begin within the range and end above it are read in any case: the next page would read them again.
    const hasGoneOn = below === undefined || range.below === undefined || comparePositions(below, range.below) < 0;
    return hasGoneOn && (left <= 0 || performance.now() > ends);
  };
  for (;;) {
    const { below } = rows;
    let next = matches.next(below);
    while (next !== undefined && found.length < limits.records && length < limits.length) {
      found.push(next);
      length += next.length;
      next = matches.next(below);
    }
    if (next !== undefined) matches.putBack(next);
    if (found.length >= limits.records || length >= limits.length) {
      // One more than asked for shows that there is more.
      if (matches.count > 0) return result(found, matches, found.at(-1)!.position, false);
    }
    if (below === undefined) return result(found, matches, undefined, false);
    if (isSpent()) return result(found, matches, below, true);
    const candidates: Candidate[] = [];
    let bytes = 0;
    while (candidates.length < batch.rows && bytes < batch.bytes && !isSpent()) {
      const step = await rows.take();
      if (step === undefined) break;
      steps++;
      left -= step.cost;
      if (!isCandidate(step) || !matches.isWanted(step)) continue;
      // It can have the keys of both lists, by chance.
      if (newest !== undefined && compareRows(newest, step) === 0) continue;
      newest = step;
      candidates.push(step);
      bytes += step.bytes;
      left -= step.count;
    }
    const started = performance.now();
    const texts = await textsOf(log, candidates, filter);
    batch = batch.after(candidates.length, performance.now() - started, texts);
    await matches.add(texts);
  }
}

function result(
  found: readonly Found[],
  { damage }: Matches,
  end: RecordPosition | undefined,
  isPartial: boolean,
): FoundRecords {
  return {
    records: found.map(({ record }) => record),
    positions: found.map(({ position }) => position),
    end,
    isPartial,
    damage,
  };
}

async function sourcesOf(log: SearchedLog, filter: RecordFilter, range: RowRange): Promise<CandidateSource[]> {
  const { transaction, snapshot, tail, keyIndex } = log;
  const keys = filterKeys(filter);
  // A log that was encrypted later has rows of both kinds.
  const lists = keys.length === 0 ? [] : [keys, ...maskedKeys(keys, snapshot.index)];
  const sources: CandidateSource[] = [];
  if (tail !== undefined) {
    const end = log.upTo?.(tailWriter(tail)) ?? Number.MAX_SAFE_INTEGER;
    sources.push(new ListedCandidates(await tailRows(tail, snapshot.shipped, end, range, keys)));
  }
  const isIndexed = keyIndex !== undefined && keys.length > 0;
  if (isIndexed) for (const list of lists) sources.push(...(await keyIndex.sources(transaction, list, range)));
  const { unindexedSince } = snapshot;
  if (isIndexed && unindexedSince === undefined) return sources;
  const walked = { keys: lists, isUnindexed: isIndexed };
  // A row that ends before has no part in this.
  const from = isIndexed ? Math.max(range.from ?? 0, unindexedSince ?? 0) : range.from;
  const days = await readDays(transaction);
  const wide = await wideRows(transaction, days, { ...range, from }, walked);
  sources.push(new ListedCandidates(wide), new RowWalk(transaction, days, { ...range, from }, walked));
  return sources;
}

function maskedKeys(keys: readonly Buffer[], index: KeyedIndex | undefined): Buffer[][] {
  return index === undefined ? [] : [keys.map((key) => index.maskKeys(key))];
}

async function textsOf(log: SearchedLog, candidates: readonly Candidate[], filter: RecordFilter): Promise<ReadRow[]> {
  const own = log.tail === undefined ? undefined : tailWriter(log.tail);
  const isOfTail = ({ after }: Candidate) => after !== undefined;
  const stored = candidates.filter((candidate) => !isOfTail(candidate));
  const texts = stored.length === 0 ? [] : [...(await readTexts(log.transaction, stored, filter))];
  for (const candidate of candidates) {
    if (!isOfTail(candidate) || own === undefined) continue;
    const records = candidate.records ?? (await readTailText(log.tail!, candidate.first));
    if (records !== undefined) texts.push({ candidate, records });
  }
  return texts;
}

/** How many rows are read at a time. */
class BatchSize {
  constructor(
    private readonly looksThrough: boolean,
    readonly rows = firstBatch,
  ) {}

  get bytes(): number {
    return this.looksThrough ? textBatchBytes : batchBytes;
  }

  /** The next one, when a batch of `rows` took so long and gave these texts. */
  after(rows: number, ms: number, texts: readonly ReadRow[]): BatchSize {
    if (rows === 0) return this;
    const length = texts.reduce((sum, { records }) => sum + records.length, 0);
    const wanted = Math.min(this.rows * 2, (rows * longMs) / ms, (rows * batchBytes) / length);
    const most = this.looksThrough ? lastTextBatch : lastBatch;
    return new BatchSize(this.looksThrough, Math.round(Math.min(most, Math.max(firstBatch, wanted))));
  }
}

/** Records that match and wait until it is their turn. */
class Matches {
  readonly damage: WriterGap[] = [];
  /** The highest last. */
  private readonly waiting: Found[] = [];
  private readonly turns = new Turns();
  private isSorted = true;

  constructor(
    private readonly log: SearchedLog,
    private readonly filter: RecordFilter,
    private readonly range: RowRange,
  ) {}

  get count(): number {
    return this.waiting.length;
  }

  /** False for a row that holds nothing that is wanted. */
  isWanted({ writer, first, count, after = 0 }: Candidate): boolean {
    return first <= (this.log.upTo?.(writer) ?? first) && first + count - 1 > after;
  }

  /** The highest that waits, if it is not below the place. */
  next(below: RecordPosition | undefined): Found | undefined {
    if (!this.isSorted) this.waiting.sort((a, b) => comparePositions(a.position, b.position));
    this.isSorted = true;
    const highest = this.waiting.at(-1);
    if (highest === undefined) return undefined;
    if (below !== undefined && comparePositions(highest.position, below) < 0) return undefined;
    return this.waiting.pop();
  }

  putBack(found: Found): void {
    this.waiting.push(found);
  }

  async add(rows: readonly ReadRow[]): Promise<void> {
    for (const { candidate, records } of rows) {
      const { writer, first, after = 0, count } = candidate;
      const upTo = this.log.upTo?.(writer) ?? Number.MAX_SAFE_INTEGER;
      const unreadable = (sequence: number) => {
        const { since, until } = candidate;
        this.damage.push({ writer, after: sequence - 1, lost: 1, since, until, cause: 'file_damaged' });
      };
      const tests = [(line: string) => this.mayBeWanted(line)];
      for await (const record of matchingRecords({ first, records }, this.filter, this.turns, unreadable, tests)) {
        const { sequence } = record;
        if (sequence <= after || sequence > upTo) continue;
        const position = { time: Date.parse(record.time), writer, sequence };
        if (this.range.below !== undefined && comparePositions(position, this.range.below) >= 0) continue;
        this.waiting.push({ position, record, length: records.length / count });
        this.isSorted = false;
      }
    }
  }

  /** False for a line without a record, and for one of a record of other times. */
  private mayBeWanted(line: string): boolean {
    if (!isRecordLine(line)) return false;
    const time = timeOfLine(line);
    if (time === undefined) return true;
    const { below, from = 0 } = this.range;
    return time >= from && (below === undefined || time <= below.time);
  }
}
