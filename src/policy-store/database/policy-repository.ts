import { VerdictError } from '../../errors.js';
import type { PolicySetFiles } from '../policy-set-files.js';
import { lastRevisionOf, type SetRevisions } from '../set-revisions.js';

/** What the database wants served of one set. */
export interface PolicyHead {
  readonly name: string;
  /** That of the last change of its files or of what is pinned. It goes on where a set is removed and written again. */
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

export interface WriteNote extends ChangeNote {
  readonly gitCommit?: string | undefined;
  /** The revision of the live data that the files were checked with; undefined where they have none. */
  readonly checkedData?: number | undefined;
}

/** The live data that files were checked with have changed meanwhile: they are to be checked again. */
export class DataChanged extends Error {
  override readonly name = 'DataChanged';
}

/** Tells of changes while it is not ended. */
export interface RepositoryWatch {
  /** How long ago everything that was committed was known, in milliseconds; `Infinity` before the first time. */
  readonly ageMs: number;
  end(): void;
}

/** A pin goes over anything, unless the writer says over what. */
export type PinNote = Omit<ChangeNote, 'expected'> & { readonly expected?: Expected };

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

  /** The numbers of a set that is there; undefined when it is not. */
  abstract revisions(name: string): Promise<SetRevisions | undefined>;

  /**
   * Replaces the files of a set as a whole, and ends a rollback. Nothing changes where the set is to serve the same files
   * already.
   *
   * @returns the revision that the set has now
   * @throws VerdictError `precondition_required`, `precondition_failed`
   * @throws DataChanged
   */
  abstract write(set: PolicySetFiles, note: WriteNote): Promise<number>;

  /**
   * Wants an earlier version served in place of the set's files; `undefined`, or the version of its files: these again.
   *
   * @returns the revision that the set has now
   * @throws VerdictError `policy_set_not_found`, `precondition_failed`
   */
  abstract pin(name: string, version: string | undefined, note: PinNote): Promise<number>;

  /**
   * Removes a set. Its last revision is remembered.
   *
   * @returns that of the removal
   * @throws VerdictError `policy_set_not_found`, `precondition_failed`
   */
  abstract remove(name: string, note: ChangeNote): Promise<number>;

  /**
   * Calls `look` soon, and then whenever something was changed, by this process or another one. A call that fails is
   * repeated.
   */
  abstract watch(look: () => Promise<void>): RepositoryWatch;

  abstract close(): Promise<void>;
}

/**
 * Holds what a writer expects of a set against what there is. A writer that expects a revision wants that nobody has changed
 * the files since; changes of live data between it and now do not matter.
 *
 * @param revisions those of the set; undefined when it is not there
 * @throws VerdictError `precondition_required`, `precondition_failed`
 */
export function requireExpected(name: string, revisions: SetRevisions | undefined, expected: Expected): void {
  if (expected === 'new') {
    if (revisions === undefined) return;
    const revision = lastRevisionOf(revisions);
    const detail = `The policy set "${name}" is there, at revision ${revision}: say with If-Match: "${revision}" that this is what you replace.`;
    throw new VerdictError('precondition_required', detail);
  }
  if (revisions === undefined) {
    const detail = `There is no policy set "${name}" that If-Match could mean: leave it out to write a new one.`;
    throw new VerdictError('precondition_failed', detail);
  }
  const revision = lastRevisionOf(revisions);
  if (expected === 'any' || (revisions.files <= expected && expected <= revision)) return;
  const detail = `The policy set "${name}" is at revision ${revision}, not ${expected}: somebody changed it. Read it again.`;
  throw new VerdictError('precondition_failed', detail);
}

/** @throws DataChanged */
export function requireSameData(name: string, { data }: SetRevisions, { checkedData }: WriteNote): void {
  if (checkedData !== undefined && checkedData !== data) throw new DataChanged(`the live data of ${name} have changed`);
}
