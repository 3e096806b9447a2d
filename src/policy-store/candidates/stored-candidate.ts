/** How candidates stand in tables. */
import type { Semantics } from '../../core/semantics.js';
import type {
  CandidateDifference,
  CandidateReason,
  CandidateSettings,
  CandidateState,
  PolicyCandidate,
} from './candidate.js';
import type { NewDifference } from './candidate-store.js';

/** The columns of `policy_candidate`, without its files. */
export const candidateColumns =
  'policy_set, id, version, semantics, origin, base, settings, set_by, set_at, state, since, reason, detail';

export interface CandidateRow {
  readonly policy_set: string;
  readonly id: string;
  readonly version: string;
  readonly semantics: number;
  readonly origin: string;
  readonly base: string;
  readonly settings: string;
  readonly set_by: string;
  readonly set_at: number;
  readonly state: string;
  readonly since: number;
  readonly reason: string | null;
  readonly detail: string | null;
}

export function valuesOfCandidate(candidate: PolicyCandidate): (string | number | null)[] {
  const { policySet, id, version, semantics, origin, base, setBy, setAt, state, since, reason, detail } = candidate;
  const { mode, sample, subjects, gates } = candidate;
  const settings: CandidateSettings = { mode, sample, subjects, gates };
  return [
    ...[policySet, id, version, semantics, origin, base, JSON.stringify(settings), setBy, setAt, state, since],
    ...[reason ?? null, detail ?? null],
  ];
}

/** Sound: only `valuesOfCandidate` writes rows. */
export function toCandidate(row: CandidateRow): PolicyCandidate {
  return Object.freeze({
    policySet: row.policy_set,
    id: row.id,
    version: row.version,
    semantics: row.semantics as Semantics,
    origin: row.origin as PolicyCandidate['origin'],
    base: row.base,
    ...(JSON.parse(row.settings) as CandidateSettings),
    setBy: row.set_by,
    setAt: row.set_at,
    state: row.state as CandidateState,
    since: row.since,
    ...(row.reason !== null && { reason: row.reason as CandidateReason }),
    ...(row.detail !== null && { detail: row.detail }),
  });
}

export function packDifference({ digest: _, ...difference }: NewDifference): string {
  return JSON.stringify(difference);
}

export function unpackDifference(content: string): CandidateDifference {
  return JSON.parse(content) as CandidateDifference;
}
