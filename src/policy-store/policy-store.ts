import type { PolicyProblem } from '../core/problem.js';
import { isAway } from '../database/database-error.js';
import { ArchivedVersions } from './archive/archived-versions.js';
import type { ArchivedState, ServedVersion } from './archive/policy-archive.js';
import type { PolicySetStatus } from './policy-set-status.js';
import { PolicySetTable } from './policy-set-table.js';
import { ageOf, type OfferedSet, type SourceSink } from './policy-source.js';
import type { PolicyStoreOptions } from './policy-store-options.js';
import type { ServedPolicySet } from './served-policy-set.js';
import { SetLoader } from './set-loader.js';
import { VersionService } from './version-service.js';

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
    this.archived = new ArchivedVersions(options.archive);
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
  }

  /** Ends the source and the threads of stock Casbin; what was resolved before can no longer be counted on. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.sets.waiters.stop();
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

  /** When the source was last read as a whole, in milliseconds since 1970: what was changed since then is not known. */
  get confirmed(): number | undefined {
    return this.options.source.confirmedAt;
  }

  /**
   * How long ago what serves of a set was last known to be what its source has, in milliseconds; `Infinity` if it never was.
   * While the newest that the source has of a set cannot be loaded, its age grows, although the source is read.
   */
  ageOf(name: string): number {
    const lastCurrent = this.sets.find(name)?.lastCurrent;
    const ofSource = ageOf(this.options.source);
    return lastCurrent === undefined ? ofSource : Math.max(ofSource, performance.now() - lastCurrent);
  }

  /**
   * Asks the source for the highest revision that it has given a set; undefined where it has given it none. Rejects when it
   * cannot be asked.
   */
  latestRevision(name: string): Promise<number | undefined> {
    return this.options.source.latestRevision(name);
  }

  /**
   * Waits until something holds of what serves: resolves with true as soon as it does, with false when it has not for `ms`
   * milliseconds.
   */
  until(holds: () => boolean, ms: number): Promise<boolean> {
    return this.sets.waiters.until(holds, ms);
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
   * @throws VerdictError `policy_set_not_found`, `policy_version_not_found`, `policy_version_invalid`
   */
  async rollback(name: string, version: string, by: string): Promise<PolicySetStatus> {
    const { source } = this.options;
    if (source.rollback !== undefined) {
      this.sets.get(name);
      // It must be there and load before every replica is told to serve it.
      await (await this.archived.load(name, version)).stop();
      await source.rollback(name, version, by);
      return this.sets.status(name);
    }
    return this.exclusively(async () => {
      const entry = this.sets.get(name);
      const { sourceVersion } = entry;
      const pinnedOver = sourceVersion === version ? undefined : (sourceVersion ?? '');
      await this.service.serve(entry, await this.archived.load(name, version), pinnedOver);
      return this.sets.status(name);
    });
  }

  /**
   * Serves what other replicas have rolled back to, or have ended a rollback of, where the archive is shared. A rollback
   * holds over one version of the source's files: a replica whose files are others already is not concerned.
   *
   * @throws DatabaseError where the archive is away: then it is to be called again
   */
  async followRollbacks(): Promise<void> {
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
      if (entry.pinnedOver !== undefined && entry.loaded?.served.version === version) return;
      this.service.put(entry, await this.archived.load(name, version), sourceVersion);
    } else if (pinnedOver === undefined && entry.pinnedOver !== undefined && version === sourceVersion) {
      this.service.put(entry, await this.archived.load(name, version), undefined);
    }
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

  private async load(offered: OfferedSet): Promise<boolean> {
    const { name } = offered.set;
    this.forgetRetry(name);
    const result = await this.loader.load(offered);
    if (result !== 'failed' || this.isStopped) return result === 'served';
    const again = () =>
      void this.exclusively(async () => {
        // What the source told since then was in line before it.
        if (this.retries.get(name) === timer) await this.load({ ...offered, since: performance.now() });
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
