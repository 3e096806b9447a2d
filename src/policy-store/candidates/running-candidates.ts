import { isAway } from '../../database/database-error.js';
import type { ValueHash } from '../../decision-log/value-hash.js';
import type { PolicyArchive, ServedVersion } from '../archive/policy-archive.js';
import type { DataHead } from '../data/live-data-store.js';
import type { LiveSets } from '../data/live-sets.js';
import { type LoadedPolicySet, loadPolicySet } from '../load-policy-set.js';
import { fileRole, versionOf } from '../policy-set-files.js';
import type { PolicySource } from '../policy-source.js';
import type { PolicyStore } from '../policy-store.js';
import type { PolicyStoreLog } from '../policy-store-options.js';
import { isRun, type PolicyCandidate } from './candidate.js';
import type { CountedTrial } from './candidate-counting.js';
import type { CandidateStore } from './candidate-store.js';
import { type Trial, type Trials, trialOf } from './trial.js';

export interface RunningCandidatesOptions {
  readonly store: CandidateStore;
  readonly policySets: PolicyStore;
  readonly source: PolicySource;
  readonly archive: PolicyArchive;
  readonly live: LiveSets;
  readonly log: PolicyStoreLog;
  readonly hash?: ValueHash | undefined;
  readonly beginCounting: () => CountedTrial;
  /** Hears of one that cannot be loaded here, and why. */
  readonly onUnloadable: (candidate: PolicyCandidate, error: unknown) => Promise<void>;
  /** Hears of what fails behind the scenes. */
  readonly onFailure: (error: unknown) => void;
}

/** A candidate that runs here. */
export interface Running {
  readonly candidate: PolicyCandidate;
  readonly counted: CountedTrial;
  loaded: LoadedPolicySet;
  trial: Trial;
  /** Whether what it is a candidate for was seen serving here. */
  sawBase: boolean;
  /** Since when something else serves, by the monotonic clock. */
  otherSince?: number | undefined;
}

/**
 * The candidates that run on this replica: loaded beside what serves, with the live data of now, for as long as they are to run. None
 * waits for another one that is being loaded.
 */
export class RunningCandidates {
  /** Those that run here; undefined while there are none, so that a decision looks at one field. */
  trials: Trials | undefined;
  /** Every candidate, as of the last look. */
  all: readonly PolicyCandidate[] = [];
  /** When the candidates were read last, by the monotonic clock. */
  readAt = Number.NEGATIVE_INFINITY;
  /** Whether there may be some that are to run and do not, or the other way round. */
  isBehind = false;
  private readonly running = new Map<string, Running>();
  private loading: Promise<unknown> = Promise.resolve();
  /** Changes of live data that are being made, by set. */
  private readonly following = new Map<string, Promise<void>>();
  private isSuspended = false;
  private isStopped = false;

  constructor(private readonly options: RunningCandidatesOptions) {}

  get(policySet: string): Running | undefined {
    return this.running.get(policySet);
  }

  values(): readonly Running[] {
    return [...this.running.values()];
  }

  /** The versions that candidates have, which the archive must keep. */
  servedVersions(): readonly ServedVersion[] {
    const files = this.all.map(({ policySet: name, version }) => ({ name, version }));
    const inside = [...this.running].map(([name, { trial }]) => ({ name, version: trial.served.version }));
    return [...files, ...inside];
  }

  /** Learns which candidates there are, and ends those that do not run any more; those that are to run are loaded by `loadMissing`. */
  async follow(): Promise<void> {
    if (this.isStopped) return;
    this.isBehind = true;
    const askedAt = performance.now();
    this.all = await this.options.store.all();
    this.readAt = askedAt;
    for (const { candidate } of this.running.values()) if (!this.isToRun(candidate)) this.leave(candidate);
    this.isBehind = false;
  }

  /** Ends what runs of a candidate here. It answers nobody from now on. */
  leave({ policySet, id }: PolicyCandidate): void {
    const running = this.running.get(policySet);
    if (running?.candidate.id !== id) return;
    const { candidate, loaded } = running;
    this.running.delete(policySet);
    this.publish();
    loaded.retire();
    void this.noteServed(candidate, loaded).catch(this.options.onFailure);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.trials = undefined;
    await Promise.all([...this.running.values()].map(({ loaded }) => loaded.stop()));
  }

  suspend(isSuspended: boolean): void {
    if (isSuspended === this.isSuspended) return;
    this.isSuspended = isSuspended;
    this.publish();
    if (!this.running.size) return;
    if (isSuspended) this.options.log.warn({}, 'the database is away: canaries answer nobody until it is back');
    else this.options.log.info({}, 'the database is back: canaries answer again');
  }

  private isToRun({ id }: PolicyCandidate): boolean {
    return this.all.some((candidate) => candidate.id === id && isRun(candidate));
  }

  /** @throws DatabaseError while the database is away: then it is to be called again */
  loadMissing(): Promise<void> {
    return this.inLoadingTurn(async () => {
      let away: unknown;
      for (const candidate of this.all) {
        if (this.isStopped) return;
        if (!this.isToRun(candidate) || this.running.has(candidate.policySet)) continue;
        try {
          await this.run(candidate);
        } catch (error) {
          if (isAway(error)) away = error;
          // What it reads may be closed by now.
          else if (!this.isStopped) await this.options.onUnloadable(candidate, error);
        }
      }
      if (away === undefined) return;
      this.isBehind = true;
      throw away;
    });
  }

  private async run(candidate: PolicyCandidate): Promise<void> {
    const { policySet: name, version, base, mode } = candidate;
    const loaded = await this.load(candidate);
    if (loaded === undefined) return;
    const trial = trialOf(candidate, loaded.served);
    const sawBase = this.options.policySets.served(name)?.compiled.versionOfFiles === base;
    await this.noteServed(candidate, loaded);
    // Another one may have taken its place meanwhile.
    if (this.isStopped || !this.isToRun(candidate)) return loaded.stop();
    this.running.set(name, { candidate, loaded, trial, counted: this.options.beginCounting(), sawBase });
    this.publish();
    this.options.log.info({ policySet: name, version, mode }, 'the candidate of a policy set runs');
    // Its data may have changed while it was loaded.
    if (loaded.data !== undefined) void this.followData().catch(this.options.onFailure);
  }

  /** Undefined where it is not there any more. Its tests were run by who set it. */
  private async load(candidate: PolicyCandidate): Promise<LoadedPolicySet | undefined> {
    const { hash, source, store } = this.options;
    const { policySet: name, semantics, version } = candidate;
    const found = source.trustsArchive ? await store.files(candidate) : await source.kept?.(name, version);
    if (found === undefined) {
      if (source.trustsArchive) return undefined;
      throw new Error('no bundle of this version that can be verified is kept here');
    }
    const files = Object.freeze(found.files.filter(({ path }) => fileRole(path) !== 'test'));
    const set = Object.freeze({ name, files });
    if (versionOf(files) !== version) throw new Error(`its files are the version ${versionOf(files)}, not ${version}`);
    const loaded = await loadPolicySet(set, { semantics, hash, data: this.dataOf(name) });
    await this.keepData(candidate, loaded);
    return loaded;
  }

  /** What a canary decides with live data is replayed on the version with these data. */
  private async keepData({ mode }: PolicyCandidate, { data, served }: LoadedPolicySet): Promise<void> {
    const { name, version, compiled } = served;
    const filesVersion = compiled.versionOfFiles;
    if (mode !== 'canary' || data === undefined || version === filesVersion) return;
    await this.options.archive.keepData({ name, version, filesVersion, dataRevision: data.data }, Date.now());
  }

  /** Records name the versions that a canary answers with: the archive keeps them as it keeps what serves. */
  private async noteServed({ mode, policySet: name }: PolicyCandidate, { served }: LoadedPolicySet): Promise<void> {
    if (mode !== 'canary') return;
    const versions = new Set([served.version, served.compiled.versionOfFiles]);
    const all = [...versions].map((version) => ({ name, version }));
    await this.options.archive.noteServed(all, Date.now());
  }

  /**
   * Makes the changes of live data that the candidates do not have yet: of each set in its own turn, so that none waits for a
   * candidate of another set that is being loaded.
   */
  async followData(): Promise<void> {
    if (![...this.running.values()].some(({ loaded }) => loaded.data !== undefined)) return;
    const heads = await this.options.live.store.heads();
    await Promise.all(heads.map((head) => this.inTurnOf(head.name, () => this.followDataOf(head))));
  }

  /** @throws DatabaseError while the database is away: then it is to be called again */
  private async followDataOf(head: DataHead): Promise<void> {
    const { name } = head;
    const running = this.running.get(name);
    if (running?.loaded.data === undefined || running.loaded.data.data >= head.data) return;
    const { candidate } = running;
    try {
      const followed = await this.options.live.followed({ name, loaded: running.loaded }, head);
      const loaded = followed ?? (await this.inLoadingTurn(() => this.load(candidate)));
      if (loaded === undefined) return;
      if (followed !== undefined) await this.keepData(candidate, loaded);
      if (this.isStopped || this.running.get(name) !== running) return await loaded.stop();
      const before = running.loaded;
      running.loaded = loaded;
      running.trial = trialOf(candidate, loaded.served);
      this.publish();
      before.retire();
      await this.noteServed(candidate, before);
    } catch (error) {
      if (isAway(error)) throw error;
      if (!this.isStopped) await this.options.onUnloadable(candidate, error);
    }
  }

  /** Makes visible what runs, in one assignment. */
  private publish(): void {
    const trials = new Map<string, Trial>();
    for (const [name, { trial }] of this.running) {
      if (!this.isSuspended || trial.candidate.mode === 'shadow') trials.set(name, trial);
    }
    this.trials = trials.size === 0 ? undefined : trials;
  }

  private dataOf(name: string) {
    return () => this.options.live.snapshot({ name });
  }

  private inTurnOf(name: string, work: () => Promise<void>): Promise<void> {
    const result = (this.following.get(name) ?? Promise.resolve()).then(work);
    const settled = result
      .catch(() => undefined)
      .finally(() => {
        if (this.following.get(name) === settled) this.following.delete(name);
      });
    this.following.set(name, settled);
    return result;
  }

  private inLoadingTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.loading.then(work);
    this.loading = result.catch(() => undefined);
    return result;
  }
}
