/** Holds: which records neither retention nor erasure may remove until they are released. */
import { Parts, Text, Texts, Time } from '../../answers/members.js';

/** What a hold keeps: the records that match all of what is given. Times in milliseconds since 1970. */
export interface HeldRange {
  /** Records of these policy sets; undefined: of any. */
  readonly policySets: readonly string[] | undefined;
  /** Records from this time on; undefined: from the oldest. */
  readonly from: number | undefined;
  /** Records before this time; undefined: those that are still to come, too. */
  readonly to: number | undefined;
}

export interface NewHold extends HeldRange {
  readonly reason: string;
  /** The name of the caller who made it. */
  readonly by: string;
}

/** A hold that is in force, or was until it was released. */
export interface Hold extends NewHold {
  readonly id: string;
  readonly created: number;
  readonly released: number | undefined;
  readonly releasedBy: string | undefined;
}

/** A hold as callers see it. */
export class HoldDescription {
  @Text()
  readonly id!: string;

  @Text({ description: 'Why the records are held.' })
  readonly reason!: string;

  @Texts({ optional: true, description: 'The policy sets whose records are held. Left out: all of them.' })
  readonly policySets?: readonly string[];

  @Time({ optional: true, description: 'Records from this time on are held. Left out: from the oldest on.' })
  readonly from?: string;

  @Time({ optional: true, description: 'Records before this time are held. Left out: also those that are to come.' })
  readonly to?: string;

  @Text({ description: 'The name of the caller who made it.' })
  readonly by!: string;

  @Time()
  readonly created!: string;

  @Time({ optional: true, description: 'When it was released. Left out while it is in force.' })
  readonly released?: string;

  @Text({ optional: true })
  readonly releasedBy?: string;
}

export class HoldPage {
  @Parts(() => HoldDescription, { description: 'Those in force, the newest first; then those that were released.' })
  readonly items!: readonly HoldDescription[];

  @Text({ optional: true, description: 'Missing on the last page.' })
  readonly nextCursor?: string;
}

export function describeHold(hold: Hold): HoldDescription {
  const { id, reason, policySets, from, to, by, created, released, releasedBy } = hold;
  return {
    id,
    reason,
    ...(policySets !== undefined && { policySets }),
    ...(from !== undefined && { from: textOf(from) }),
    ...(to !== undefined && { to: textOf(to) }),
    by,
    created: textOf(created),
    ...(released !== undefined && { released: textOf(released) }),
    ...(releasedBy !== undefined && { releasedBy }),
  };
}

/**
 * The first of these holds that keeps a record; undefined: none does.
 *
 * @param record `time` in milliseconds since 1970
 */
export function holdOf(
  holds: readonly Hold[],
  record: { readonly time: number; readonly policySet: string },
): Hold | undefined {
  return holds.find(
    (hold) =>
      overlaps(hold, record.time, record.time) &&
      (hold.policySets === undefined || hold.policySets.includes(record.policySet)),
  );
}

/** Whether records of these times, both included, can be within the range of a hold. */
export function overlaps({ from, to }: HeldRange, since: number, until: number): boolean {
  return (from === undefined || until >= from) && (to === undefined || since < to);
}

function textOf(time: number): string {
  return new Date(time).toISOString();
}
