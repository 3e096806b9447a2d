import { isAway } from '../../database/database-error.js';
import { VerdictError, versionNotFound } from '../../errors.js';
import { inTurns } from '../../turns/turns.js';
import type { RepositoryWatch } from '../database/policy-repository.js';
import { claimed, type LoadedPolicySet } from '../load-policy-set.js';
import type { Entry } from '../policy-set-table.js';
import type { SetRevisions } from '../set-revisions.js';
import type { DataCopying } from './data-copying.js';
import { type EntriesChange, entriesBetween } from './entries.js';
import { changesAtOnce, type DataSnapshot, type LiveDataStore } from './live-data-store.js';

/** Gives the sets that serve their live data, and follows its changes. */
export class LiveSets {
  private watch: RepositoryWatch | undefined;
  /** The time of the copy that serves, in milliseconds since 1970. */
  private servesCopyOf: number | undefined;

  /** @param copying undefined where the database is a file of this machine */
  constructor(
    readonly store: LiveDataStore,
    readonly copying?: DataCopying,
  ) {}

  /** Calls `look` whenever live data of a set may have changed. */
  start(look: () => Promise<void>): void {
    this.watch = this.store.watch(look);
    this.copying?.start(() => this.ageMs);
  }

  async stop(): Promise<void> {
    this.watch?.end();
    await this.copying?.stop(this.ageMs);
  }

  /** How long ago all changes of live data were known here, in milliseconds; `Infinity` before the first time. */
  get ageMs(): number {
    const age = this.watch?.ageMs ?? Number.POSITIVE_INFINITY;
    if (age < Number.POSITIVE_INFINITY || this.servesCopyOf === undefined) return age;
    return Math.max(0, Date.now() - this.servesCopyOf);
  }

  /**
   * Reads the live data of a set for files that are to serve. While the database is away, what serves has the data as it
   * was last known, or the copy has: new files of a directory do not wait for it, and neither does a start.
   */
  async snapshot({ name, loaded }: Pick<Entry, 'name' | 'loaded'>): Promise<DataSnapshot> {
    try {
      return await this.store.entries(name);
    } catch (error) {
      const data = loaded?.served.compiled.data;
      const revisions = loaded?.data;
      if (!isAway(error)) throw error;
      if (data === undefined || revisions === undefined) return this.copyOf(name, error);
      return { roles: [...data.roles()], entities: [...data.entities()], revisions };
    }
  }

  private async copyOf(name: string, failure: unknown): Promise<DataSnapshot> {
    const copied = await this.copying?.read(name);
    if (copied === undefined) throw failure;
    this.servesCopyOf = copied.confirmed;
    return copied.snapshot;
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
  async followed(entry: Pick<Entry, 'name' | 'loaded'>, head: SetRevisions): Promise<LoadedPolicySet | undefined> {
    const { name } = entry;
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
    const { filesRevision, served } = loaded;
    return claimed(loaded, filesRevision, head, served.revision);
  }

  /**
   * Gives a set the live data that it had with an earlier version, as one more change.
   *
   * @param revision of the data of that version
   * @throws VerdictError `policy_version_not_found` where these data are not kept any more
   */
  async restore(
    name: string,
    { version, revision, by }: { readonly version: string; readonly revision: number; readonly by: string },
  ): Promise<void> {
    for (let tries = 0; tries < maxTries; tries++) {
      const { revisions, ...now } = await this.store.entries(name);
      const then = await this.store.entriesAt(name, revision);
      if (then === undefined) throw versionNotFound(name, version);
      const change = await inTurns(entriesBetween(now, then));
      if (isEmpty(change)) return;
      const written = await this.store.write(name, { ...change, after: revisions, by, at: Date.now(), version });
      if (written !== undefined) return;
    }
    const detail = `The live data of "${name}" are changed all the time.`;
    throw new VerdictError('policy_writes_in_progress', detail, { retryAfter: 1 });
  }
}

/** How often the data of an earlier version are worked out anew, when somebody has changed those of now meanwhile. */
const maxTries = 20;

function isEmpty({ added, removed }: EntriesChange): boolean {
  return [added, removed].every(({ roles, entities }) => roles.length === 0 && entities.length === 0);
}
