import { randomUUID } from 'node:crypto';
import type { Hold, NewHold } from './hold.js';

/** A hold as a row of `decision_hold`. Times in milliseconds since 1970. */
export interface HoldRow {
  readonly id: string;
  readonly reason: string;
  /** A list in JSON; null: any set. */
  readonly policy_sets: string | null;
  readonly from_time: number | null;
  readonly to_time: number | null;
  readonly created: number;
  readonly created_by: string;
  readonly released: number | null;
  readonly released_by: string | null;
}

/** The columns of `decision_hold` in the order of `valuesOf`, without those of a release. */
export const holdColumns = 'id, reason, policy_sets, from_time, to_time, created, created_by';

export function newHold(hold: NewHold, now: number): Hold {
  return { ...hold, id: randomUUID(), created: now, released: undefined, releasedBy: undefined };
}

export function valuesOf(hold: Hold): [string, string, string | null, number | null, number | null, number, string] {
  const { id, reason, policySets, from, to, created, by } = hold;
  const sets = policySets === undefined ? null : JSON.stringify(policySets);
  return [id, reason, sets, from ?? null, to ?? null, created, by];
}

export function holdOfRow(row: HoldRow): Hold {
  return {
    id: row.id,
    reason: row.reason,
    policySets: row.policy_sets === null ? undefined : (JSON.parse(row.policy_sets) as string[]),
    from: row.from_time ?? undefined,
    to: row.to_time ?? undefined,
    created: row.created,
    by: row.created_by,
    released: row.released ?? undefined,
    releasedBy: row.released_by ?? undefined,
  };
}
