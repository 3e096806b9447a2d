import { isAway } from '../../database/database-error.js';
import { VerdictError, versionNotFound } from '../../errors.js';
import { inTurns } from '../../turns/turns.js';
import type { RepositoryWatch } from '../database/policy-repository.js';
import { claimed, type LoadedPolicySet } from '../load-policy-set.js';
import type { Entry } from '../policy-set-table.js';
import type { SetRevisions } from '../set-revisions.js';
import type { Copied, SpoolCopy } from '../spool-copy.js';
import type { CopiedData } from './data-copy.js';
import { type EntriesChange, entriesBetween } from './entries.js';
import { changesAtOnce, type DataHead, type DataSnapshot, type LiveDataStore } from './live-data-store.js';

/** Pause between two looks at what is to be copied, in milliseconds. */
const copyMs = 1_000;
/** Copies take a fiftieth of the time at most: those of a million entries come some minutes apart. */
const copyShare = 50;
/** While changes have been known for longer than this, in milliseconds, the copy is not confirmed. */
const freshMs = 3_000;

/** Gives the sets that serve their live data, follows its changes, and keeps a copy for a start without the database. */
export class LiveSets {
  private watch: RepositoryWatch | undefined;
  private timer: NodeJS.Timeout | undefined;
  private copying: Promise<void> | undefined;
  /** By the monotonic clock: before then nothing is copied. */
  private nextCopy = 0;
  /** What serves and is not copied yet. */
  private readonly uncopied = new Map<string, CopiedData>();
  /** Sets that serve live data. */
  private readonly serving = new Set<string>();
  /** What a start without the database has. */
  private copied: Promise<Copied<CopiedData> | undefined> | undefined;
  private servesCopyOf: number | undefined;

  /** @param copy undefined where the database is a file of this machine */
  constructor(
    readonly store: LiveDataStore,
    private readonly copy?: SpoolCopy<CopiedData>,
  ) {}

  /** Calls `look` whenever live data of a set may have changed. */
  start(look: () => Promise<void>): void {
    this.watch = this.store.watch(look);
    if (this.copy !== undefined) this.timer = setInterval(() => this.copySoon(), copyMs).unref();
  }

  /** Resolves when nothing is being copied; what was not copied yet is copied now. */
  async stop(): Promise<void> {
    this.watch?.end();
    clearInterval(this.timer);
    await this.copying;
    if (this.uncopied.size > 0) await this.copyNow();
  }

  /** How long ago all changes of live data were known here, in milliseconds; `Infinity` before the first time. */
  get ageMs(): number {
    const age = this.watch?.ageMs ?? Number.POSITIVE_INFINITY;
    if (age < Number.POSITIVE_INFINITY || this.servesCopyOf === undefined) return age;
    return Math.max(0, Date.now() - this.servesCopyOf);
  }

  /** Notes what serves of a set, to be copied. */
  noteServed(name: string, { served, data: revisions }: LoadedPolicySet): void {
    const { data } = served.compiled;
    if (data === undefined || revisions === undefined) {
      this.noteGone(name);
      return;
    }
    this.serving.add(name);
    if (this.copy === undefined) return;
    this.uncopied.set(name, { name, revisions, roles: () => data.roles(), entities: () => data.entities() });
  }

  /** Notes that a set serves no live data any more. */
  noteGone(name: string): void {
    this.serving.delete(name);
    this.uncopied.delete(name);
  }

  heads(): Promise<readonly DataHead[]> {
    return this.store.heads();
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
    this.copied ??= this.copy?.read(Date.now());
    const copied = await this.copied;
    const content = copied?.sets.find((set) => set.name === name)?.content;
    if (copied === undefined || content === undefined) throw failure;
    this.servesCopyOf = copied.confirmed;
    const { revisions, roles, entities } = content;
    return { revisions, roles: [...roles()], entities: [...entities()] };
  }

  private copySoon(): void {
    if (this.copying !== undefined || performance.now() < this.nextCopy) return;
    this.copying = this.copyNow().finally(() => {
      this.copying = undefined;
    });
  }

  /** Copies what is not copied yet; where all is, the copy is as old as what is known of changes. Does not throw. */
  private async copyNow(): Promise<void> {
    const { copy, ageMs } = this;
    if (copy === undefined || ageMs > freshMs) return;
    const began = performance.now();
    const known = Date.now() - ageMs;
    const [contents, names] = [[...this.uncopied.values()], [...this.serving].sort()];
    const kept = await copy.keep(contents);
    for (const content of kept) {
      if (this.uncopied.get(content.name) === content) this.uncopied.delete(content.name);
    }
    // What has changed while it was copied is newer than what is confirmed here, and waits for the next round.
    if (kept.length === contents.length) await copy.confirm(names, known);
    const took = performance.now() - began;
    this.nextCopy = performance.now() + copyShare * took;
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
