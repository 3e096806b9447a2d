import type { RoleTuple } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import { inTurns } from '../../turns/turns.js';
import type { RepositoryWatch } from '../database/policy-repository.js';
import type { SetRevisions } from '../set-revisions.js';
import { type EntriesChange, entriesBefore, type StoredEntries } from './entries.js';

/** A change as it was made. */
export interface StoredChange extends EntriesChange {
  /** That the data has since this change. */
  readonly revision: number;
  /** Who made it. */
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** The numbers of a set that has had live data. */
export interface DataHead extends SetRevisions {
  readonly name: string;
}

/** All entries of a set, and its numbers then. */
export interface DataSnapshot extends StoredEntries {
  readonly revisions: SetRevisions;
}

/** The entries of a set at a revision of its data. */
export interface EntriesAt {
  readonly revision: number;
  readonly entries: StoredEntries;
}

/** Under which key a caller sent a change, so that the same request again is answered without another change. */
export interface ChangeKey {
  readonly key: string;
  /** Of what was asked for: the same key with another body is refused. */
  readonly digest: string;
}

/** The answer to a change that was sent under a key. */
export interface KeyedAnswer {
  readonly digest: string;
  readonly revision: number;
  readonly version: string;
}

export interface NewChange extends EntriesChange {
  /** The numbers of the set that the change was checked on. */
  readonly after: SetRevisions;
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** The version of the set with the change; empty where the set is gone, and with it what was answered to its callers. */
  readonly version: string;
  readonly key?: ChangeKey | undefined;
}

/** An entry with who added it, and when. */
export interface Attributed {
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly revision: number;
}

export interface ListedRole extends Attributed {
  readonly role: RoleTuple;
}

export interface ListedEntity extends Attributed {
  readonly entity: StoredEntity;
}

/** Members that are missing match all. */
export interface RoleFilter {
  readonly definition?: string | undefined;
  readonly name?: string | undefined;
  readonly role?: string | undefined;
  readonly domain?: string | undefined;
}

export interface EntityFilter {
  readonly type?: string | undefined;
  readonly id?: string | undefined;
}

/** How long the answer to a change is kept under its key, in milliseconds. */
export const keyLifetimeMs = 86_400_000;

/**
 * The live data of policy sets: role links and entities beside those of their files, and every change of them. Changes of
 * one set are made one after another; each takes the next number of the set, which changes of its files take too.
 *
 * Entries are kept as they are now. What they were at an earlier revision follows from the changes since, which are kept
 * with what they removed, so that no change costs a copy.
 *
 * `database/sqlite/` and `database/postgres/` implement it; one suite tests both, `test/policy-store/data/live-data-store-suite.ts`.
 */
export abstract class LiveDataStore {
  /** Every set that has had live data. */
  abstract heads(): Promise<readonly DataHead[]>;

  /** The numbers of a set as they are now. */
  abstract revisions(name: string): Promise<SetRevisions>;

  /**
   * Gives files whose source has numbers of its own, as bundles have, one of the numbers that live data takes too: the first
   * replica that has them takes it for all. It is not lower than the source's own.
   *
   * @returns undefined where newer files have been given one already
   */
  abstract numberFiles(name: string, source: number): Promise<number | undefined>;

  /** All entries of a set as they are now. */
  abstract entries(name: string): Promise<DataSnapshot>;

  /**
   * The entries that a set had at a revision; undefined where the changes since then are not kept any more.
   *
   * @param later those of a later revision, where they are known: then only the changes between are read, and not all entries
   * @throws Error where what is kept does not fit together
   */
  async entriesAt(name: string, revision: number, later?: EntriesAt): Promise<StoredEntries | undefined> {
    const known = later !== undefined && later.revision >= revision ? later : await this.newestOf(name);
    if (revision < (await this.keptSince(name))) return undefined;
    const since: StoredChange[] = [];
    for (let after = revision; after < known.revision; ) {
      const changes = await this.changesAfter(name, after, changesAtOnce);
      if (changes.length === 0) throw new Error(`the changes of ${name} after ${after} are missing`);
      since.push(...changes.filter((change) => change.revision <= known.revision));
      after = changes.at(-1)!.revision;
    }
    return since.length === 0 ? known.entries : inTurns(entriesBefore(known.entries, since));
  }

  private async newestOf(name: string): Promise<EntriesAt> {
    const { revisions, roles, entities } = await this.entries(name);
    return { revision: revisions.data, entries: { roles, entities } };
  }

  /** The changes of a set after a revision in their order, at most `limit`. */
  abstract changesAfter(name: string, revision: number, limit: number): Promise<readonly StoredChange[]>;

  /**
   * Makes a change.
   *
   * @returns the revision that the set has now; undefined where it is not at `after` any more, and nothing was changed
   */
  abstract write(name: string, change: NewChange): Promise<number | undefined>;

  /** The answer to a change that was sent under this key less than a day ago (`keyLifetimeMs`). */
  abstract answer(name: string, key: string, now: number): Promise<KeyedAnswer | undefined>;

  /** Keeps the answer to a change that changed nothing under its key; a key that has one keeps it. */
  abstract keepAnswer(name: string, key: ChangeKey, answer: Omit<KeyedAnswer, 'digest'>, at: number): Promise<void>;

  /** Role links in the order of definition, domain, name and role, by the bytes of UTF-8. */
  abstract roles(name: string, filter: RoleFilter, limit: number, after?: RoleTuple): Promise<readonly ListedRole[]>;

  /** Entities in the order of type and id, by the bytes of UTF-8. */
  abstract entities(
    name: string,
    filter: EntityFilter,
    limit: number,
    after?: Pick<StoredEntity, 'type' | 'id'>,
  ): Promise<readonly ListedEntity[]>;

  /** Earlier data can be had from this revision on: the changes that led up to it are not kept any more. */
  abstract keptSince(name: string): Promise<number>;

  /**
   * Forgets the changes that led up to a revision, since no earlier data is needed any more.
   *
   * @returns how many were forgotten
   */
  abstract forgetBefore(name: string, revision: number): Promise<number>;

  /**
   * Calls `look` soon, and then whenever live data was changed, or something that changes with it, by this process or
   * another one. A call that fails is repeated.
   */
  abstract watch(look: () => Promise<void>): RepositoryWatch;

  abstract close(): Promise<void>;
}

/** Changes that are read in one go: most are of some links, and some of 50,000. */
export const changesAtOnce = 50;
