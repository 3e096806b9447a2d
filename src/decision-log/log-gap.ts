import type { SqliteConnection } from './sqlite-connection.js';

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

/**
 * The gaps that lie after records from sequence `from` on and below `before`, newest first, as far as they touch the
 * times (milliseconds since 1970, `to` excluded). The gap before the first record of all lies after sequence 0.
 */
export async function gapsBetween(
  connection: SqliteConnection,
  from: number,
  before: number,
  times: { readonly from: number | undefined; readonly to: number | undefined },
  limit = -1,
): Promise<LogGap[]> {
  const rows = await connection.query<Loss & { readonly cause: GapCause }>(
    `SELECT after, lost, since, until, cause FROM journal.gap
     WHERE after >= ? AND after < ? AND until >= ? AND since < ? ORDER BY after DESC, id DESC LIMIT ?`,
    [from, before, times.from ?? 0, times.to ?? Number.MAX_SAFE_INTEGER, limit],
  );
  return rows.map(({ since, until, ...gap }) => {
    return { ...gap, from: new Date(since).toISOString(), to: new Date(until).toISOString() };
  });
}
