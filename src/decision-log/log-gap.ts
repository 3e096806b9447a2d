import { Integer, OneOf, Time } from '../answers/members.js';

/**
 * `queue_full`: they came faster than they could be written. `unwritable`: the service stopped while the log could
 * not be written. `not_flushed`: the process ended without warning. `file_missing`, `file_damaged`: they were recorded,
 * and the file that held them is gone or cannot be read. In a log that replicas share, `retired`: the replica that has them
 * was given up; `expired`: they came when the retention had already removed their day. `removed`: the retention removed them
 * while all was read; it is in what was read then, and stored nowhere. Of decisions in a client's own process:
 * `lost_by_client`: the client says so; `refused_from_client`: the service did not take them; `client_silent`: it was not heard of
 * for a day and did not say that it ended.
 */
const gapCauses = [
  'queue_full',
  'unwritable',
  'not_flushed',
  'file_missing',
  'file_damaged',
  'retired',
  'expired',
  'removed',
  'lost_by_client',
  'refused_from_client',
  'client_silent',
] as const;
export type GapCause = (typeof gapCauses)[number];

/** Records that are missing: mode `async` may lose some, and says how many, when and why. */
export class LogGap {
  /** Every gap has one; `partial-view.ts` says who sees it. */
  @Integer({
    optional: true,
    description:
      'The gap lies after the record with this sequence. Left out for a caller who may read some policy sets only.',
  })
  readonly after!: number;

  @Integer({ nullable: true, description: 'How many are missing; null where nobody could count.' })
  readonly lost!: number | null;

  @Time({ description: 'The time of the first decision that is missing, as far as it is known.' })
  readonly from!: string;

  @Time({ description: 'The time of the last one.' })
  readonly to!: string;

  @OneOf(gapCauses)
  readonly cause!: GapCause;
}

/** A gap as it is noted; times in milliseconds since 1970. */
export interface Loss {
  readonly after: number;
  readonly lost: number | null;
  readonly since: number;
  readonly until: number;
}

/** A gap as it is stored. */
export interface StoredGap extends Loss {
  readonly cause: GapCause;
  /** Its place in the writer's tree, and in hexadecimal the node that it completed; null or left out for one outside. */
  readonly entry?: number | null;
  readonly node?: string | null;
}

/** Which gaps a reader wants: times in milliseconds since 1970, `to` excluded. */
export interface GapRange {
  /** Those that lie after records from this sequence on and below `before`; the first record of all lies after 0. */
  readonly from: number;
  readonly before: number;
  readonly times: { readonly from: number | undefined; readonly to: number | undefined };
}

/** The gaps within the range, newest first. */
export function gapsWithin(gaps: readonly StoredGap[], { from, before, times }: GapRange): LogGap[] {
  const within = gaps.filter(({ after, since, until }) => {
    const inTime = until >= (times.from ?? 0) && since < (times.to ?? Number.MAX_SAFE_INTEGER);
    return after >= from && after < before && inTime;
  });
  within.sort((a, b) => b.after - a.after);
  return within.map(logGapOf);
}

export function logGapOf({ since, until, after, lost, cause }: StoredGap): LogGap {
  return { after, lost, cause, from: new Date(since).toISOString(), to: new Date(until).toISOString() };
}
