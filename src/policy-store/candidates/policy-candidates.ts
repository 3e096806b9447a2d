import { randomBytes } from 'node:crypto';
import type { AuditEventType } from '../../audit/audit-event.js';
import type { AuditLog } from '../../audit/audit-log.js';
import { PolicyError } from '../../core/problem.js';
import { currentSemantics, isSemantics, type Semantics } from '../../core/semantics.js';
import { isAway } from '../../database/database-error.js';
import type { ValueHash } from '../../decision-log/value-hash.js';
import { VerdictError, versionNotFound } from '../../errors.js';
import { OneAtATime } from '../../turns/one-at-a-time.js';
import type { PolicyArchive, ServedVersion } from '../archive/policy-archive.js';
import type { DataHead } from '../data/live-data-store.js';
import type { LiveSets } from '../data/live-sets.js';
import type { RepositoryWatch } from '../database/policy-repository.js';
import type { PolicyWriting } from '../database/policy-writing.js';
import { invalidSet, refuseFaultyFiles } from '../invalid-set.js';
import { type LoadedPolicySet, loadPolicySet } from '../load-policy-set.js';
import { fileRole, type PolicySetFiles, versionOf } from '../policy-set-files.js';
import type { PolicySource } from '../policy-source.js';
import type { PolicyStore } from '../policy-store.js';
import type { LoadEvent, PolicyStoreLog } from '../policy-store-options.js';
import {
  type CandidateCount,
  type CandidateCounts,
  type CandidateDifference,
  type CandidateReason,
  type CandidateSettings,
  candidateCounts,
  countsOf,
  type DifferenceKind,
  isRun,
  isTaken,
  type PolicyCandidate,
  passedGate,
} from './candidate.js';
import type { CandidateStore } from './candidate-store.js';
import { CandidateTally } from './candidate-tally.js';
import { type Trial, type Trials, trialOf } from './trial.js';

export interface PolicyCandidatesOptions {
  readonly store: CandidateStore;
  readonly policySets: PolicyStore;
  readonly source: PolicySource;
  readonly archive: PolicyArchive;
  readonly live: LiveSets;
  /** Undefined where sets are not written into the database. */
  readonly writing: PolicyWriting | undefined;
  /** @throws VerdictError `bundle_refused` where files must be signed */
  readonly refuseUnsigned: (set: string) => void;
  readonly audit: Pick<AuditLog, 'record'>;
  readonly log: PolicyStoreLog;
  readonly hash?: ValueHash | undefined;
  /** False where what is stored of decisions is encrypted: then differences are kept in the memory of each replica. */
  readonly storesDifferences: boolean;
}

/** What is to be tried: files that are sent, or an earlier version. */
export type TriedContent = { readonly files: PolicySetFiles } | { readonly version: string };

export interface SetNote {
  readonly by: string;
}

/** A candidate with what was counted of it on all replicas. */
export interface CountedCandidate {
  readonly candidate: PolicyCandidate;
  readonly counts: CandidateCounts;
}

/** A candidate that runs here. */
interface Running {
  readonly candidate: PolicyCandidate;
  readonly tally: CandidateTally;
  loaded: LoadedPolicySet;
  trial: Trial;
  /** Whether what it is a candidate for was seen serving here. */
  sawBase: boolean;
  /** Since when something else serves, by the monotonic clock. */
  otherSince?: number | undefined;
}

/** How often counts are written and gates looked at, in milliseconds. */
const tickMs = 250;
/** Without word from the database for this long a canary answers nobody: it may have been withdrawn. In milliseconds. */
const suspendedAfterMs = 3_000;
/**
 * How long another version may serve here before a candidate is held that never saw its own one serve here: a replica hears of a
 * candidate before it has read the files that it is for. In milliseconds.
 */
const strangeMs = 10_000;
/** Most candidates that are checked, or wait for it, as of sets that are written. */
const checkLimits = { pieces: 9, piecesOfCaller: 4 };

/**
 * The candidates of policy sets: one a set, in `shadow` or as `canary`, the same on every replica of a database. What they
 * do with requests is in `pdp/`; here is which there are, what was counted of them, and how they end.
 *
 * A candidate is for the place of one version. When another one serves it is held, a canary withdrawn; when it serves
 * itself it has ended.
 */
export class PolicyCandidates {
  /** Those that run here; undefined while there are none, so that a decision looks at one field. */
  trials: Trials | undefined;
  /** What this process has counted since it started, by set; for metrics. */
  readonly ownCounts = new Map<string, Map<CandidateCount, number>>();
  /** Every candidate, as of the last look. */
  private all: readonly PolicyCandidate[] = [];
  private readonly running = new Map<string, Running>();
  /** Differences that are not stored, by the candidate's id. */
  private readonly memory = new Map<string, CandidateDifference[]>();
  private readonly checks = new OneAtATime(checkLimits);
  /** The sets that were removed, and the candidates that they had then: a set of the same name may be written at once. */
  private readonly gone = new Set<string>();
  private readonly orphans = new Set<string>();
  /** Reads and writes of what candidates there are, one after another. None waits for a candidate that is being loaded. */
  private work: Promise<unknown> = Promise.resolve();
  private loading: Promise<unknown> = Promise.resolve();
  /** Changes of live data that are being made, by set. */
  private readonly following = new Map<string, Promise<void>>();
  private watch: RepositoryWatch | undefined;
  private dataWatch: RepositoryWatch | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isBehind = false;
  /** When the candidates were read last, by the monotonic clock. */
  private readAt = Number.NEGATIVE_INFINITY;
  private isTicking = false;
  private isSuspended = false;
  private isStopped = false;

  constructor(private readonly options: PolicyCandidatesOptions) {}

  /** The policy sets have been loaded by now. Resolves when every candidate runs here; also where the database is away. */
  async start(): Promise<void> {
    const { store, live } = this.options;
    await this.followAndLoad().catch((error: unknown) => this.noteFailure(error));
    this.watch = store.watch(async () => {
      await this.follow();
      void this.loadMissing().catch((error: unknown) => this.noteFailure(error));
    });
    this.dataWatch = live.store.watch(() => this.followData());
    this.timer = setInterval(() => void this.tick(), tickMs).unref();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    this.watch?.end();
    this.dataWatch?.end();
    await this.exclusively(() => this.writeCounts()).catch(() => undefined);
    this.trials = undefined;
    await Promise.all([...this.running.values()].map(({ loaded }) => loaded.stop()));
  }

  /** Every candidate that this replica knows. */
  get known(): readonly PolicyCandidate[] {
    return this.all;
  }

  /** The versions that candidates have, which the archive must keep. */
  servedVersions(): readonly ServedVersion[] {
    const files = this.all.map(({ policySet: name, version }) => ({ name, version }));
    const inside = [...this.running].map(([name, { trial }]) => ({ name, version: trial.served.version }));
    return [...files, ...inside];
  }

  /** Hears what became of a set at its source. */
  noteLoad({ policySet, result }: LoadEvent): void {
    if (result !== 'removed') this.gone.delete(policySet);
    else {
      this.gone.add(policySet);
      for (const candidate of this.all) if (candidate.policySet === policySet) this.orphans.add(candidate.id);
      this.ownCounts.delete(policySet);
    }
  }

  /**
   * Compiles, lints and tests a candidate as a load would, and has every replica try it.
   *
   * @returns whether it took the place of another one
   * @throws VerdictError `policy_set_not_found`, `policy_set_unavailable`, `policy_set_invalid` with every problem,
   *   `policy_version_not_found`, `bundle_refused`, `conflict` for what serves already and while the one before it is being
   *   promoted, `policy_writes_in_progress`
   */
  set(name: string, content: TriedContent, settings: CandidateSettings, { by }: SetNote): Promise<boolean> {
    if (!this.checks.hasRoomFor(by)) {
      const detail = 'Too many policy sets are being checked, from the caller or in all.';
      throw new VerdictError('policy_writes_in_progress', detail, { retryAfter: 1 });
    }
    return this.checks.run(by, () => this.setNow(name, content, settings, by));
  }

  private async setNow(name: string, content: TriedContent, settings: CandidateSettings, by: string): Promise<boolean> {
    const { archive, policySets, store } = this.options;
    const { set, semantics } = await this.contentOf(name, content);
    const version = versionOf(set.files);
    const base = policySets.resolve(name).compiled.versionOfFiles;
    if (version === base) {
      const detail = `The policy set "${name}" serves the version ${version}: that cannot be a candidate for its place.`;
      throw new VerdictError('conflict', detail);
    }
    const loaded = await this.check(set, semantics);
    await loaded.stop();
    const at = Date.now();
    const origin = 'files' in content ? 'files' : 'version';
    // What a canary decides is replayed on its version; a shadow's is kept for the day on which it is promoted.
    if (origin === 'files') await archive.keep(set, at, undefined, settings.mode === 'canary' ? 'alone' : 'base');
    const id = randomBytes(12).toString('hex');
    const { mode, sample, subjects, gates } = settings;
    const outcome = await store.put(
      {
        ...{ policySet: name, id, version, semantics, origin, base, mode, sample, subjects, gates },
        ...{ setBy: by, setAt: at, state: 'running', since: at },
      },
      set,
    );
    if (outcome === 'promoting') throw beingPromoted(name);
    await this.followAndLoad();
    return outcome === 'replaced';
  }

  /** The files, with the tests of today where an earlier version has none of its own. */
  private async contentOf(
    name: string,
    content: TriedContent,
  ): Promise<{ readonly set: PolicySetFiles; readonly semantics: Semantics }> {
    const { archive, policySets, refuseUnsigned, source } = this.options;
    policySets.resolve(name);
    if ('files' in content) {
      if (source.trustsArchive) refuseUnsigned(name);
      else refuseUnsignedSource(name);
      refuseFaultyFiles(content.files);
      return { set: content.files, semantics: currentSemantics };
    }
    const { version } = content;
    const archived = await archive.version(name, version);
    const found = source.trustsArchive
      ? await archive.files(name, version)
      : await source.kept?.(name, archived?.filesVersion ?? version);
    if (archived === undefined || found === undefined) throw versionNotFound(name, version);
    const { semantics } = archived;
    if (!isSemantics(semantics)) {
      throw new VerdictError('policy_version_invalid', `The version is meant under semantics ${semantics}.`);
    }
    const files = [...found.files.filter(({ path }) => fileRole(path) !== 'test'), ...policySets.testFilesOf(name)];
    files.sort((a, b) => (a.path < b.path ? -1 : 1));
    return { set: Object.freeze({ name, files: Object.freeze(files) }), semantics };
  }

  private async check(set: PolicySetFiles, semantics: Semantics): Promise<LoadedPolicySet> {
    const { hash } = this.options;
    try {
      return await loadPolicySet(set, { semantics, hash, data: this.dataOf(set.name) });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      throw invalidSet(error.problems.filter(({ severity }) => severity === 'error'));
    }
  }

  private dataOf(name: string) {
    return () => this.options.live.snapshot({ name });
  }

  /**
   * The candidate of a set, with what all replicas have counted; what this one has counted is written before.
   *
   * @throws VerdictError `policy_set_not_found`, `candidate_not_found`
   */
  async find(name: string): Promise<CountedCandidate> {
    const { policySets, store } = this.options;
    policySets.status(name);
    await this.exclusively(() => this.writeCounts());
    const candidate = (await store.all()).find(({ policySet }) => policySet === name);
    if (candidate === undefined) throw candidateNotFound(name);
    return { candidate, counts: countsOf(await store.count(candidate, new Map())) };
  }

  /** The decisions that are kept since they differ, of each kind the newest first. */
  async differences(candidate: PolicyCandidate, kind?: DifferenceKind): Promise<readonly CandidateDifference[]> {
    if (this.options.storesDifferences) return this.options.store.differences(candidate, kind);
    const kept = this.memory.get(candidate.id) ?? [];
    return kept.filter((difference) => kind === undefined || difference.kind === kind).toReversed();
  }

  /**
   * Ends the candidate of a set. What serves stays.
   *
   * @throws VerdictError `policy_set_not_found`, `candidate_not_found`, `conflict` while it is being promoted
   */
  async drop(name: string): Promise<PolicyCandidate> {
    const { candidate } = await this.find(name);
    const at = Date.now();
    if (isTaken(candidate, at)) throw beingPromoted(name);
    if (!(await this.options.store.remove(candidate, at))) {
      const now = (await this.options.store.all()).find(({ policySet }) => policySet === name);
      throw now?.id === candidate.id ? beingPromoted(name) : candidateNotFound(name);
    }
    await this.follow();
    return candidate;
  }

  /**
   * Has the candidate serve on every replica: written in place of the set's files where the database is their source, or else
   * pinned over them as by a rollback. With that it has ended. It is taken first, so that nobody ends, replaces or promotes it
   * meanwhile, and it goes over no other version than the one that it is a candidate for.
   *
   * @param by who wants it
   * @throws VerdictError `policy_set_not_found`, `candidate_not_found`, `candidate_not_running`, `policy_set_unavailable`,
   *   `precondition_failed` where somebody has changed the set a moment ago, and as `PolicyWriting.put` and `PolicyStore.rollback`
   */
  async promote(name: string, by: string): Promise<PolicyCandidate> {
    const { policySets, store } = this.options;
    const { candidate } = await this.find(name);
    const { base, detail, state } = candidate;
    if (isTaken(candidate, Date.now())) throw notRunning(name, 'it is being promoted');
    if (!isRun(candidate)) throw notRunning(name, `it was ${state}: ${detail}`);
    if (!(await store.take(candidate, Date.now()))) throw notRunning(name, 'somebody else has changed it a moment ago');
    try {
      // What serves by now: it may have become another version before the candidate was taken.
      const { compiled, revision } = policySets.resolve(name);
      if (compiled.versionOfFiles !== base) throw notRunning(name, `${base} does not serve any more`);
      await this.putInForce(candidate, revision, by);
    } catch (error) {
      await store.release(candidate, Date.now()).catch((failure: unknown) => this.noteFailure(failure));
      throw error;
    }
    await store.finish(candidate);
    await this.follow();
    return candidate;
  }

  /** @param revision of what serves */
  private async putInForce(candidate: PolicyCandidate, revision: number | undefined, by: string): Promise<void> {
    const { archive, policySets, source, store, writing } = this.options;
    const { policySet: name, version, origin, base } = candidate;
    if (origin === 'files') {
      const set = await store.files(candidate);
      if (set === undefined) throw candidateNotFound(name);
      if (writing !== undefined) {
        await writing.put(set, { expected: revision ?? 'any', by });
        return;
      }
      await archive.keep(set, Date.now(), undefined, 'alone');
      await source.adopt?.(set);
    }
    await policySets.rollback(name, version, by, {
      revision,
      require: () => {
        if (policySets.served(name)?.compiled.versionOfFiles !== base) {
          throw notRunning(name, `${base} does not serve any more`);
        }
      },
    });
  }

  /** Counts what happened with a candidate. Returns at once; what is counted is written a moment later. */
  add({ candidate: { policySet, id } }: Trial, count: CandidateCount): void {
    let own = this.ownCounts.get(policySet);
    if (own === undefined) {
      own = new Map(candidateCounts.map((each) => [each, 0]));
      this.ownCounts.set(policySet, own);
    }
    own.set(count, own.get(count)! + 1);
    const running = this.running.get(policySet);
    if (running?.candidate.id === id) running.tally.add(count);
  }

  /** Keeps a decision that differs, if as many are not kept yet. */
  keep({ candidate: { policySet, id } }: Trial, difference: CandidateDifference): void {
    const running = this.running.get(policySet);
    if (running?.candidate.id === id) running.tally.keep(difference);
  }

  /** Learns which candidates there are, and ends those that do not run any more; those that are to run are loaded by `loadMissing`. */
  private follow(): Promise<void> {
    return this.exclusively(async () => {
      if (this.isStopped) return;
      this.isBehind = true;
      const askedAt = performance.now();
      const all = await this.options.store.all();
      this.all = all;
      this.readAt = askedAt;
      for (const [name, { candidate, loaded }] of this.running) {
        if (this.isToRun(candidate)) continue;
        this.running.delete(name);
        loaded.retire();
        void this.noteServed(candidate, loaded).catch((error: unknown) => this.noteFailure(error));
      }
      this.publish();
      const ids = new Set(all.map(({ id }) => id));
      for (const id of this.memory.keys()) if (!ids.has(id)) this.memory.delete(id);
      for (const id of this.orphans) if (!ids.has(id)) this.orphans.delete(id);
      this.isBehind = false;
    });
  }

  private async followAndLoad(): Promise<void> {
    await this.follow();
    await this.loadMissing();
  }

  private isToRun({ id }: PolicyCandidate): boolean {
    return this.all.some((candidate) => candidate.id === id && isRun(candidate));
  }

  /** @throws DatabaseError while the database is away: then it is to be called again */
  private loadMissing(): Promise<void> {
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
          else if (!this.isStopped) await this.holdUnloadable(candidate, error);
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
    this.running.set(name, { candidate, loaded, trial, tally: new CandidateTally(), sawBase });
    this.publish();
    this.options.log.info({ policySet: name, version, mode }, 'the candidate of a policy set runs');
    // Its data may have changed while it was loaded.
    if (loaded.data !== undefined) void this.followData().catch((error: unknown) => this.noteFailure(error));
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
  private async followData(): Promise<void> {
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
      if (!this.isStopped) await this.holdUnloadable(candidate, error);
    }
  }

  private async holdUnloadable(candidate: PolicyCandidate, error: unknown): Promise<void> {
    const { policySet, version } = candidate;
    this.options.log.error({ err: error, policySet, version }, 'the candidate of a policy set cannot be loaded');
    await this.settle(candidate, 'not_loadable', 'a replica cannot load it; the log of that replica says why');
  }

  /** Makes visible what runs, in one assignment. */
  private publish(): void {
    const trials = new Map<string, Trial>();
    for (const [name, { trial }] of this.running) {
      if (!this.isSuspended || trial.candidate.mode === 'shadow') trials.set(name, trial);
    }
    this.trials = trials.size === 0 ? undefined : trials;
  }

  /** Does not throw. */
  private async tick(): Promise<void> {
    if (this.isTicking || this.isStopped) return;
    this.isTicking = true;
    try {
      const ageMs = Math.min(this.watch?.ageMs ?? 0, performance.now() - this.readAt);
      this.suspend(ageMs > suspendedAfterMs);
      if (this.isBehind) {
        await this.follow();
        void this.loadMissing().catch((error: unknown) => this.noteFailure(error));
      }
      if (this.all.length === 0) return;
      await this.exclusively(async () => {
        for (const candidate of this.all) await this.lookAtActive(candidate);
        await this.writeCounts();
      });
    } catch (error) {
      this.noteFailure(error);
    } finally {
      this.isTicking = false;
    }
  }

  private suspend(isSuspended: boolean): void {
    if (isSuspended === this.isSuspended) return;
    this.isSuspended = isSuspended;
    this.publish();
    if (!this.running.size) return;
    if (isSuspended) this.options.log.warn({}, 'the database is away: canaries answer nobody until it is back');
    else this.options.log.info({}, 'the database is back: canaries answer again');
  }

  /** Ends a candidate that serves or whose set is gone, and holds one for the place of another version than serves. */
  private async lookAtActive(candidate: PolicyCandidate): Promise<void> {
    const { policySet: name, id, version, base } = candidate;
    if (isTaken(candidate, Date.now())) return;
    if (this.gone.has(name) || this.orphans.has(candidate.id)) return this.end(candidate, 'the policy set was removed');
    const active = this.options.policySets.served(name)?.compiled.versionOfFiles;
    if (active === undefined) return;
    if (active === version) return this.end(candidate, 'its version serves');
    const running = this.running.get(name);
    if (running === undefined || !isRun(candidate) || running.candidate.id !== id) return;
    if (active === base) {
      running.sawBase = true;
      running.otherSince = undefined;
      return;
    }
    running.otherSince ??= performance.now();
    if (!running.sawBase && performance.now() - running.otherSince < strangeMs) return;
    await this.settle(candidate, 'active_version_changed', `${active} serves, and it is a candidate for ${base}`);
  }

  private async end(candidate: PolicyCandidate, detail: string): Promise<void> {
    const { policySet, version, base } = candidate;
    if (!(await this.options.store.remove(candidate, Date.now()))) return;
    await this.note('policy_candidate_ended', { policySet, fromVersion: version, toVersion: base, detail });
    void this.follow().catch((error: unknown) => this.noteFailure(error));
  }

  private async settle(candidate: PolicyCandidate, reason: CandidateReason, detail: string): Promise<void> {
    const { policySet, version, base, mode } = candidate;
    const state = mode === 'canary' ? 'withdrawn' : 'held';
    if (!(await this.options.store.settle(candidate, state, { reason, detail }, Date.now()))) return;
    // Not later than the others.
    if (this.running.get(policySet)?.candidate.id === candidate.id) {
      const { loaded } = this.running.get(policySet)!;
      loaded.retire();
      this.running.delete(policySet);
      this.publish();
      void this.noteServed(candidate, loaded).catch((error: unknown) => this.noteFailure(error));
    }
    this.options.log.warn({ policySet, version, reason, detail }, `the candidate of a policy set was ${state}`);
    const type = state === 'held' ? 'policy_candidate_held' : 'policy_candidate_withdrawn';
    await this.note(type, { policySet, fromVersion: version, toVersion: base, detail: `${reason}: ${detail}` });
    void this.follow().catch((error: unknown) => this.noteFailure(error));
  }

  private note(
    type: AuditEventType,
    about: { readonly policySet: string; fromVersion: string; toVersion: string; detail: string },
  ): Promise<void> {
    return this.options.audit.record({ type, actor: 'verdict', ...about });
  }

  /** Adds what this replica has counted to what all have, and looks at the gates. */
  private async writeCounts(): Promise<void> {
    for (const { candidate, tally } of [...this.running.values()]) {
      if (tally.isEmpty) continue;
      const { counts, differences } = tally.take();
      const left = [...differences];
      let all: ReadonlyMap<string, number>;
      try {
        for (const difference of differences) {
          if (this.options.storesDifferences) await this.options.store.keep(candidate, difference);
          else this.remember(candidate, difference);
          left.shift();
        }
        all = await this.options.store.count(candidate, counts);
      } catch (error) {
        tally.putBack(counts, left);
        throw error;
      }
      const passed = passedGate(countsOf(all), candidate.gates);
      if (passed !== undefined) await this.settle(candidate, passed.reason, passed.detail);
    }
  }

  private remember({ id }: PolicyCandidate, difference: CandidateDifference): void {
    this.memory.set(id, [...(this.memory.get(id) ?? []), difference]);
  }

  private noteFailure(error: unknown): void {
    // That the database is away is said elsewhere.
    if (!isAway(error)) this.options.log.error({ err: error }, 'the candidates of policy sets cannot be followed');
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

  private exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.work.then(work);
    this.work = result.catch(() => undefined);
    return result;
  }
}

function candidateNotFound(name: string): VerdictError {
  return new VerdictError('candidate_not_found', `The policy set "${name}" has no candidate.`);
}

function beingPromoted(name: string): VerdictError {
  return new VerdictError('conflict', `The candidate of "${name}" is being promoted; ask again when that is done.`);
}

function notRunning(name: string, why: string): VerdictError {
  return new VerdictError('candidate_not_running', `The candidate of "${name}" cannot be promoted: ${why}.`);
}

/** @throws VerdictError `bundle_refused` */
function refuseUnsignedSource(name: string): never {
  const detail = `files of ${name} that are sent are not signed, and VERDICT_BUNDLE_KEYS says whose signatures count`;
  throw new VerdictError('bundle_refused', `The candidate is not taken: ${detail}.`, {
    errors: [{ pointer: '/files', detail }],
  });
}
