import type { LogMode } from './decision-log-options.js';

export interface DecisionLogStatus {
  /** `failing`: nothing can be written now; `sync` and `fsync` refuse decisions until it can. */
  readonly state: 'ok' | 'failing';
  /**
   * True if the log lets decisions be answered. In modes `sync` and `fsync` it is false from the first failure until
   * writing has succeeded for a while.
   */
  readonly answering: boolean;
  readonly mode: LogMode;
  /** Records that wait for their commit. */
  readonly depth: number;
  /** Most records that may wait. */
  readonly limit: number;
  /** Records lost by this process (mode `async`). */
  readonly lost: number;
  /** The time of the oldest record that waits for its commit, in milliseconds since 1970. */
  readonly oldestPending: number | undefined;
  /** The time of the newest record that is committed, in milliseconds since 1970. */
  readonly newest: number | undefined;
  /** Committed records that the key index does not cover yet: look-ups read through them. */
  readonly unindexed: number;
  /** The log's name; undefined while it is not open. */
  readonly name: string | undefined;
  /** Parts of the log that were not there when it was opened, with the records in them, for people. */
  readonly missing: string | undefined;
  /** Parts that retention would have removed and a hold keeps: files of the journal; in the shared log days. */
  readonly held: number;
  /** Why it is failing, or what is wrong with what it stored. */
  readonly problem?: string;
  /** How far this replica's journal is in the log that replicas share; left out where there is none. */
  readonly shipping?: ShippingStatus;
}

/** How far a replica's journal is shipped. */
export interface ShippingStatus {
  /** Number of its writer in the shared log; undefined until PostgreSQL was reached once. */
  readonly writer: number | undefined;
  /** Records that are committed here and not in the shared log yet. */
  readonly unshipped: number;
  /** Seconds for which the oldest of them has waited, about; 0 when there are none. */
  readonly lagSeconds: number;
  /** Size of this replica's journal, in bytes, and the most that it may have while records wait in it. */
  readonly journalBytes: number;
  readonly journalLimit: number;
  /** Attempts that failed, since the start. */
  readonly retries: number;
}

/** Size of a log in bytes. */
export interface DecisionLogStorage {
  /** The records. */
  readonly records: number;
  /** Bytes of indexes and counts. */
  readonly index: number;
}
