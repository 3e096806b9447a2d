import type { HoldGuard } from './holds/holds.js';

/**
 * What `append` promises when it resolves.
 * - `sync`: the record is committed and survives the end of the process, kill -9 included.
 * - `fsync`: it survives power loss too.
 * - `async`: it waits in memory, as a rule for less than 5 ms. Lost are, at most, `queueLimit` records when the
 *   process ends without warning, and those that come while as many wait. A `LogGap` says so.
 * - `replicated`: it is in PostgreSQL, beside this process's own journal.
 * - `off`: nothing. No record is written; those that are there can be read.
 */
export type LogMode = LocalLogMode | 'replicated';
/** What a log promises that is this process's alone. */
export type LocalLogMode = 'sync' | 'fsync' | 'async' | 'off';

/** Options of a decision log, for every kind of storage. */
export interface DecisionLogOptions {
  readonly mode: LogMode;
  /** The name of this process in its records. */
  readonly instance?: string;
  /** Most records that may wait for their commit (16,384). Beyond it `sync` and `fsync` refuse, and `async` loses. */
  readonly queueLimit?: number;
  /** Which records are kept; without it all of them. */
  readonly retention?: Retention;
  /** What retention leaves alone; without it nothing. */
  readonly holds?: HoldGuard;
  /** Called with problems of background work, for which no caller waits. */
  readonly onProblem?: (what: string, error: unknown) => void;
  /** Called for every commit, for metrics. */
  readonly onCommit?: (commit: Commit) => void;
}

/** A group of records that was committed. */
export interface Commit {
  readonly records: number;
  readonly durationMs: number;
}

/** Which records are kept. Without a bound no record is deleted for its sake. */
export interface Retention {
  /** Greatest age of a record, in milliseconds. */
  readonly maxAgeMs?: number;
  /** Most records; beyond it the oldest are deleted. */
  readonly maxRecords?: number;
  /** Records with a higher sequence than this returns are kept in any case, whatever their age and number. */
  readonly deletableTo?: () => number;
  /** What is wanted elsewhere is kept longer, within a bound. */
  readonly wanted?: WantedRecords;
}

/** Records that somebody reads behind the log and does not have yet. */
export interface WantedRecords {
  /** The highest sequence that nobody wants any more; those above it are kept, whatever their number, until they are `maxAgeMs` old. */
  readonly doneTo: () => number;
  readonly maxAgeMs: number;
}
