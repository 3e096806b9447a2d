/** Records that are missing: mode `async` may lose some, and says how many, when and why. */
export interface LogGap {
  /** The gap lies after the record with this sequence. */
  readonly after: number;
  /** Null where nobody could count. */
  readonly lost: number | null;
  /** The times of the first and the last decision that is missing, as far as they are known (RFC 3339). */
  readonly from: string;
  readonly to: string;
  readonly cause: GapCause;
}

/** `queue_full`: they came faster than they could be written. `unwritable`: the service stopped while the log could
 * not be written. `not_flushed`: the process ended without warning. */
export type GapCause = 'queue_full' | 'unwritable' | 'not_flushed';

/** A gap as it is noted; times in milliseconds since 1970. */
export interface Loss {
  readonly after: number;
  readonly lost: number | null;
  readonly since: number;
  readonly until: number;
}
