/** How instances stand in the tables of both databases. */
import { randomBytes } from 'node:crypto';
import type {
  ClaimOutcome,
  InstanceOwner,
  MissingRecords,
  NewClaim,
  OpenClaim,
  SilentInstance,
} from './local-instances.js';
import type { LogPlace } from './log-place.js';
import { NumberRanges } from './number-ranges.js';

export interface InstanceRow extends InstanceOwner {
  readonly next: number;
  readonly taken: string;
  readonly claim: string | null;
  readonly writer: number | null;
  readonly sequence: number | null;
  readonly owed: string | null;
  readonly seen: number;
}

/** Most claims and instances that are given at once. */
export const mostAtOnce = 1_000;

/** What a claim comes to, of an instance that is known. */
export function claimOn(row: InstanceRow, { caller, authentication, first }: NewClaim): ClaimOutcome {
  if (row.caller !== caller || row.authentication !== authentication) return { kind: 'taken' };
  if (row.claim !== null) return { kind: 'open', open: openClaimOf(row) };
  if (first > row.next) return { kind: 'missing', next: row.next };
  return { kind: 'claimed', claim: newClaimName(), next: row.next, taken: NumberRanges.read(row.taken) };
}

/** Of one that nobody knows. */
export function firstClaim({ first }: NewClaim): ClaimOutcome {
  if (first > 1) return { kind: 'missing', next: 1 };
  return { kind: 'claimed', claim: newClaimName(), next: 1, taken: NumberRanges.none };
}

function newClaimName(): string {
  return randomBytes(8).toString('hex');
}

/** The claim under which the gap of a silent one is noted. */
export function silentClaim(row: InstanceRow, place: LogPlace | undefined): SilentInstance {
  const { caller, authentication, seen, instance, next, taken } = row;
  const owed = [{ lost: null, since: seen, until: seen, cause: 'client_silent' as const }];
  const claim = newClaimName();
  return { instance, caller, authentication, claim, next, taken: NumberRanges.read(taken), place, owed };
}

export function openClaimOf({ instance, claim, next, taken, writer, sequence, owed }: InstanceRow): OpenClaim {
  return {
    instance,
    claim: claim!,
    next,
    taken: NumberRanges.read(taken),
    place: writer === null ? undefined : { writer, sequence: sequence! },
    owed: owed === null ? undefined : (JSON.parse(owed) as readonly MissingRecords[]),
  };
}
