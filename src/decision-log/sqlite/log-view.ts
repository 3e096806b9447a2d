import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { GroupCoding } from '../group-coding.js';
import type { GapRange, LogGap, StoredGap } from '../log-gap.js';
import type { ClosedUnit } from './catalog.js';
import type { Extent, JournalFormat } from './journal-format.js';
import type { UncountedGroup } from './uncounted.js';

/** One file of the journal with its key index, as a reader sees it: records from `first` to `last`. */
export interface UnitView {
  readonly first: number;
  readonly last: number;
  readonly format: JournalFormat;
  /** Undefined where nobody has looked; then the file says. */
  readonly extent: Extent | undefined;
  /** Up to this sequence the key index knows; above it the journal's own keys are read. */
  readonly indexedTo: number;
  /** True if the index has counts. */
  readonly hasCounts: boolean;
  /** The newest groups, which the index may not count yet, taken before anything is read. */
  readonly uncounted: readonly UncountedGroup[];
}

export interface ClosedView extends UnitView {
  readonly gaps: readonly StoredGap[];
}

export function viewOfClosed({ first, last, format, extent, indexedTo, gaps }: ClosedUnit): ClosedView {
  return { first, last, format, extent, indexedTo, hasCounts: indexedTo > 0, uncounted: [], gaps };
}

/** What is done with a unit; `coding`: how the text and the salts of its groups are written. */
export type UnitWork<T> = (connection: SqliteConnection, coding: GroupCoding) => Promise<T>;

/** The log as a reader sees it; what is committed later is in none of it. */
export interface LogView {
  /** The journal's name; undefined when there is none. */
  readonly name: string | undefined;
  /** The writer that its newest ids name. */
  readonly writer: number | undefined;
  /** Sequence of the newest record; 0 when there is none. */
  readonly end: number;
  /** The newest first. */
  readonly units: readonly UnitView[];
  /**
   * Does something with a connection that has the unit's index, and its journal attached as `journal`: a statement or
   * two, for it is one of few. Undefined when the unit was removed meanwhile: then its records are not kept any more.
   */
  read<T>(unit: UnitView, work: UnitWork<T>): Promise<T | undefined>;
  /** The first sequences of files that are known not to have all of the keys (record-keys.ts). */
  without(keys: readonly Buffer[]): Promise<ReadonlySet<number>>;
  /** The gaps within the range, newest first. */
  gaps(range: GapRange): Promise<LogGap[]>;
  /** All gaps, as they are stored. */
  storedGaps(): Promise<readonly StoredGap[]>;
}

/** A log without records. */
export const emptyLog: LogView = {
  name: undefined,
  writer: undefined,
  end: 0,
  units: [],
  read: async () => undefined,
  without: async () => new Set(),
  gaps: async () => [],
  storedGaps: async () => [],
};
