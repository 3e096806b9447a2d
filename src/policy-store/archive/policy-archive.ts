import type { PolicySetFiles } from '../policy-set-files.js';
import type { ArchivedVersion, VersionsPage } from './archived-version.js';

/** What a set served when the process was last running. */
export interface ArchivedState {
  readonly name: string;
  readonly version: string;
  /** The version that the folder had when `version` was pinned; `''` when that could not be told. */
  readonly pinnedOver?: string | undefined;
}

/** The state of a set as the archive has it. */
export interface KnownState extends ArchivedState {
  /** The number of the defaults that the version is archived with; undefined where the version is not kept. */
  readonly semantics: number | undefined;
}

/** A version of a set. */
export interface ServedVersion {
  readonly name: string;
  readonly version: string;
}

/** A version that served with live data. Its files are kept as a version of their own. */
export interface DataVersion extends ServedVersion {
  readonly filesVersion: string;
  /** Of the live data; the store of live data has their changes. */
  readonly dataRevision: number;
}

/** A version that is kept, and how it is made of others. */
export interface KeptVersion extends ServedVersion {
  /** Of the files, and the revision of the data, where it served with live data. */
  readonly filesVersion?: string;
  readonly dataRevision?: number;
}

/** The oldest live data that a set needs for its versions. */
export interface NeededData {
  readonly name: string;
  readonly revision: number;
}

/** How many versions of each set are kept, whether a decision record needs them or not. */
export const newestVersions = 100;

/**
 * Decisions that began on a version may end after it was replaced, and two clocks are involved (milliseconds). Far longer
 * than any request takes.
 */
export const replacementMs = 3_600_000;

/** Text of the lists of files on one page of versions: some ten thousand files. A version alone can have as many. */
export const bytesOnAPage = 1_048_576;

/**
 * Every version of every policy set that served. Decisions of any day can be replayed by it, a set can be rolled back, and
 * a set whose folder is broken when the service starts is served from it.
 *
 * A content is stored once, however many versions and sets have it. Tests are not a part of a version.
 *
 * This class is the token for the injector. The folders beside it (`sqlite/`) implement it. What each implementation must
 * do is tested by one suite, `test/policy-store/archive/policy-archive-suite.ts`.
 */
export abstract class PolicyArchive {
  /**
   * Keeps the files of a version that loaded with the defaults of today (`currentSemantics`). When this resolves, they are
   * committed. A version that is kept already gets the later time and the defaults of today.
   *
   * @param at when it is put into service, in milliseconds since 1970
   * @param use `base`: it serves with live data, as a version that `keepData` notes
   */
  abstract keep(set: PolicySetFiles, at: number, gitCommit?: string, use?: 'alone' | 'base'): Promise<void>;

  /**
   * Notes a version that serves with live data. It has the defaults of its files, which are kept before.
   *
   * @param at as that of `keep`
   */
  abstract keepData(version: DataVersion, at: number): Promise<void>;

  /** The oldest live data that kept versions of each set name; sets without such versions are left out. */
  abstract neededData(): Promise<readonly NeededData[]>;

  /**
   * Notes that these versions are served at `at` (milliseconds since 1970). Replicas can serve different versions of a set
   * for long, and the records of each name its own. A version that is not kept is left out.
   */
  abstract noteServed(versions: readonly ServedVersion[], at: number): Promise<void>;

  /**
   * Removes versions that no decision record needs any more: those that were out of service an hour (`replacementMs`)
   * before `neededSince`, except the newest of each set and what a set serves. It works in small steps, so that nothing else
   * waits long for the database. Files that no version names any more are removed too.
   *
   * @param neededSince the time of the oldest decision record that is kept, in milliseconds since 1970
   * @param newest how many versions of each set stay, whatever their age (`newestVersions`)
   * @returns how many versions were removed
   */
  abstract prune(neededSince: number, newest?: number): Promise<number>;

  /** Lets `prune` end after the step that it is at, now and from now on. */
  abstract endPruning(): void;

  /**
   * Notes which version of files serves, with live data or without, and over which version of the folder it is pinned, if
   * it is.
   *
   * @param at milliseconds since 1970
   */
  abstract setState(state: ArchivedState, at: number): Promise<void>;

  /** Notes that the set's folder is gone at `at` (milliseconds since 1970); its versions stay. */
  abstract setRemoved(name: string, at: number): Promise<void>;

  /** Returns the sets that were there last in the order of their names, removed ones left out. */
  abstract states(): Promise<KnownState[]>;

  /**
   * Returns a page of a set's versions, the one that first served last first. It ends before `limit` where the versions
   * name more files than one page should (`bytesOnAPage`).
   *
   * @param after the `nextCursor` of the page before
   */
  abstract versions(name: string, limit: number, after?: string): Promise<VersionsPage>;

  /**
   * Returns versions of all sets, removed ones too, in the order of names and versions; at most `limit`.
   *
   * @param after the last one of the page before
   */
  abstract everyVersion(limit: number, after?: ServedVersion): Promise<readonly KeptVersion[]>;

  /**
   * Whether a version that is kept answered anybody: it served, alone or as the files of versions with live data, or was a
   * canary. Files of a shadow are kept, too, and did not.
   */
  abstract hasServed(name: string, version: string): Promise<boolean>;

  /** Returns a version of a set; undefined when it is not kept. */
  abstract version(name: string, version: string): Promise<ArchivedVersion | undefined>;

  /**
   * Returns the files of an archived version; undefined as `version` does.
   *
   * @throws when what was kept is not what the version says
   */
  abstract files(name: string, version: string): Promise<PolicySetFiles | undefined>;

  /**
   * Returns the content of one file of an archived version; undefined also when the version has no such file.
   *
   * @throws as `files` does
   */
  abstract file(name: string, version: string, path: string): Promise<Uint8Array | undefined>;

  abstract close(): Promise<void>;
}
