import type { PolicyProblem } from '../core/problem.js';
import type { Semantics } from '../core/semantics.js';
import type { PolicySetFiles } from './policy-set-files.js';

/** What a rollback may take the place of: between the wish and the change another version may have come to serve. */
export interface ExpectedServing {
  /** The revision that is to serve; undefined where the source gives none. */
  readonly revision: number | undefined;
  /** Called when nothing else can change what serves on this replica. Throws where another version serves by then. */
  readonly require: () => void;
}

/** A set as its source has it now. */
export interface OfferedSet {
  readonly set: PolicySetFiles;
  /**
   * Its number at the source, a positive integer that rises with every change of what is to be served; undefined where the
   * source has none.
   */
  readonly revision?: number | undefined;
  /** The version of the files that the source has, where `set` is an earlier one that it wants served in their place. */
  readonly pinnedOver?: string | undefined;
  /** The number of the defaults that an earlier version is to be read with; by default today's. */
  readonly semantics?: Semantics | undefined;
  /** Asks for the commit that the files come from; undefined where there is none. Does not reject. */
  readonly gitCommit?: () => Promise<string | undefined>;
  /** When the source began to read it, in milliseconds of the monotonic clock. */
  readonly since: number;
}

/**
 * The store as its source sees it. What is told is handled in its order, one after another, between requests of operators;
 * the promises resolve when it is done. None of them rejects because of what a set holds.
 */
export interface SourceSink {
  /** The names of every set that the store knows, those included that it has from the archive alone. */
  names(): readonly string[];

  /**
   * Compiles, lints and tests a set, puts it into service and archives it; if that fails, the version that serves stays and
   * the status of the set says why (P1). When the files are not to blame, the store tries it again by itself.
   *
   * @returns whether that is what serves now
   */
  offer(offered: OfferedSet): Promise<boolean>;

  /**
   * The source has something for the set that cannot be loaded, and why. What serves stays.
   *
   * @param since as that of an offer
   */
  fail(name: string, problems: readonly PolicyProblem[], since: number): Promise<void>;

  /**
   * The set is not at the source any more, and is not served from now on. Its versions stay in the archive.
   *
   * @param why for the log: `its folder is gone`
   */
  remove(name: string, why: string): Promise<void>;

  /** Why the source as a whole cannot be used, or undefined when it can again; sets go on being served. */
  problem(problem: PolicyProblem | undefined): Promise<void>;
}

/** Where policy sets come from. Each kind has a folder of its own beside this file. */
export abstract class PolicySource {
  /** What people call it: `policy directory`. */
  abstract readonly title: string;

  /** Where it is, as members of a line in the log; without secrets. */
  abstract readonly place: object;

  /**
   * When what the source said last stops counting, unless it is renewed, in milliseconds since 1970; undefined where it does
   * not expire.
   */
  get expiresAt(): number | undefined {
    return undefined;
  }

  /**
   * Whether versions of the archive may serve while the source has told nothing of a set. A source that only serves what is
   * signed keeps its own.
   */
  get trustsArchive(): boolean {
    return true;
  }

  /**
   * Whether the numbers that it gives sets are its own, and live data takes its numbers elsewhere. Then files that serve with
   * live data get one of those.
   */
  get hasOwnNumbers(): boolean {
    return false;
  }

  /**
   * When the source had last been read whole (milliseconds since 1970): everything that it had then was told and has been
   * handled. Undefined before the first time. `Date.now()` less this is the age: it must not shrink where the clock of the
   * machine is set back.
   */
  abstract get confirmedAt(): number | undefined;

  /**
   * Asks the source itself, now, for the highest revision that it has given a set, also one that was removed; undefined
   * where it has given it none. Rejects when it cannot be asked.
   */
  abstract latestRevision(name: string): Promise<number | undefined>;

  /**
   * Tells all that there is, then every change until `stop`. Resolves when all that there was has been told; also when a
   * set, or the whole source, cannot be read.
   */
  abstract start(sink: SourceSink): Promise<void>;

  /**
   * Tells what there is of a set, or of every set, whether or not it seems to have changed. Resolves when that was handled.
   */
  abstract reload(name?: string): Promise<void>;

  /**
   * Wants an earlier version served in place of the set's files, on every replica; the version of these files: them again.
   * Resolves when that was told. A source without it leaves rollbacks to the store.
   *
   * @param by who wants it
   * @param expected what it may take the place of; by default anything
   * @throws VerdictError `policy_set_not_found`, `precondition_failed` and what `expected.require` throws
   */
  rollback?(name: string, version: string, by: string, expected?: ExpectedServing): Promise<void>;

  /**
   * Tells what other replicas rolled back to, for a source that does not hear of it otherwise. Resolves when that was handled.
   *
   * @throws DatabaseError where that cannot be known: then it is to be called again
   */
  followRollbacks?(): Promise<void>;

  /**
   * Files of a version that it has verified itself; undefined where it has none. For a source whose archive is not trusted.
   */
  kept?(name: string, version: string): Promise<PolicySetFiles | undefined>;

  /** Takes files that it never had, so that they can be rolled back to, on every replica. */
  adopt?(set: PolicySetFiles): Promise<void>;

  /** Tells nothing more from now on. Resolves when what was being told has been handled. May be called before `start` ends. */
  abstract stop(): Promise<void>;
}

/** How long ago a source was last read whole, in milliseconds; `Infinity` before the first time. */
export function ageOf({ confirmedAt }: PolicySource): number {
  return confirmedAt === undefined ? Number.POSITIVE_INFINITY : Math.max(0, Date.now() - confirmedAt);
}
