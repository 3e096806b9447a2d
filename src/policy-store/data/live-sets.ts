import { isAway } from '../../database/database-error.js';
import { versionNotFound } from '../../errors.js';
import { inTurns } from '../../turns/turns.js';
import type { RepositoryWatch } from '../database/policy-repository.js';
import type { LoadedPolicySet } from '../load-policy-set.js';
import { withRevision } from '../load-policy-set.js';
import type { Entry } from '../policy-set-table.js';
import { claimedRevision, type SetRevisions } from '../set-revisions.js';
import { type EntriesChange, entriesBetween, type StoredEntries } from './entries.js';
import { changesAtOnce, type DataHead, type DataSnapshot, type LiveDataStore } from './live-data-store.js';

/** Gives the sets that serve their live data, and follows its changes. */
export class LiveSets {
  private watch: RepositoryWatch | undefined;

  constructor(readonly store: LiveDataStore) {}

  /** Calls `look` whenever live data of a set may have changed. */
  start(look: () => Promise<void>): void {
    this.watch = this.store.watch(look);
  }

  stop(): void {
    this.watch?.end();
  }

  /** How long ago all changes of live data were known here, in milliseconds; `Infinity` before the first time. */
  get ageMs(): number {
    return this.watch?.ageMs ?? Number.POSITIVE_INFINITY;
  }

  heads(): Promise<readonly DataHead[]> {
    return this.store.heads();
  }

  /**
   * Reads the live data of a set for files that are to serve. While the database is away, what serves has the data as it
   * was last known: new files of a directory do not wait for it.
   */
  async snapshot({ name, loaded }: Pick<Entry, 'name' | 'loaded'>): Promise<DataSnapshot> {
    try {
      return await this.store.entries(name);
    } catch (error) {
      const data = loaded?.served.compiled.data;
      const revisions = loaded?.data;
      if (!isAway(error) || data === undefined || revisions === undefined) throw error;
      return { roles: [...data.roles()], entities: [...data.entities()], revisions };
    }
  }

  /** The numbers of a set as they are now. */
  revisions(name: string): Promise<SetRevisions> {
    return this.store.revisions(name);
  }

  /** As `LiveDataStore.numberFiles`; undefined also while the database is away. */
  async numberFiles(name: string, source: number): Promise<number | undefined> {
    try {
      return await this.store.numberFiles(name, source);
    } catch (error) {
      if (!isAway(error)) throw error;
      return undefined;
    }
  }

  /**
   * Makes the changes of live data that what serves does not have yet.
   *
   * @param head the numbers of the set as they are now
   * @returns the set with them; undefined where it is to be loaded as a whole again
   * @throws DataError where a change does not fit the files that serve here
   */
  async followed(entry: Entry, head: SetRevisions): Promise<LoadedPolicySet | undefined> {
    const { name, filesRevision } = entry;
    let loaded = entry.loaded!;
    const from = loaded.data!.data;
    if (from > head.data || from < (await this.store.keptSince(name))) return undefined;
    for (let after = from; after < head.data; ) {
      const changes = await this.store.changesAfter(name, after, changesAtOnce);
      if (changes.length === 0) return undefined;
      for (const { added, removed, revision } of changes) {
        if (revision > head.data) break;
        const change = { add: added, remove: removed };
        ({ loaded } = await loaded.change(change, { files: head.files, data: revision }, { isTrusted: true }));
      }
      after = changes.at(-1)!.revision;
    }
    return withRevision(loaded, claimedRevision(filesRevision, head, loaded.served.revision));
  }

  /**
   * Gives a set the live data that it had with an earlier version, as one more change.
   *
   * @param revision of the data of that version; undefined where it had none
   * @throws VerdictError `policy_version_not_found` where these data are not kept any more
   */
  async restore(
    name: string,
    { version, revision, by }: { readonly version: string; readonly revision: number | undefined; readonly by: string },
  ): Promise<void> {
    for (;;) {
      const { revisions, ...now } = await this.store.entries(name);
      if (revisions.data === 0) return;
      const then = revision === undefined ? noEntries : await this.store.entriesAt(name, revision);
      if (then === undefined) throw versionNotFound(name, version);
      const change = await inTurns(entriesBetween(now, then));
      if (isEmpty(change)) return;
      const written = await this.store.write(name, { ...change, after: revisions, by, at: Date.now(), version });
      if (written !== undefined) return;
    }
  }
}

const noEntries: StoredEntries = Object.freeze({ roles: [], entities: [] });

function isEmpty({ added, removed }: EntriesChange): boolean {
  return [added, removed].every(({ roles, entities }) => roles.length === 0 && entities.length === 0);
}
