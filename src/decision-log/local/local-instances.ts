import type { LogPlace } from './log-place.js';
import type { NumberRanges } from './number-ranges.js';

/** Most instances of a caller that are remembered. */
export const mostInstances = 10_000;
/**
 * How long one is remembered after it was heard of last, in milliseconds. One that ended, too: the answer to its last records may
 * have been lost on the way, and its journal sends them again when the machine is up again.
 */
export const forgottenMs = 30 * 86_400_000;
/** One that was not heard of for so long has ended without a word, in milliseconds. */
export const instanceSilentMs = 86_400_000;

/** Whose instance it is. */
export interface InstanceOwner {
  readonly instance: string;
  readonly caller: string;
  readonly authentication: string;
}

/** Records of a client that are missing, and are to be noted as a gap; times in milliseconds since 1970. */
export interface MissingRecords {
  readonly lost: number | null;
  readonly since: number;
  readonly until: number;
  readonly cause: 'lost_by_client' | 'refused_from_client' | 'client_silent';
}

export interface NewClaim extends InstanceOwner {
  /** The number of the first record that was sent. */
  readonly first: number;
  /** Where the log is, before any of them is appended; undefined where nothing is recorded. */
  readonly place: LogPlace | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** How far an instance is. */
export interface InstanceNumbers {
  /** All numbers below are recorded, or are a gap. */
  readonly next: number;
  /** Those above that are, too. */
  readonly taken: NumberRanges;
}

/** A claim of which it was not noted what became of it. */
export interface OpenClaim extends InstanceNumbers {
  readonly instance: string;
  readonly claim: string;
  /** Records that were appended under it lie behind. */
  readonly place: LogPlace | undefined;
  /** Given when it is known what was recorded: the gaps that are to be noted behind `place`, some of which may be already. */
  readonly owed: readonly MissingRecords[] | undefined;
}

export interface SilentInstance extends OpenClaim, InstanceOwner {
  readonly owed: readonly MissingRecords[];
}

/**
 * - `claimed`: until it is settled nobody else takes records of this instance.
 * - `open`: another claim is.
 * - `missing`: records before the first were never sent.
 * - `taken`: the instance is another caller's.
 * - `full`: the caller has `mostInstances` that were heard of within a day, ended or not.
 */
export type ClaimOutcome =
  | ({ readonly kind: 'claimed'; readonly claim: string } & InstanceNumbers)
  | { readonly kind: 'open'; readonly open: OpenClaim }
  | { readonly kind: 'missing'; readonly next: number }
  | { readonly kind: 'taken' | 'full' };

export interface Settlement extends InstanceNumbers {
  readonly instance: string;
  readonly claim: string;
  /** What is to be noted as gaps: then the claim stays open until that was done. */
  readonly owed?: readonly MissingRecords[];
  /** True if the client said that nothing follows; undefined leaves it as it is. */
  readonly ended?: boolean | undefined;
}

/**
 * The processes in which clients decide themselves, and how many of their numbered records are in the log, of all replicas.
 * Numbers are claimed before records are appended, and settled afterwards: a claim that is open when a process has ended is
 * resolved by what stands in the log behind its place, so that no number is recorded twice and none is lost that was answered.
 *
 * This class is the token for the injector. The folders beside it (`sqlite/`, `postgres/`) implement it. What each
 * implementation must do is tested by one suite, `test/decision-log/local/local-instances-suite.ts`.
 */
export abstract class LocalInstances {
  /** Claims the records of an instance from its next number on. An instance that nobody knows begins with 1. */
  abstract claim(claim: NewClaim): Promise<ClaimOutcome>;

  /** Notes what became of a claim. Says whether it was open still: otherwise somebody else resolved it, and nothing is noted. */
  abstract settle(settlement: Settlement): Promise<boolean>;

  /** The open claims of a writer, at most a thousand; of those without a place, where `writer` is undefined. */
  abstract openClaims(writer: number | undefined): Promise<readonly OpenClaim[]>;

  /**
   * The instances that were not heard of since `instanceSilentMs` without having said that they end, at most a thousand. Each is
   * given once, under a new claim at `place` that owes the gap: so it is noted also where the process ends before. One with a claim
   * that is open is left for later.
   */
  abstract silent(now: number, place: LogPlace | undefined): Promise<readonly SilentInstance[]>;

  /** Forgets those that are remembered no longer. */
  abstract forget(now: number): Promise<void>;

  abstract close(): Promise<void>;
}
