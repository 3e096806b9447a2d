import type { DataChange } from '../core/policy/data-change.js';
import type { PolicyProblem } from '../core/problem.js';
import { isAway } from '../database/database-error.js';
import { VerdictError, versionNotFound } from '../errors.js';
import { ArchivedVersions } from './archive/archived-versions.js';
import type { ArchivedState, ServedVersion } from './archive/policy-archive.js';
import { isOfData } from './data/unfit-data.js';
import { type ChangedLoadedSet, claimed, type LoadedPolicySet } from './load-policy-set.js';
import { fileRole, type PolicyFile } from './policy-set-files.js';
import type { PolicySetStatus } from './policy-set-status.js';
import { type Entry, PolicySetTable } from './policy-set-table.js';
import { ageOf, type ExpectedServing, type OfferedSet, type SourceSink } from './policy-source.js';
import type { PolicyStoreOptions } from './policy-store-options.js';
import type { ServedPolicySet } from './served-policy-set.js';
import { SetLoader } from './set-loader.js';
import { claimedRevision, lastRevisionOf, type SetRevisions } from './set-revisions.js';
import { VersionService } from './version-service.js';

/** A set whose live data can be changed. */
export interface ChangeableSet {
  /** The revision of its live data that serves. */
  readonly data: number;
  /** That of its files; undefined where these have no numbers. */
  readonly files: number | undefined;
  /** Makes the set that a change leads to, which is not served. @throws DataError, PolicyError with the tests that fail */
  change(change: DataChange): Promise<ChangedLoadedSet>;
}

/** When a set is loaded again that failed for another reason than its files, in milliseconds. */
const defaultRetryMs = 5_000;

/**
 * The policy sets that are served. A set is loaded as a whole or not at all (P1), replaced in one assignment, and kept
 * if its next version is broken. What the source says and requests of operators are handled one after another.
 */
export class PolicyStore {
  private readonly archived: ArchivedVersions;
  private readonly sets: PolicySetTable;
  private readonly service: VersionService;
  private readonly loader: SetLoader;
  /** Sets that are tried again although their source says nothing new. */
  private readonly retries = new Map<string, NodeJS.Timeout>();
  private work: Promise<unknown> = Promise.resolve();
  private isStopped = false;

  constructor(private readonly options: PolicyStoreOptions) {
    this.archived = new ArchivedVersions(options.archive, options.live?.store, options.hash);
    this.sets = new PolicySetTable(options.source.title, options.defaultPolicySet);
    this.service = new VersionService(this.sets, this.archived, options);
    this.loader = new SetLoader(this.sets, this.service, options);
  }

  /** Loads every set, then follows its source. Resolves also when a set, or the whole source, cannot be loaded. */
  async start(): Promise<void> {
    for (const state of (await this.options.archive?.states()) ?? []) {
      Object.assign(this.sets.obtain(state.name), { archived: state, pinnedOver: state.pinnedOver });
    }
    await this.options.source.start(this.sink());
    await this.exclusively(async () => {
      for (const entry of this.sets.entries) await this.service.serveArchived(entry);
    });
    this.sets.isStarted = true;
    this.options.live?.start(() => this.followData());
  }

  /** Ends the source and the threads of stock Casbin; what was resolved before can no longer be counted on. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.sets.waiters.stop();
    await this.options.live?.stop();
    await this.options.source.stop();
    for (const name of [...this.retries.keys()]) this.forgetRetry(name);
    await this.work;
    await this.archived.stop();
    await Promise.all(this.sets.entries.map((entry) => entry.loaded?.stop()));
  }

  /**
   * The version of a set that serves now.
   *
   * @throws VerdictError `no_policy_set`, `policy_set_not_found`, `policy_set_unavailable`
   */
  resolve(name?: string): ServedPolicySet {
    return this.sets.resolve(name);
  }

  /** Whether there is a set of that name, although none of it may be served. */
  knows(name: string): boolean {
    return this.sets.find(name) !== undefined;
  }

  /** The highest age that requests accept which demand nothing else, in milliseconds; undefined: any. */
  get maxStalenessMs(): number | undefined {
    return this.options.maxStalenessMs;
  }

  /** The sets that are older than every request accepts. */
  outdated(): readonly string[] {
    const { maxStalenessMs } = this;
    if (maxStalenessMs === undefined) return [];
    return this.statuses().flatMap(({ name }) => (this.ageOf(name) > maxStalenessMs ? [name] : []));
  }

  /** The version of a set that serves now; undefined where none does. */
  served(name: string): ServedPolicySet | undefined {
    return this.sets.served(name);
  }

  /** The set of requests that name none, if there is one. */
  defaultName(): string | undefined {
    return this.sets.defaultName();
  }

  /** Whether requests that name no set are answered, and some of those that name one; or the source has no set. */
  get isServing(): boolean {
    const byDefault = this.defaultName();
    // A database in which nothing was written yet is a good load of none.
    if (this.statuses().length === 0) return this.problem === undefined && this.confirmed !== undefined;
    const served = this.statuses().filter(({ state }) => state !== 'failed');
    return served.length > 0 && (byDefault === undefined || served.some(({ name }) => name === byDefault));
  }

  /** Every set, in the order of their names. */
  statuses(): readonly PolicySetStatus[] {
    return this.sets.statuses();
  }

  /** The version that each set serves, of those that serve one. */
  servedVersions(): readonly ServedVersion[] {
    return this.statuses().flatMap(({ name, version }) => (version === undefined ? [] : [{ name, version }]));
  }

  /** @throws VerdictError `policy_set_not_found` */
  status(name: string): PolicySetStatus {
    return this.sets.status(name);
  }

  /**
   * A version that serves or once did, also of a set that was removed: to ask it what it would answer.
   *
   * @param semantics the number of the defaults to read it with; by default the one that it serves or served under
   * @throws VerdictError `policy_version_not_found`, `policy_version_invalid`
   */
  async version(name: string, version: string, semantics?: number): Promise<ServedPolicySet> {
    const serving = this.sets.served(name);
    const isIt =
      serving?.version === version && serving.compiled.semantics === (semantics ?? serving.compiled.semantics);
    return isIt ? serving : this.archived.get(name, version, semantics);
  }

  /** The test files that the source has of a set now; they are not a part of a version. */
  testFilesOf(name: string): readonly PolicyFile[] {
    return this.sets.find(name)?.offered?.set.files.filter(({ path }) => fileRole(path) === 'test') ?? [];
  }

  /** When the source was last read as a whole, in milliseconds since 1970: what was changed since then is not known. */
  get confirmed(): number | undefined {
    return this.options.source.confirmedAt;
  }

  /**
   * How long ago what serves of a set was last known to be what its source has, in milliseconds; `Infinity` if it never was.
   * While the newest that the source has of a set cannot be loaded, its age grows, although the source is read.
   */
  ageOf(name: string): number {
    const entry = this.sets.find(name);
    const { source, live } = this.options;
    return Math.max(
      ageOf(source),
      entry?.lastCurrent === undefined ? 0 : performance.now() - entry.lastCurrent,
      entry?.loaded?.data === undefined || live === undefined ? 0 : live.ageMs,
    );
  }

  /**
   * Asks for the highest revision that a set was given, by its source or by a change of its live data; undefined where it
   * was given none. Rejects when that cannot be asked.
   */
  async latestRevision(name: string): Promise<number | undefined> {
    const { source, live } = this.options;
    const ofSource = await source.latestRevision(name);
    if (live === undefined || this.sets.find(name)?.loaded?.data === undefined) return ofSource;
    const revisions = await live.store.revisions(name);
    // Files without numbers of their own have none here either, but perhaps had when their source was another.
    return (ofSource === undefined ? revisions.data : lastRevisionOf(revisions)) || undefined;
  }

  /**
   * Waits until something holds of what serves: resolves with true as soon as it does, with false when it has not for `ms`
   * milliseconds.
   */
  until(holds: () => boolean, ms: number): Promise<boolean> {
    return this.sets.waiters.until(holds, ms);
  }

  /** Calls `listen` whenever requests are answered by another version of any set, from then on. It must not throw. */
  whenServed(listen: () => void): void {
    this.sets.listeners.push(listen);
  }

  /** When what the source said last stops counting, in milliseconds since 1970; undefined where it does not expire. */
  get sourceExpires(): number | undefined {
    return this.options.source.expiresAt;
  }

  /** Why the source as a whole cannot be used; what was served before goes on. */
  get problem(): PolicyProblem | undefined {
    return this.sets.sourceProblem;
  }

  /**
   * Reads the set from its source again, whether or not it seems to have changed; without a name, every set. When this
   * resolves, the status says what became of it.
   *
   * @throws VerdictError `policy_set_not_found`
   */
  async reload(name?: string): Promise<void> {
    if (name !== undefined) this.sets.get(name);
    await this.options.source.reload(name);
  }

  /**
   * Serves an earlier version until the source's version changes, across restarts too. Rolling back to the source's own
   * version ends an earlier rollback.
   *
   * @param by who wants it
   * @param expected what it may take the place of; by default anything
   * @throws VerdictError `policy_set_not_found`, `policy_version_not_found`, `policy_version_invalid`,
   *   `precondition_failed` and what `expected.require` throws
   */
  async rollback(name: string, version: string, by: string, expected?: ExpectedServing): Promise<PolicySetStatus> {
    const { source } = this.options;
    this.sets.get(name);
    // Only a promotion puts in force what never served: files that were a shadow are kept, too, perhaps held for what they do.
    if (expected === undefined && (await this.options.archive?.hasServed(name, version)) === false) {
      throw versionNotFound(name, version);
    }
    const { files, data } = await this.rolledBackTo(name, version, by);
    if (source.rollback !== undefined) {
      await source.rollback(name, files, by, expected);
      if (data) await this.followData();
      return this.sets.status(name);
    }
    return this.exclusively(async () => {
      const entry = this.sets.get(name);
      expected?.require();
      const { sourceVersion } = entry;
      const pinnedOver = sourceVersion === files ? undefined : (sourceVersion ?? '');
      await this.service.serve(entry, await this.loadFiles(entry, files), pinnedOver);
      return this.sets.status(name);
    });
  }

  /**
   * Makes sure that a version is there and loads, before any replica is told to serve it, and gives the set the live data
   * of that version, if it had some.
   *
   * @returns the version of its files, and whether live data may have changed
   */
  private async rolledBackTo(name: string, version: string, by: string) {
    const { archive, live } = this.options;
    this.sets.get(name);
    const loaded = await this.archived.load(name, version);
    const { versionOfFiles: files, manifest } = loaded.served.compiled;
    await loaded.stop();
    const revision = (await archive?.version(name, version))?.dataRevision;
    // A version of files alone, as the folder's, gives back the files: it says nothing of live data, which stay as they are.
    if (live === undefined || manifest.data === undefined || revision === undefined) return { files, data: false };
    await live.restore(name, { version, revision, by });
    return { files, data: true };
  }

  /** An earlier version of the files, with the live data of now. */
  private async loadFiles(entry: Entry, version: string): Promise<LoadedPolicySet> {
    const loaded = await this.archived.loadFiles(entry.name, version, undefined, this.service.dataOf(entry));
    if (loaded.data === undefined) return loaded;
    const { filesRevision, served } = entry.loaded ?? {};
    return claimed(loaded, filesRevision, loaded.data, served?.revision);
  }

  /**
   * What a change of live data would be made of: what serves, and the numbers that a writer holds against those of the
   * database.
   *
   * @throws VerdictError `policy_set_not_found`, `policy_set_unavailable`, `not_live_data`
   */
  changeable(name: string): ChangeableSet {
    const entry = this.sets.get(name);
    const { loaded } = entry;
    if (loaded === undefined) {
      throw new VerdictError('policy_set_unavailable', `The policy set "${name}" could not be loaded.`);
    }
    const { data, filesRevision } = loaded;
    if (data === undefined) {
      const detail = `The policy set "${name}" has no live data: its policy-set.yaml does not say what may be changed under data.`;
      throw new VerdictError('not_live_data', detail);
    }
    return { data: data.data, files: filesRevision, change: (change) => loaded.change(change, data) };
  }

  /**
   * Makes the changes of live data that others, or this process, have written.
   *
   * @throws where a change of one of them could not be made: then it is to be called again; the set says that it is behind
   */
  async followData(): Promise<void> {
    const { live } = this.options;
    if (live === undefined) return;
    let failure: unknown;
    for (const head of await live.store.heads()) {
      if (this.isStopped) return;
      const entry = this.sets.find(head.name);
      if (entry === undefined || !isBehind(entry, head)) continue;
      await this.exclusively(async () => {
        try {
          await this.followDataOf(entry, head);
          this.loader.noteFollowed(entry);
        } catch (error) {
          failure = error;
          // That the database is away is said elsewhere, and shows in the age.
          if (isAway(error)) return;
          this.options.log.error({ err: error, policySet: head.name }, 'a change of live data is not followed');
          this.loader.noteNotFollowed(entry);
        }
      });
    }
    if (failure !== undefined) throw failure;
  }

  private async followDataOf(entry: Entry, head: SetRevisions): Promise<void> {
    if (this.sets.find(entry.name) !== entry || !isBehind(entry, head)) return;
    if (entry.loaded === undefined) return entry.offered && this.retryLoad(entry.offered);
    await this.loader.numberAgain(entry);
    const loaded = await this.options.live!.followed(entry, head).catch((error: unknown) => {
      if (isAway(error)) throw error;
      // The files here may be others than those that the change was checked on: then loading them says what is wrong.
      this.options.log.warn({ err: error, policySet: entry.name }, 'live data are read as a whole again');
      return undefined;
    });
    if (loaded !== undefined) {
      await this.service.keepData(loaded);
      this.service.put(entry, loaded, entry.pinnedOver);
      // Files that cannot be served may be right with these data.
      if (entry.problems.some(isOfData) && entry.offered !== undefined) await this.retryLoad(entry.offered);
      return;
    }
    if (entry.pinnedOver !== undefined || entry.offered === undefined) {
      const version = entry.loaded?.served.compiled.versionOfFiles;
      if (version === undefined) return;
      return this.putFiles(entry, version, entry.pinnedOver);
    }
    await this.retryLoad(entry.offered);
  }

  /**
   * Serves what other replicas have rolled back to, or have ended a rollback of, where the archive is shared. A rollback
   * holds over one version of the source's files: a replica whose files are others already is not concerned.
   *
   * @throws DatabaseError where the archive is away: then it is to be called again
   */
  async followRollbacks(): Promise<void> {
    const { source } = this.options;
    if (source.followRollbacks !== undefined) return source.followRollbacks();
    let away: unknown;
    for (const state of (await this.options.archive?.states()) ?? []) {
      if (this.isStopped) return;
      await this.exclusively(() => this.followRollback(state)).catch((error: unknown) => {
        if (isAway(error)) away = error;
        else {
          // Another replica serves it, so it is there; what keeps it from loading here keeps no other set from following.
          const { name: policySet, version } = state;
          this.options.log.error({ err: error, policySet, version }, 'a rollback of another replica is not followed');
        }
      });
    }
    if (away !== undefined) throw away;
  }

  private async followRollback({ name, version, pinnedOver }: ArchivedState): Promise<void> {
    const entry = this.sets.find(name);
    const sourceVersion = entry?.sourceVersion;
    if (entry === undefined || sourceVersion === undefined) return;
    if (pinnedOver === sourceVersion || pinnedOver === '') {
      if (entry.pinnedOver !== undefined && entry.loaded?.served.compiled.versionOfFiles === version) return;
      await this.putFiles(entry, version, sourceVersion);
    } else if (pinnedOver === undefined && entry.pinnedOver !== undefined && version === sourceVersion) {
      await this.putFiles(entry, version, undefined);
    }
  }

  private async putFiles(entry: Entry, version: string, pinnedOver: string | undefined): Promise<void> {
    const loaded = await this.loadFiles(entry, version);
    await this.service.keepData(loaded);
    this.service.put(entry, loaded, pinnedOver);
  }

  /** One at a time: a rollback must not meet a reload halfway. */
  private exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.work.then(work).finally(() => this.sets.publish());
    this.work = result.catch(() => undefined);
    return result;
  }

  /** What the source says is handled like requests of operators: one at a time. */
  private sink(): SourceSink {
    return {
      names: () => this.sets.entries.map(({ name }) => name),
      offer: (offered) => this.exclusively(() => this.load(offered)),
      fail: (name, problems, since) =>
        this.exclusively(async () => {
          this.forgetRetry(name);
          await this.loader.fail(name, problems, since);
        }),
      remove: (name, why) =>
        this.exclusively(async () => {
          this.forgetRetry(name);
          await this.loader.remove(name, why);
        }),
      problem: (problem) => this.exclusively(async () => this.noteSource(problem)),
    };
  }

  private async retryLoad(offered: OfferedSet): Promise<void> {
    await this.load({ ...offered, since: performance.now() });
  }

  private async load(offered: OfferedSet): Promise<boolean> {
    const { name } = offered.set;
    this.forgetRetry(name);
    const result = await this.loader.load(offered);
    if (result !== 'failed' || this.isStopped) return result === 'served';
    const again = () =>
      void this.exclusively(async () => {
        // What the source told since then was in line before it.
        if (this.retries.get(name) === timer) await this.retryLoad(offered);
      });
    const timer = setTimeout(again, this.options.retryMs ?? defaultRetryMs).unref();
    this.retries.set(name, timer);
    return false;
  }

  private forgetRetry(name: string): void {
    clearTimeout(this.retries.get(name));
    this.retries.delete(name);
  }

  private noteSource(problem: PolicyProblem | undefined): void {
    const { log, source } = this.options;
    this.sets.sourceProblem = problem;
    if (problem === undefined) log.info(source.place, `${source.title} read`);
    else log.error({ ...source.place, problem }, `${source.title}: ${problem.message}`);
  }
}

/** Whether a set has not got changes of its live data. One that could not be loaded may be loaded with others. */
function isBehind({ loaded, problems, offered }: Entry, head: SetRevisions): boolean {
  if (loaded === undefined) return problems.some(isOfData) && offered !== undefined;
  if (loaded.data === undefined) return false;
  const { served, filesRevision } = loaded;
  const { revision } = served;
  return (
    loaded.data.data !== head.data || filesRevision === 0 || claimedRevision(filesRevision, head, revision) !== revision
  );
}
