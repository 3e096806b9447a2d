import type { DecisionRecord } from '../decision-record.js';
import type { StoredGap } from '../log-gap.js';
import type { SearchScope } from '../record-filter.js';

/** One or more groups of a journal that follow on each other, as a row of `decision_group` has them. */
export interface TailRow {
  readonly first: number;
  readonly count: number;
  /** The lowest and highest times of its records, in milliseconds since 1970. */
  readonly since: number;
  readonly until: number;
  readonly records: string;
  /** Left out where nobody has made them. */
  readonly keys?: Buffer;
}

/** What a replica still has that PostgreSQL has not: the records of its own journal beyond what is shipped. */
export interface OwnTail {
  /**
   * The number of its writer. While PostgreSQL has not given one it is undefined: records of the tail then come first of
   * all that have the same time.
   */
  readonly writer: number | undefined;
  /** The sequence of its newest record, read from memory; 0 when there is none. */
  readonly end: number;
  /** The rows with sequences beyond `after`, the lowest first, some at a time. The first can begin before. */
  rows(after: number): AsyncGenerator<readonly TailRow[]>;
  /** The gaps that may not be in PostgreSQL yet, when `after` is what is shipped. */
  gaps(after: number): Promise<readonly StoredGap[]>;
  /** The record with this id among all that the journal keeps, shipped or not, when `scope` lets it be seen. */
  find(id: string, scope: SearchScope): Promise<DecisionRecord | undefined>;
}

/** The most records of the own tail, the newest, that a page or an export looks at. */
export const tailLimit = 131_072;

/** The number by which the tail's records are sorted. */
export function tailWriter({ writer }: OwnTail): number {
  return writer ?? unnumbered;
}

/** Above every number that PostgreSQL gives out soon: the highest of its `int`. */
const unnumbered = 2 ** 31 - 1;
