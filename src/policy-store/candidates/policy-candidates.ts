import { randomBytes } from 'node:crypto';
import type { AuditEventType } from '../../audit/audit-event.js';
import type { AuditLog } from '../../audit/audit-log.js';
import { isAway } from '../../database/database-error.js';
import type { ValueHash } from '../../decision-log/value-hash.js';
import { VerdictError } from '../../errors.js';
import { OneAtATime } from '../../turns/one-at-a-time.js';
import type { PolicyArchive, ServedVersion } from '../archive/policy-archive.js';
import type { LiveSets } from '../data/live-sets.js';
import type { RepositoryWatch } from '../database/policy-repository.js';
import type { PolicyWriting } from '../database/policy-writing.js';
import { versionOf } from '../policy-set-files.js';
import type { PolicySource } from '../policy-source.js';
import type { PolicyStore } from '../policy-store.js';
import type { LoadEvent, PolicyStoreLog } from '../policy-store-options.js';
import {
  type CandidateCount,
  type CandidateCounts,
  type CandidateDifference,
  type CandidateReason,
  type CandidateSettings,
  type DifferenceKind,
  isRun,
  isTaken,
  type PolicyCandidate,
} from './candidate.js';
import { CandidateCounting } from './candidate-counting.js';
import { beingPromoted, candidateNotFound } from './candidate-errors.js';
import { CandidatePromotion } from './candidate-promotion.js';
import type { CandidateStore } from './candidate-store.js';
import { RunningCandidates } from './running-candidates.js';
import type { Trial, Trials } from './trial.js';
import { type TriedContent, TriedContents } from './tried-contents.js';

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

export interface SetNote {
  readonly by: string;
}

/** A candidate with what was counted of it on all replicas. */
export interface CountedCandidate {
  readonly candidate: PolicyCandidate;
  readonly counts: CandidateCounts;
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
  private readonly counting: CandidateCounting;
  private readonly running: RunningCandidates;
  private readonly contents: TriedContents;
  private readonly promotion: CandidatePromotion;
  private readonly checks = new OneAtATime(checkLimits);
  /** The sets that were removed, and the candidates that they had then: a set of the same name may be written at once. */
  private readonly gone = new Set<string>();
  private readonly orphans = new Set<string>();
  /** Reads and writes of what candidates there are, one after another. None waits for a candidate that is being loaded. */
  private work: Promise<unknown> = Promise.resolve();
  private watch: RepositoryWatch | undefined;
  private dataWatch: RepositoryWatch | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isTicking = false;
  private isStopped = false;

  constructor(private readonly options: PolicyCandidatesOptions) {
    const { store, storesDifferences } = options;
    this.counting = new CandidateCounting(store, storesDifferences);
    this.contents = new TriedContents(options);
    this.promotion = new CandidatePromotion(options);
    this.running = new RunningCandidates({
      ...options,
      beginCounting: () => this.counting.begin(),
      onUnloadable: (candidate, error) => this.holdUnloadable(candidate, error),
      onFailure: (error) => this.noteFailure(error),
    });
  }

  /**
   * The policy sets have been loaded by now. Resolves when it is known which candidates there are, also where the database is away.
   * They begin to run when they are loaded: until then the active versions answer alone, and nobody waits for it.
   */
  async start(): Promise<void> {
    const { store, live } = this.options;
    await this.follow().catch((error: unknown) => this.noteFailure(error));
    this.loadBehind();
    this.watch = store.watch(async () => {
      await this.follow();
      this.loadBehind();
    });
    this.dataWatch = live.store.watch(() => this.running.followData());
    this.timer = setInterval(() => void this.tick(), tickMs).unref();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    this.watch?.end();
    this.dataWatch?.end();
    await this.exclusively(() => this.writeCounts()).catch(() => undefined);
    await this.running.stop();
  }

  /** Those that run here; undefined while there are none, so that a decision looks at one field. */
  get trials(): Trials | undefined {
    return this.running.trials;
  }

  /** What this process has counted since it started, by set; for metrics. */
  get ownCounts(): ReadonlyMap<string, ReadonlyMap<CandidateCount, number>> {
    return this.counting.ownCounts;
  }

  /** Every candidate that this replica knows. */
  get known(): readonly PolicyCandidate[] {
    return this.running.all;
  }

  /** The versions that candidates have, which the archive must keep. */
  servedVersions(): readonly ServedVersion[] {
    return this.running.servedVersions();
  }

  /** Hears what became of a set at its source. */
  noteLoad({ policySet, result }: LoadEvent): void {
    if (result !== 'removed') this.gone.delete(policySet);
    else {
      this.gone.add(policySet);
      for (const candidate of this.known) if (candidate.policySet === policySet) this.orphans.add(candidate.id);
      this.counting.ownCounts.delete(policySet);
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
    const { set, semantics } = await this.contents.read(name, content);
    const version = versionOf(set.files);
    const base = policySets.resolve(name).compiled.versionOfFiles;
    if (version === base) {
      const detail = `The policy set "${name}" serves the version ${version}: that cannot be a candidate for its place.`;
      throw new VerdictError('conflict', detail);
    }
    await this.contents.check(set, semantics);
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
    return { candidate, counts: await this.counting.all(candidate) };
  }

  /** The decisions that are kept since they differ, of each kind the newest first. */
  differences(candidate: PolicyCandidate, kind?: DifferenceKind): Promise<readonly CandidateDifference[]> {
    return this.counting.differences(candidate, kind);
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
   * Has the candidate of a set serve on every replica. With that it has ended.
   *
   * @param by who wants it
   * @throws VerdictError `policy_set_not_found`, `candidate_not_found`, and as `CandidatePromotion.promote`
   */
  async promote(name: string, by: string): Promise<PolicyCandidate> {
    const { candidate } = await this.find(name);
    await this.promotion.promote(candidate, by, (error) => this.noteFailure(error));
    await this.follow();
    return candidate;
  }

  /** Counts what happened with a candidate. Returns at once; what is counted is written a moment later. */
  add({ candidate: { policySet, id } }: Trial, count: CandidateCount): void {
    const running = this.running.get(policySet);
    this.counting.add(policySet, count, running?.candidate.id === id ? running.counted : undefined);
  }

  /** Keeps a decision that differs, if as many are not kept yet. */
  keep({ candidate: { policySet, id } }: Trial, difference: CandidateDifference): void {
    const running = this.running.get(policySet);
    if (running?.candidate.id === id) running.counted.tally.keep(difference);
  }

  private follow(): Promise<void> {
    return this.exclusively(async () => {
      await this.running.follow();
      const ids = new Set(this.known.map(({ id }) => id));
      this.counting.forgetOthers(ids);
      for (const id of this.orphans) if (!ids.has(id)) this.orphans.delete(id);
    });
  }

  private async followAndLoad(): Promise<void> {
    await this.follow();
    await this.running.loadMissing();
  }

  private loadBehind(): void {
    void this.running.loadMissing().catch((error: unknown) => this.noteFailure(error));
  }

  private async holdUnloadable(candidate: PolicyCandidate, error: unknown): Promise<void> {
    const { policySet, version } = candidate;
    this.options.log.error({ err: error, policySet, version }, 'the candidate of a policy set cannot be loaded');
    await this.settle(candidate, 'not_loadable', 'a replica cannot load it; the log of that replica says why');
  }

  /** Does not throw. */
  private async tick(): Promise<void> {
    if (this.isTicking || this.isStopped) return;
    this.isTicking = true;
    try {
      const ageMs = Math.min(this.watch?.ageMs ?? 0, performance.now() - this.running.readAt);
      this.running.suspend(ageMs > suspendedAfterMs);
      if (this.running.isBehind) {
        await this.follow();
        this.loadBehind();
      }
      if (this.known.length === 0) return;
      await this.exclusively(async () => {
        for (const candidate of this.known) await this.lookAtActive(candidate);
        await this.writeCounts();
      });
    } catch (error) {
      this.noteFailure(error);
    } finally {
      this.isTicking = false;
    }
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
    // Not later than the others.
    this.running.leave(candidate);
    await this.note('policy_candidate_ended', { policySet, fromVersion: version, toVersion: base, detail });
    void this.follow().catch((error: unknown) => this.noteFailure(error));
  }

  private async settle(candidate: PolicyCandidate, reason: CandidateReason, detail: string): Promise<void> {
    const { policySet, version, base, mode } = candidate;
    const state = mode === 'canary' ? 'withdrawn' : 'held';
    if (!(await this.options.store.settle(candidate, state, { reason, detail }, Date.now()))) return;
    // Not later than the others.
    this.running.leave(candidate);
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

  /** Adds what this replica has counted to what all have, and ends those that have passed a gate. */
  private async writeCounts(): Promise<void> {
    for (const { candidate, counted } of this.running.values()) {
      const passed = await this.counting.write(candidate, counted);
      if (passed !== undefined) await this.settle(candidate, passed.reason, passed.detail);
    }
  }

  private noteFailure(error: unknown): void {
    // That the database is away is said elsewhere.
    if (!isAway(error)) this.options.log.error({ err: error }, 'the candidates of policy sets cannot be followed');
  }

  private exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.work.then(work);
    this.work = result.catch(() => undefined);
    return result;
  }
}
