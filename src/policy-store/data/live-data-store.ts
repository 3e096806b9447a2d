import type { RoleTuple } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';

/** Role links and entities. */
export interface StoredEntries {
  readonly roles: readonly RoleTuple[];
  readonly entities: readonly StoredEntity[];
}

/** What a change did: nothing in `added` was there before it, all in `removed` was, with these attributes. */
export interface EntriesChange {
  readonly added: StoredEntries;
  readonly removed: StoredEntries;
}

/** A change as it was made. */
export interface StoredChange extends EntriesChange {
  /** That the data has since this change. */
  readonly revision: number;
  /** Who made it. */
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** Which set has live data, and the revision of its last change. */
export interface DataHead {
  readonly name: string;
  readonly revision: number;
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
  /** The revision of the data that the change was checked on; 0 where there was none. */
  readonly after: number;
  readonly by: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** The version of the set with the change. */
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
 * one set are made one after another; each makes its revision one higher.
 *
 * Entries are kept as they are now. What they were at an earlier revision follows from the changes since, which are kept
 * with what they removed, so that no change costs a copy.
 *
 * `sqlite/` and `postgres/` implement it; one suite tests both, `test/policy-store/data/live-data-store-suite.ts`.
 */
export abstract class LiveDataStore {
  /** Every set that has had live data. */
  abstract heads(): Promise<readonly DataHead[]>;

  /** All entries of a set as they are now, and their revision; revision 0 where there never was any. */
  abstract entries(name: string): Promise<StoredEntries & { readonly revision: number }>;

  /** The changes of a set after a revision in their order, at most `limit`. */
  abstract changesAfter(name: string, revision: number, limit: number): Promise<readonly StoredChange[]>;

  /**
   * Makes a change.
   *
   * @returns the revision that the data has now; undefined where it is not at `after` any more, and nothing was changed
   */
  abstract write(name: string, change: NewChange): Promise<number | undefined>;

  /** The answer to a change that was sent under this key less than a day ago (`keyLifetimeMs`). */
  abstract answer(name: string, key: string, now: number): Promise<KeyedAnswer | undefined>;

  /** Role links in the order of definition, domain, name and role, by the bytes of UTF-8. */
  abstract roles(name: string, filter: RoleFilter, limit: number, after?: RoleTuple): Promise<readonly ListedRole[]>;

  /** Entities in the order of type and id, by the bytes of UTF-8. */
  abstract entities(
    name: string,
    filter: EntityFilter,
    limit: number,
    after?: Pick<StoredEntity, 'type' | 'id'>,
  ): Promise<readonly ListedEntity[]>;

  abstract close(): Promise<void>;
}
