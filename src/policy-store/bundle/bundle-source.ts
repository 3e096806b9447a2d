import { assert } from '../../core/assert.js';
import { formatProblem, type PolicyProblem } from '../../core/problem.js';
import { currentSemantics } from '../../core/semantics.js';
import { isAway } from '../../database/database-error.js';
import { policySetNotFound, VerdictError } from '../../errors.js';
import { atOnce } from '../../turns/at-once.js';
import { Confirmation } from '../confirmation.js';
import { type PolicySetFiles, versionOf } from '../policy-set-files.js';
import { type ExpectedServing, PolicySource, type SourceSink } from '../policy-source.js';
import { defaultSourceLimits, type SourceLimits } from '../source-limits.js';
import { digestOfArchive, type OpenedBundle, packBundle } from './bundle.js';
import { BundleError } from './bundle-error.js';
import { type BundleIndex, type IndexedBundle, indexExpiry } from './bundle-index.js';
import type { BundleKeys } from './bundle-keys.js';
import { type BundlePins, holds, type SharedPin } from './bundle-pins.js';
import type { BundleShelf, ShelvedBundle } from './bundle-shelf.js';
import type { BundleTransport } from './bundle-transport.js';
import { type FetchedIndex, fetchBundle, fetchIndex, openVerified } from './fetch-bundle.js';
import type { TrustedKeys } from './trusted-keys.js';

export interface BundleSourceOptions {
  readonly transport: BundleTransport;
  /** Whose signatures count; undefined: nothing has to be signed. */
  readonly keys: TrustedKeys | undefined;
  /** Where the bundles that were taken last are kept. */
  readonly shelf: BundleShelf;
  /** Longest time between two looks at the index, in milliseconds. */
  readonly pollMs: number;
  readonly limits?: SourceLimits;
  /** What all replicas were told to roll back to; undefined where this process is the only one. */
  readonly pins?: BundlePins | undefined;
  /** How long a start waits for the source before it serves what was taken last, in milliseconds (15,000). */
  readonly startPatienceMs?: number;
  /** Hears what could not be kept on the disk, and of defects. */
  readonly onProblem: (what: string, error: unknown) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** From 0 to 1. */
  readonly random?: () => number;
}

const defaultStartPatienceMs = 15_000;
/** Longest time between two looks while the source, or a bundle of it, cannot be used, in milliseconds. */
const maxBackOffMs = 60_000;
/** Bundles that are fetched at once. */
const concurrency = 8;
/** How much sooner than after its time a look may come, so that replicas do not all look at once. */
const jitter = 0.2;

/** What became of the bundle of a set that the index names. */
interface Told {
  readonly digest: string;
  /** Why it is not told as it is, for the log once. */
  readonly problem?: string;
  /** When it is tried again, by the monotonic clock. */
  readonly retryAt?: number;
  readonly failures: number;
}

/**
 * The policy sets of a folder of bundles. The index alone is polled; a bundle is fetched when the index names a new one. What
 * cannot be verified changes nothing, and what was verified last is kept on disk.
 */
export class BundleSource extends PolicySource {
  readonly title = 'policy bundles';
  private readonly now: () => number;
  private sink: SourceSink | undefined;
  private etag: string | undefined;
  private index: BundleIndex | undefined;
  /** The keys by which all was verified. */
  private keysSeen = '';
  private readonly told = new Map<string, Told>();
  /** Sets of which this process has offered what served before it. */
  private readonly revived = new Set<string>();
  /** What is pinned on all replicas, by set; undefined where that is not known. */
  private pins: ReadonlyMap<string, SharedPin> | undefined;
  private problemTold: string | undefined;
  private readonly confirmation = new Confirmation();
  /** How often in a row the source could not be used. */
  private failures = 0;
  private looking: Promise<unknown> = Promise.resolve();
  private choosing: Promise<unknown> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;
  /** Whether a look waits for its turn. */
  private isLookDue = false;
  private readonly stopping = new AbortController();
  /** Ends what is fetched at a start that takes too long. */
  private patience: AbortSignal | undefined;

  constructor(private readonly options: BundleSourceOptions) {
    super();
    this.now = options.now ?? Date.now;
  }

  /** With keys, the archive holds what anybody could have written into a database. */
  override get trustsArchive(): boolean {
    return this.options.keys === undefined;
  }

  get place(): object {
    return { bundles: this.options.transport.place };
  }

  override get hasOwnNumbers(): boolean {
    return true;
  }

  get confirmedAt(): number | undefined {
    return this.confirmation.at;
  }

  override get expiresAt(): number | undefined {
    return this.index === undefined ? undefined : indexExpiry(this.index);
  }

  async start(sink: SourceSink): Promise<void> {
    this.sink = sink;
    await this.options.shelf.open().catch((error: unknown) => {
      this.options.onProblem('what was taken of bundles is not known any more; they are taken anew', error);
    });
    await this.inTurn(() => this.readPins()).catch((error: unknown) => {
      // What this replica was told before holds meanwhile.
      if (!isAway(error)) this.options.onProblem('what was rolled back to cannot be read', error);
    });
    this.patience = AbortSignal.timeout(this.options.startPatienceMs ?? defaultStartPatienceMs);
    await this.look(() => false);
    this.patience = undefined;
  }

  async reload(name?: string): Promise<void> {
    await this.look((candidate) => name === undefined || candidate === name);
  }

  /** Asks for the index alone. What is new in it is fetched afterwards. */
  async latestRevision(name: string): Promise<number | undefined> {
    const keys = await this.options.keys?.current();
    const found = await this.fetchIndex(keys);
    const index = this.requireUnexpired(found);
    if (found !== 'unchanged' && !this.isLookDue) {
      this.isLookDue = true;
      void this.look(() => false);
    }
    const named = [...index.sets, ...index.removed].find(({ set }) => set === name)?.revision ?? 0;
    // After a rollback, the highest is one that the index does not name any more.
    const taken = this.options.shelf.bundlesOf(name).map(({ bundle }) => bundle.revision);
    const highest = Math.max(named, ...taken);
    return highest === 0 ? undefined : highest;
  }

  /**
   * Serves a bundle that was taken earlier until another one than the index names now can be served; on every replica that
   * shares the database.
   *
   * @throws VerdictError `policy_set_not_found`, `policy_version_invalid`, `database_unavailable`
   */
  override async rollback(name: string, version: string, by: string, expected?: ExpectedServing): Promise<void> {
    const keys = await this.options.keys?.current().catch((error: unknown) => {
      throw error instanceof BundleError ? new VerdictError('policy_version_invalid', `${error.message}.`) : error;
    });
    // It does not wait for a look, which may wait for a server.
    await this.inTurn(() => {
      expected?.require();
      return this.rollbackNow(name, version, by, keys);
    });
    await this.save();
  }

  private async rollbackNow(name: string, version: string, by: string, keys: BundleKeys | undefined): Promise<void> {
    const { shelf } = this.options;
    const named = this.namedOf(name);
    if (named === undefined) throw policySetNotFound(name);
    const kept = shelf.bundlesOf(name).find(({ bundle }) => bundle.version === version);
    const opened = kept === undefined ? undefined : await this.openKept(kept.bundle, keys);
    if (kept === undefined || opened === undefined || opened.problems.length > 0) throw notKept(name, version);
    const before = shelf.pinOf(name);
    const isPin = kept.bundle.version !== named.version;
    shelf.notePin(name, isPin ? { digest: kept.bundle.digest, over: named.digest } : undefined);
    let failure: unknown;
    try {
      if (await this.offerKept(named, keys)) return await this.sharePin(isPin ? kept : undefined, named, by, keys);
      const detail = `"${version}" of "${name}" could not be put into service; the log of the service says why. It serves what it served.`;
      failure = new VerdictError('database_unavailable', detail);
    } catch (error) {
      // What no other replica will follow, this one must not serve either.
      failure = error;
    }
    shelf.notePin(name, before);
    // The store tries an offer again that it could not archive, until it gets another one.
    if (!(await this.offerKept(named, keys))) void this.look((candidate) => candidate === name);
    throw failure;
  }

  /** Tells all replicas what is pinned over a bundle. */
  private async sharePin(
    pinned: ShelvedBundle | undefined,
    named: IndexedBundle,
    by: string,
    keys: BundleKeys | undefined,
  ): Promise<void> {
    const { pins, shelf } = this.options;
    if (pins === undefined) return;
    if (pinned === undefined) {
      await pins.unpin(named.set);
      this.pins = without(this.pins, named.set);
      return;
    }
    const { bundle, semantics } = pinned;
    const content = await shelf.read(bundle, keys !== undefined);
    assert(content !== undefined, 'a bundle that was verified a moment ago is on the disk');
    const pin: SharedPin = { bundle, semantics, over: named.digest, number: this.indexNumber };
    await pins.pin(pin, content, { by, at: this.now() });
    this.pins = new Map(this.pins).set(bundle.set, pin);
  }

  override async kept(name: string, version: string): Promise<PolicySetFiles | undefined> {
    const keys = await this.options.keys?.current();
    const kept = this.options.shelf.bundlesOf(name).find(({ bundle }) => bundle.version === version);
    const opened = kept === undefined ? undefined : await this.openKept(kept.bundle, keys);
    return opened?.problems.length === 0 ? opened.set : undefined;
  }

  /** Makes a bundle of the files, which is not signed: with keys it would be refused. */
  override adopt(set: PolicySetFiles): Promise<void> {
    return this.inTurn(async () => {
      const { shelf } = this.options;
      const named = this.namedOf(set.name);
      if (named === undefined) throw policySetNotFound(set.name);
      const { revision } = named;
      const archive = packBundle(set, { revision });
      const [version, digest] = [versionOf(set.files), await digestOfArchive(archive)];
      const address = `${set.name}-${digest.slice('sha256:'.length)}.tar`;
      const bundle = { set: set.name, revision, version, digest, size: archive.length, address, rollback: false };
      await shelf.keep(bundle, { archive, signature: undefined });
      shelf.noteEarlier(bundle, currentSemantics);
    });
  }

  /** Serves what was rolled back to on another replica, or ends what was ended there. */
  override async followRollbacks(): Promise<void> {
    const { sink } = this;
    if (sink === undefined || this.isStopped) return;
    await this.inTurn(() => this.readPins());
    const names = this.index?.sets.map(({ set }) => set) ?? this.options.shelf.names;
    const due = names.flatMap((name) => {
      const named = this.namedOf(name);
      return named !== undefined && this.wantsPin(named) !== undefined ? [named] : [];
    });
    if (due.length === 0) return;
    const keys = await this.options.keys?.current();
    for (const named of due) if (!this.isStopped) await this.tell(sink, named, keys);
    await this.save();
  }

  /** @throws DatabaseError */
  private async readPins(): Promise<void> {
    const { pins } = this.options;
    if (pins !== undefined) this.pins = new Map((await pins.all()).map((pin) => [pin.bundle.set, pin]));
  }

  /** What the index names of a set, or named last. */
  private namedOf(name: string): IndexedBundle | undefined {
    if (this.index !== undefined) return this.index.sets.find(({ set }) => set === name);
    return this.options.shelf.bundlesOf(name)[0]?.bundle;
  }

  private get indexNumber(): number {
    return this.index?.number ?? this.options.shelf.number;
  }

  /**
   * What all replicas are to serve in place of a bundle, where this one does not know it yet: the pin, or `none` where it
   * has one that was ended.
   */
  private wantsPin(named: IndexedBundle): SharedPin | 'none' | undefined {
    if (this.pins === undefined) return undefined;
    const pin = this.pins.get(named.set);
    const known = this.options.shelf.pinOf(named.set);
    const isPinned = known?.over === named.digest;
    if (pin === undefined || !holds(pin, named, this.indexNumber)) return isPinned ? 'none' : undefined;
    return isPinned && known.digest === pin.bundle.digest ? undefined : pin;
  }

  /**
   * Has this replica know what all are to serve in place of a bundle, from the disk or the database; verified, in any case.
   *
   * @throws BundleError
   */
  private async learnPin(named: IndexedBundle, keys: BundleKeys | undefined): Promise<void> {
    const { shelf, pins, limits = defaultSourceLimits } = this.options;
    const pin = this.wantsPin(named);
    if (pin === undefined) return;
    if (pin === 'none') {
      shelf.notePin(named.set, undefined);
      return;
    }
    const { bundle, semantics } = pin;
    if ((await this.openKept(bundle, keys)) === undefined) {
      const content = await pins?.content(pin).catch((error: unknown) => {
        if (!isAway(error)) throw error;
        throw new BundleError(
          'bundle_unreachable',
          `the pinned bundle of ${named.set} cannot be read from the database`,
        );
      });
      if (content === undefined) {
        throw new BundleError('bundle_missing', `the pinned bundle of ${named.set} is not in the database`);
      }
      await openVerified(content, bundle, keys, limits);
      await shelf.keep(bundle, content);
    }
    shelf.noteEarlier(bundle, semantics);
    shelf.notePin(named.set, { digest: bundle.digest, over: named.digest });
  }

  /** Notes the pins that have ended, since something else serves of an index that came after them. */
  private async endPins(index: BundleIndex): Promise<void> {
    const { pins, shelf } = this.options;
    for (const pin of pins === undefined ? [] : (this.pins?.values() ?? [])) {
      const { set } = pin.bundle;
      if (pin.ended !== undefined || index.number <= pin.number) continue;
      const named = this.namedOf(set);
      const isServed = named === undefined || shelf.servedOf(set)?.bundle.digest === named.digest;
      if (named?.digest === pin.over || !isServed) continue;
      await pins?.end(pin, index.number);
      this.pins = new Map(this.pins).set(set, { ...pin, ended: index.number });
    }
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    clearTimeout(this.timer);
    await this.looking;
  }

  private get signal(): AbortSignal {
    const { signal } = this.stopping;
    return this.patience === undefined ? signal : AbortSignal.any([signal, this.patience]);
  }

  private get isStopped(): boolean {
    return this.stopping.signal.aborted;
  }

  /** One choice of what serves after the other: a rollback must not meet a new bundle halfway. */
  private inTurn<T>(choose: () => Promise<T>): Promise<T> {
    const chosen = this.choosing.then(choose);
    this.choosing = chosen.catch(() => undefined);
    return chosen;
  }

  /** One look after the other. */
  private look(forced: (name: string) => boolean): Promise<void> {
    const looked = this.looking.then(async () => {
      if (this.isStopped) return;
      clearTimeout(this.timer);
      this.isLookDue = false;
      const { sink } = this;
      assert(sink !== undefined, 'a source is started before it looks');
      let retryAfterMs = 0;
      try {
        await this.lookNow(sink, forced);
        this.failures = 0;
      } catch (error) {
        if (this.isStopped) return;
        this.failures++;
        if (!(error instanceof BundleError)) this.options.onProblem('looking for bundles failed', error);
        const known = error instanceof BundleError ? error : new BundleError('bundle_unreachable', 'see the log');
        retryAfterMs = known.extra.retryAfterMs ?? 0;
        await this.tellProblem(sink, known.asProblem());
      }
      this.lookLater(retryAfterMs);
    });
    this.looking = looked.catch(() => undefined);
    return looked;
  }

  private async lookNow(sink: SourceSink, forced: (name: string) => boolean): Promise<void> {
    const asked = performance.now();
    const keys = await this.options.keys?.current();
    this.noteKeys(keys);
    try {
      await this.takeIndex(keys);
    } catch (error) {
      // What was taken earlier serves, if this process has just started.
      for (const name of this.options.shelf.names) await this.inTurn(() => this.revive(name, keys));
      throw error;
    }
    const index = this.index;
    assert(index !== undefined, 'an index that is taken is kept');
    await this.apply(sink, index, keys, forced);
    await this.tellProblem(sink, undefined);
    // Sets of which the newest could not be told were told to have failed; they have an age of their own.
    if (!this.isStopped) this.confirmation.note(asked);
  }

  /** What was verified by other keys counts no more. */
  private noteKeys(keys: BundleKeys | undefined): void {
    const fingerprint = keys?.fingerprint ?? '';
    if (fingerprint === this.keysSeen) return;
    this.keysSeen = fingerprint;
    this.etag = undefined;
    this.told.clear();
  }

  private async fetchIndex(keys: BundleKeys | undefined): Promise<FetchedIndex | 'unchanged'> {
    const { transport, shelf } = this.options;
    const found = await fetchIndex(transport, keys, { etag: this.etag, signal: this.signal });
    if (found === 'unchanged') return found;
    const { number } = found.index;
    if (number < shelf.number) {
      throw older(`the index has the number ${number}, and ${shelf.number} was seen already`);
    }
    if (number === shelf.number && !shelf.isNewest(found.text)) {
      throw older(`there is another index with the number ${number} than the one that was seen`);
    }
    return found;
  }

  private requireUnexpired(found: FetchedIndex | 'unchanged'): BundleIndex {
    const index = found === 'unchanged' ? this.index : found.index;
    assert(index !== undefined, 'an index is unchanged only when it is known');
    if (indexExpiry(index) > this.now()) return index;
    const hint = 'run `verdict bundle refresh`';
    throw new BundleError('bundle_index_expired', `the index expired at ${index.expires}`, { hint });
  }

  /** Takes the newest index, if it has not expired. */
  private async takeIndex(keys: BundleKeys | undefined): Promise<void> {
    const { shelf } = this.options;
    const found = await this.fetchIndex(keys);
    const index = this.requireUnexpired(found);
    if (found === 'unchanged') return;
    if (!shelf.isNewest(found.text)) {
      shelf.noteIndex(index.number, found.text);
      await this.save();
    }
    this.index = index;
    this.etag = found.etag;
  }

  private async apply(
    sink: SourceSink,
    index: BundleIndex,
    keys: BundleKeys | undefined,
    forced: (name: string) => boolean,
  ): Promise<void> {
    const { shelf } = this.options;
    const named = new Set(index.sets.map(({ set }) => set));
    for (const name of new Set([...sink.names(), ...shelf.names])) {
      if (named.has(name)) continue;
      this.told.delete(name);
      await this.tidying(shelf.forget(name));
      await sink.remove(name, 'the index of bundles does not name it');
    }
    const due = index.sets.filter((indexed) => forced(indexed.set) || this.isDue(indexed));
    await atOnce(due, concurrency, async (indexed) => {
      if (!this.isStopped) await this.tell(sink, indexed, keys);
    });
    await this.save();
    // That one is not noted yet is for the next look.
    await this.inTurn(() => this.endPins(index)).catch((error: unknown) => {
      if (!isAway(error)) this.options.onProblem('the end of a rollback could not be noted', error);
    });
  }

  private isDue({ set, digest }: IndexedBundle): boolean {
    const told = this.told.get(set);
    if (told?.digest !== digest) return true;
    return told.retryAt !== undefined && told.retryAt <= performance.now();
  }

  /** Tells the bundle that the index names, or why it is not to be used. */
  private async tell(sink: SourceSink, indexed: IndexedBundle, keys: BundleKeys | undefined): Promise<void> {
    const { set, digest } = indexed;
    const since = performance.now();
    try {
      this.requireRevision(indexed);
      const opened = await this.obtain(indexed, keys);
      await this.inTurn(() => this.take(sink, indexed, opened, keys, since));
    } catch (error) {
      if (this.isStopped) return;
      if (!(error instanceof BundleError)) throw error;
      await this.inTurn(() => this.revive(set, keys));
      const before = this.told.get(set);
      const failures = before?.digest === digest ? before.failures + 1 : 1;
      const retryAt = performance.now() + this.backOffMs(failures);
      const problem = error.asProblem();
      this.told.set(set, { digest, failures, retryAt, problem: formatProblem(problem) });
      if (before?.problem !== formatProblem(problem)) await sink.fail(set, [problem], since);
    }
  }

  /** Offers a bundle that the index names, or the one that is pinned over it; where it does not load, what served stays. */
  private async take(
    sink: SourceSink,
    indexed: IndexedBundle,
    opened: OpenedBundle,
    keys: BundleKeys | undefined,
    since: number,
  ): Promise<void> {
    const { set, digest } = indexed;
    const { shelf } = this.options;
    await this.learnPin(indexed, keys);
    const pin = shelf.pinOf(set);
    if (pin?.over === digest) {
      this.told.set(set, { digest, failures: 0 });
      if (await this.offerKept(indexed, keys)) {
        this.revived.add(set);
        await this.tidying(shelf.noteTaken(indexed, false));
        return;
      }
      this.options.onProblem(`the pinned bundle of ${set} cannot be served`, new Error(pin.digest));
    }
    const isServed = await this.offer(sink, opened, since);
    if (isServed) {
      this.revived.add(set);
      // A rollback ends with what serves in its place, not with a bundle that does not load.
      shelf.notePin(set, undefined);
    }
    this.told.set(set, { digest, failures: 0 });
    await this.tidying(shelf.noteTaken(indexed, isServed));
    if (isServed || !(await this.revive(set, keys, digest))) return;
    // What served is back, and what is wrong with the newest is to be seen.
    await this.offer(sink, opened, since);
  }

  private async offer(sink: SourceSink, { manifest, set, problems }: OpenedBundle, since: number): Promise<boolean> {
    if (problems.length === 0) {
      const { revision, gitCommit } = manifest;
      return sink.offer({ set, revision, since, gitCommit: async () => gitCommit });
    }
    await sink.fail(set.name, problems, since);
    return false;
  }

  /** A revision names one content, and falls only where that is meant. */
  private requireRevision({ set, revision, digest, rollback }: IndexedBundle): void {
    const served = this.options.shelf.servedOf(set)?.bundle;
    if (served === undefined || rollback || revision > served.revision || digest === served.digest) return;
    const message =
      revision === served.revision
        ? `the index names another bundle of ${set} with the revision ${revision} than the one that serves`
        : `the index names the revision ${revision} of ${set}, and ${served.revision} serves`;
    throw new BundleError('bundle_revision_lower', message, { hint: 'push a higher revision, or say --rollback' });
  }

  /** The bundle from the disk, if it is there and counts, or else from its source. */
  private async obtain(indexed: IndexedBundle, keys: BundleKeys | undefined): Promise<OpenedBundle> {
    const { transport, shelf, limits = defaultSourceLimits, onProblem } = this.options;
    const kept = await this.openKept(indexed, keys);
    if (kept !== undefined) return kept;
    const options = { limits, signal: this.signal };
    const fetched = await fetchBundle(transport, indexed, keys !== undefined, options);
    const opened = await openVerified(fetched, indexed, keys, limits);
    await shelf.keep(indexed, fetched).catch((error: unknown) => {
      onProblem(`the bundle of ${indexed.set} could not be kept, so a restart will need its source`, error);
    });
    return opened;
  }

  /** Undefined also where what is on the disk is damaged, or signed by a key that does not count any more. */
  private async openKept(indexed: IndexedBundle, keys: BundleKeys | undefined): Promise<OpenedBundle | undefined> {
    const { shelf, limits = defaultSourceLimits } = this.options;
    const kept = await shelf.read(indexed, keys !== undefined);
    if (kept === undefined) return undefined;
    try {
      return await openVerified(kept, indexed, keys, limits);
    } catch (error) {
      if (error instanceof BundleError) return undefined;
      throw error;
    }
  }

  /**
   * Offers what was taken last of a set before this process started, or else what served, under the defaults that it served
   * under, unless this process has served something of it already.
   *
   * @param except the digest of a bundle that was offered just now, under the defaults of today
   * @returns whether it serves
   */
  private async revive(set: string, keys: BundleKeys | undefined, except?: string): Promise<boolean> {
    const { shelf } = this.options;
    if (this.revived.has(set)) return false;
    this.revived.add(set);
    const shelved = shelf.bundlesOf(set);
    const last = shelved.slice(0, 1).map(({ bundle }) => ({ bundle, semantics: currentSemantics }));
    let tried = except === undefined ? [] : [`${except} ${currentSemantics}`];
    for (const { bundle, semantics } of [...last, ...shelved.filter(({ served }) => served)]) {
      const as = `${bundle.digest} ${semantics}`;
      if (tried.includes(as)) continue;
      tried = [...tried, as];
      if (await this.offerKept(bundle, keys, semantics)) return true;
    }
    return false;
  }

  /**
   * Offers the bundle from the disk, or the one that is pinned over it, which is read with the defaults that it served under.
   *
   * @param semantics the number of the defaults of the bundle itself
   * @returns whether it serves
   */
  private async offerKept(
    indexed: IndexedBundle,
    keys: BundleKeys | undefined,
    semantics = currentSemantics,
  ): Promise<boolean> {
    const { sink } = this;
    const since = performance.now();
    const pin = this.options.shelf.pinOf(indexed.set);
    const shelved = this.options.shelf.bundlesOf(indexed.set);
    const pinned =
      pin?.over === indexed.digest ? shelved.find(({ bundle }) => bundle.digest === pin.digest) : undefined;
    const bundle = pinned?.bundle ?? indexed;
    const opened = await this.openKept(bundle, keys);
    if (sink === undefined || opened === undefined || opened.problems.length > 0) return false;
    const { gitCommit } = opened.manifest;
    return sink.offer({
      set: opened.set,
      revision: indexed.revision,
      since,
      semantics: pinned?.semantics ?? semantics,
      gitCommit: async () => gitCommit,
      ...(pinned !== undefined && { pinnedOver: indexed.version }),
    });
  }

  private async tellProblem(sink: SourceSink, problem: PolicyProblem | undefined): Promise<void> {
    const text = problem === undefined ? undefined : formatProblem(problem);
    if (text === this.problemTold) return;
    this.problemTold = text;
    await sink.problem(problem);
  }

  /** What is noted holds, also where files that are not needed any more cannot be removed. */
  private async tidying(work: Promise<void>): Promise<void> {
    await work.catch((error: unknown) => this.options.onProblem('bundles that went cannot be removed', error));
  }

  private async save(): Promise<void> {
    await this.options.shelf.save().catch((error: unknown) => {
      this.options.onProblem(
        'what was taken of bundles could not be noted; after a restart an older index could pass',
        error,
      );
    });
  }

  /** The jitter only shortens: what was published is seen within the time that was configured. */
  private lookLater(retryAfterMs: number): void {
    const { random = Math.random } = this.options;
    const waitMs = Math.max(this.backOffMs(this.failures) * (1 - jitter * random()), retryAfterMs);
    this.timer = setTimeout(() => void this.look(() => false), waitMs).unref();
  }

  /** The time until the next try after as many failures in a row, in milliseconds. */
  private backOffMs(failures: number): number {
    const { pollMs } = this.options;
    return Math.min(pollMs * 2 ** Math.max(0, failures - 1), Math.max(pollMs, maxBackOffMs));
  }
}

function older(message: string): BundleError {
  return new BundleError('bundle_index_older', message, {
    hint: 'push or refresh, if an old one was restored on purpose',
  });
}

function without<Value>(map: ReadonlyMap<string, Value> | undefined, key: string): ReadonlyMap<string, Value> {
  return new Map([...(map ?? [])].filter(([name]) => name !== key));
}

function notKept(set: string, version: string): VerdictError {
  const detail = `No bundle of "${set}" with the version "${version}" that can be verified is kept here.`;
  return new VerdictError('policy_version_invalid', detail);
}
