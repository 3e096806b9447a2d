import { VerdictError } from '../../errors.js';
import type { PolicySetFiles } from '../policy-set-files.js';

/** What the database wants served of one set. */
export interface PolicyHead {
  readonly name: string;
  /** Rises by one with every change of the set, from 1; it goes on where a set is removed and written again. */
  readonly revision: number;
  /** The version of its files. */
  readonly version: string;
  /** Of its files, tests included: another one where anything in them changed. */
  readonly digest: string;
  /** The earlier version that is to be served in place of its files, where one was rolled back to. */
  readonly pinned?: string | undefined;
  /** The commit that its files were written from, where that was said. */
  readonly gitCommit?: string | undefined;
}

/** A set with its files. */
export interface StoredPolicySet {
  readonly head: PolicyHead;
  readonly set: PolicySetFiles;
}

/**
 * What a writer knows of a set: it is `new`, or at this revision; `any`: it is there, and whatever it is may be replaced.
 */
export type Expected = 'new' | 'any' | number;

export interface ChangeNote {
  readonly expected: Expected;
  /** Who makes the change. */
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Tells of changes while it is not ended. */
export interface RepositoryWatch {
  /** How long ago everything that was committed was known, in milliseconds; `Infinity` before the first time. */
  readonly ageMs: number;
  end(): void;
}

/**
 * The policy sets that were written into the database, each with the revision of its last change. Changes of different
 * writers are made one after another.
 *
 * `sqlite/` and `postgres/` implement it; one suite tests both, `test/policy-store/database/policy-repository-suite.ts`.
 */
export abstract class PolicyRepository {
  /** Every set that is there, in the order of names. */
  abstract heads(): Promise<readonly PolicyHead[]>;

  /** A set with its files; undefined when it is not there. Names are those of `heads`. */
  abstract read(name: string): Promise<StoredPolicySet | undefined>;

  /** The last revision that a set had, also one that was removed; undefined when it never was. */
  abstract lastRevision(name: string): Promise<number | undefined>;

  /**
   * Replaces the files of a set as a whole, and ends a rollback. Nothing changes where the set is to serve the same files
   * already.
   *
   * @returns the revision that the set has now
   * @throws VerdictError `precondition_required`, `precondition_failed`
   */
  abstract write(set: PolicySetFiles, note: ChangeNote & { readonly gitCommit?: string | undefined }): Promise<number>;

  /**
   * Wants an earlier version served in place of the set's files; `undefined`, or the version of its files: these again.
   *
   * @returns the revision that the set has now
   * @throws VerdictError `policy_set_not_found`
   */
  abstract pin(name: string, version: string | undefined, note: Omit<ChangeNote, 'expected'>): Promise<number>;

  /**
   * Removes a set. Its last revision is remembered.
   *
   * @throws VerdictError `policy_set_not_found`, `precondition_failed`
   */
  abstract remove(name: string, note: ChangeNote): Promise<void>;

  /**
   * Calls `look` soon, and then whenever something was changed, by this process or another one. A call that fails is
   * repeated.
   */
  abstract watch(look: () => Promise<void>): RepositoryWatch;

  abstract close(): Promise<void>;
}

/**
 * Holds what a writer expects of a set against what there is.
 *
 * @param revision that of the set; undefined when it is not there
 * @throws VerdictError `precondition_required`, `precondition_failed`
 */
export function requireExpected(name: string, revision: number | undefined, expected: Expected): void {
  if (expected === 'new') {
    if (revision === undefined) return;
    const detail = `The policy set "${name}" is there, at revision ${revision}: say with If-Match: "${revision}" that this is what you replace.`;
    throw new VerdictError('precondition_required', detail);
  }
  if (revision === undefined) {
    const detail = `There is no policy set "${name}" that If-Match could mean: leave it out to write a new one.`;
    throw new VerdictError('precondition_failed', detail);
  }
  if (expected === 'any' || expected === revision) return;
  const detail = `The policy set "${name}" is at revision ${revision}, not ${expected}: somebody changed it. Read it again.`;
  throw new VerdictError('precondition_failed', detail);
}
