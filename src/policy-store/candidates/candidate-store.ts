import type { RepositoryWatch } from '../database/policy-repository.js';
import type { PolicySetFiles } from '../policy-set-files.js';
import type {
  CandidateDifference,
  CandidateId,
  CandidateReason,
  DifferenceKind,
  PolicyCandidate,
} from './candidate.js';

/** A difference with what tells it from others of its candidate. */
export interface NewDifference extends CandidateDifference {
  readonly digest: string;
}

/**
 * The candidates of policy sets, one a set, with what was counted and kept of them: of all replicas where they share a
 * database. What is written of a candidate in whose place another one came meanwhile is dropped.
 *
 * `sqlite/` and `postgres/` implement it; one suite tests both, `test/policy-store/candidates/candidate-store-suite.ts`.
 */
export abstract class CandidateStore {
  /** Every candidate, in the order of the sets' names. */
  abstract all(): Promise<readonly PolicyCandidate[]>;

  /** The files of a candidate, tests included; undefined where it is not there any more. */
  abstract files(id: CandidateId): Promise<PolicySetFiles | undefined>;

  /**
   * Puts a candidate in the place of the set's candidate, with no counts and no differences. One that is being promoted
   * (`isTaken`) stays, and nothing is put.
   */
  abstract put(candidate: PolicyCandidate, set: PolicySetFiles): Promise<'set' | 'replaced' | 'promoting'>;

  /**
   * Takes a candidate that runs, to promote it: until `finish`, `release` or for `promotionMs` nobody else holds, removes or
   * replaces it.
   *
   * @param at milliseconds since 1970
   * @returns whether this call did it
   */
  abstract take(id: CandidateId, at: number): Promise<boolean>;

  /** Gives back a candidate that was taken and could not be promoted. */
  abstract release(id: CandidateId, at: number): Promise<void>;

  /** Removes a candidate that was taken and is in force. */
  abstract finish(id: CandidateId): Promise<void>;

  /**
   * Holds or withdraws a candidate that runs and is not being promoted.
   *
   * @param at milliseconds since 1970
   * @returns whether this call did it
   */
  abstract settle(
    id: CandidateId,
    state: 'held' | 'withdrawn',
    why: { readonly reason: CandidateReason; readonly detail: string },
    at: number,
  ): Promise<boolean>;

  /**
   * Removes a candidate that is not being promoted, with all that was counted and kept of it.
   *
   * @param at milliseconds since 1970
   * @returns whether this call did it
   */
  abstract remove(id: CandidateId, at: number): Promise<boolean>;

  /** Adds to what is counted. @returns all that is counted, of all replicas */
  abstract count(id: CandidateId, added: ReadonlyMap<string, number>): Promise<ReadonlyMap<string, number>>;

  /** Keeps a difference, unless as many of its kind (`keptDifferences`), or this one, are kept already. */
  abstract keep(id: CandidateId, difference: NewDifference): Promise<void>;

  /** The differences that are kept, of each kind the newest first; of one kind where it is given. */
  abstract differences(id: CandidateId, kind?: DifferenceKind): Promise<readonly CandidateDifference[]>;

  /**
   * Calls `look` whenever a candidate was put, settled or removed, by this process or another one, and may call it at other
   * times.
   */
  abstract watch(look: () => Promise<void>): RepositoryWatch;

  abstract close(): Promise<void>;
}
