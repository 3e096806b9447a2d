/** A candidate: what might become the next version of a policy set, and is tried on the requests of today before it is. */
import type { Diagnostic, Effect, Reason } from '../../core/decision.js';
import type { DecisionRequest } from '../../core/request.js';
import type { Semantics } from '../../core/semantics.js';

/** `shadow`: decides after the answer has left. `canary`: answers for a share of the subjects. */
export type CandidateMode = 'shadow' | 'canary';

/** When a candidate is held back without anybody's doing. */
export interface CandidateGates {
  /** Highest share of the compared decisions that were denied and are allowed, 0 to 1. */
  readonly maxGained: number;
  /** Highest share of those that were allowed and are denied. */
  readonly maxLost: number;
  /** Highest share of the candidate's evaluations that err where the active version does not. */
  readonly maxErrors: number;
  /** At most one evaluation of the candidate in a hundred may take longer, in milliseconds. */
  readonly maxLatencyMs: number;
  /** How many decisions are compared, or made by the candidate, before a share of them counts. A highest share of 0 counts from the first. */
  readonly minCompared: number;
}

export const defaultGates: CandidateGates = Object.freeze({
  maxGained: 0.05,
  maxLost: 0.05,
  maxErrors: 0.01,
  maxLatencyMs: 20,
  minCompared: 100,
});

export interface CandidateSettings {
  readonly mode: CandidateMode;
  /** Share of the decisions that are compared, 0 to 1. */
  readonly sample: number;
  /** Share of the subjects that a canary answers, 0 to 1; 0 for a shadow. */
  readonly subjects: number;
  readonly gates: CandidateGates;
}

/**
 * `promoting`: it goes on running while it is put in force. `held`: a shadow that decides nothing any more. `withdrawn`: a canary
 * that answers nobody any more.
 */
export const candidateStates = ['running', 'promoting', 'held', 'withdrawn'] as const;
export type CandidateState = (typeof candidateStates)[number];

/** How long a promotion has a candidate for itself, in milliseconds: a replica that died in the middle holds it no longer. */
export const promotionMs = 60_000;

/** Why a candidate was held or withdrawn. */
export const candidateReasons = [
  'gained',
  'lost',
  'errors',
  'latency',
  'active_version_changed',
  'not_loadable',
] as const;
export type CandidateReason = (typeof candidateReasons)[number];

/** Which candidate: another one may have taken its place. */
export interface CandidateId {
  readonly policySet: string;
  readonly id: string;
}

export interface PolicyCandidate extends CandidateId, CandidateSettings {
  /** The version of its files. */
  readonly version: string;
  /** The number of the defaults that they are read with. */
  readonly semantics: Semantics;
  /** Whether its files were sent, or served earlier. */
  readonly origin: 'files' | 'version';
  /** The version of the files that served when it was set: it is a candidate for their place, and for no other one. */
  readonly base: string;
  readonly setBy: string;
  /** Milliseconds since 1970. */
  readonly setAt: number;
  readonly state: CandidateState;
  /** When it came into this state, in milliseconds since 1970. */
  readonly since: number;
  readonly reason?: CandidateReason | undefined;
  readonly detail?: string | undefined;
}

/**
 * What is counted of a candidate. `timed`: the evaluations whose time and errors are known, which are all of a canary's and
 * those of a shadow that are compared. `gained`, `lost` and `obligations` are of `compared`, `errors` and `slow` of `timed`.
 */
export const candidateCounts = [
  'compared',
  'gained',
  'lost',
  'errors',
  'obligations',
  'skipped',
  'timed',
  'slow',
  'answered',
] as const;
export type CandidateCount = (typeof candidateCounts)[number];
export type CandidateCounts = { readonly [count in CandidateCount]: number };

/** How a candidate can differ from what serves. */
export const differenceKinds = ['gained', 'lost', 'errors', 'obligations'] as const;
export type DifferenceKind = (typeof differenceKinds)[number];

/** One side of a difference. */
export interface ComparedDecision {
  readonly policyVersion: string;
  readonly decision: Effect;
  readonly reason: Reason;
  readonly errors: readonly Diagnostic[];
}

/** A decision that differs, as it is kept. */
export interface CandidateDifference {
  readonly kind: DifferenceKind;
  /** Milliseconds since 1970: the clock that both evaluations saw. */
  readonly clock: number;
  /** Masked, as in a record. */
  readonly request: DecisionRequest;
  readonly active: ComparedDecision;
  readonly candidate: ComparedDecision;
}

/** Most differences of a kind that are kept, the first of each subject, action and resource. */
export const keptDifferences = 100;

export function isRun({ state }: PolicyCandidate): boolean {
  return state === 'running' || state === 'promoting';
}

/** Whether nobody but who promotes it may change it. */
export function isTaken({ state, since }: Pick<PolicyCandidate, 'state' | 'since'>, at: number): boolean {
  return state === 'promoting' && since > at - promotionMs;
}

export function countsOf(given: ReadonlyMap<string, number>): CandidateCounts {
  const all = candidateCounts.map((count) => [count, given.get(count) ?? 0] as const);
  return Object.fromEntries(all) as { [count in CandidateCount]: number };
}

/** Which gate is passed, and what it says for people; undefined while none is. */
export function passedGate(
  counts: CandidateCounts,
  { maxGained, maxLost, maxErrors, maxLatencyMs, minCompared }: CandidateGates,
): { readonly reason: CandidateReason; readonly detail: string } | undefined {
  const isBeyond = (n: number, of: number, most: number) => n > most * of && (most === 0 || of >= minCompared);
  const shares = [
    ['gained', 'compared', 'compared decisions were denied and are allowed', maxGained],
    ['lost', 'compared', 'compared decisions were allowed and are denied', maxLost],
    ['errors', 'timed', 'decisions of the candidate err and did not', maxErrors],
  ] as const;
  for (const [reason, of, words, most] of shares) {
    if (!isBeyond(counts[reason], counts[of], most)) continue;
    const detail = `${counts[reason]} of ${counts[of]} ${words}; a share of ${most} is allowed`;
    return { reason, detail };
  }
  if (!isBeyond(counts.slow, counts.timed, slowShare)) return undefined;
  const detail = `${counts.slow} of ${counts.timed} evaluations took longer than ${maxLatencyMs} ms; a share of ${slowShare} is allowed`;
  return { reason: 'latency', detail };
}

const slowShare = 0.01;
