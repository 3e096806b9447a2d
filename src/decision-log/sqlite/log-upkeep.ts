import { setTimeout as delay } from 'node:timers/promises';
import { nextTurn } from '../../turns/turns.js';
import type { Retention } from '../decision-log-options.js';
import type { HoldGuard } from '../holds/holds.js';
import type { ClosedUnit } from './catalog.js';
import type { Journal } from './journal.js';
import type { JournalFiles } from './journal-files.js';

export interface UpkeepOptions {
  /** The files as they are now; undefined while they are being opened again. */
  readonly files: () => JournalFiles | undefined;
  /** False if nobody asks these files about their records, so that they need no key index and no counts (true). */
  readonly isIndexed?: boolean | undefined;
  readonly retention: Retention | undefined;
  /** What retention leaves alone. */
  readonly holds: HoldGuard;
  /** Pause after an attempt to begin the next file that failed, in milliseconds; it doubles each time. */
  readonly turnPauseMs: number | undefined;
  /** Longest wait of the commit at which the next file is due, in milliseconds (250). */
  readonly turnPatienceMs?: number | undefined;
  /** Share of the time that reading closed files through may take (0.01). */
  readonly checkShare?: number | undefined;
  /** Called with each failure; the next turn tries again. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/** Which rows of the open file may go: times in milliseconds since 1970, else sequences. */
interface PruneBounds {
  /** Those that are older. */
  readonly time: number;
  /** Those before it. */
  readonly sequence: number;
  /** None from here on. */
  readonly kept: number;
  /** None behind it that is not older than `wantedFrom`. */
  readonly unwanted: number;
  readonly wantedFrom: number;
}

/** Commits after which the index may have a segment to write. */
const indexCommits = 512;
const pruneEveryMs = 60_000;
/** A crash with the WAL lost costs the records of this time without their number, in milliseconds (`noteEnd`). */
const noteEndEveryMs = 1_000;
/** Closed files are read through in steps of some milliseconds, with pauses, as long as there is one to be checked. */
const defaultCheckShare = 0.01;
const shortestCheckPauseMs = 20;
const checkIdleMs = 1_000;
/** Bytes that a step of deleting rows writes to the WAL, about: it frees pages without writing them. */
const deleteBytes = 131_072;
/**
 * The longest that the commit waits at which the next file is due, in milliseconds; then it goes into the old one. Those
 * behind it do not wait: a large file takes minutes to be made ready for its end.
 */
const defaultTurnPatienceMs = 250;
/**
 * The index of a file with more records is merged into one segment before it is closed only where files last longer than
 * this, in milliseconds: to write a large index anew takes minutes, and a log that is written fast has no minutes to give.
 */
const largeRecords = 262_144;
const longLastingMs = 3_600_000;
/** Between two attempts to begin the next file, in milliseconds; it doubles with each that fails, up to the longest. */
const defaultTurnPauseMs = 1_000;
const longestTurnPauseMs = 60_000;
/** Indexing no more records than this takes some milliseconds. */
const quickRecords = 2_048;
/** After a wait for a reader that was in vain commits do not wait for so long, in milliseconds. */
const waitPauseMs = 60_000;
const snapshotHeld =
  'another process has been reading the open file of the decision log for long, so that its WAL cannot be written back';
const heldOpen =
  'another process has the open file of the decision log open, so that the next one cannot be begun; it is tried again';

/**
 * What happens behind the commits, one thing after another: making records searchable, writing the WAL back, deleting
 * what the retention does not keep. A record is safe and found without any of it.
 *
 * A journal that is shipped is made searchable where it is shipped to, and here only when it is not shipped any more.
 */
export class LogUpkeep {
  private readonly stopping = new AbortController();
  private last: Promise<void> = Promise.resolve();
  private tidying = false;
  private commitsSinceIndexed = 0;
  private pruneTimer: NodeJS.Timeout | undefined;
  private endTimer: NodeJS.Timeout | undefined;
  private notedEnd = 0;
  private checking: Promise<void> | undefined;
  private pruning: Promise<void> | undefined;
  private runningTurn: Promise<void> | undefined;
  private turnPauseMs = 0;
  private nextTurn = 0;
  /** When the open file was begun, by the monotonic clock, in milliseconds. */
  private begun = performance.now();
  private nextWait = 0;
  private held = 0;

  constructor(private readonly options: UpkeepOptions) {}

  start(): void {
    // What an earlier process left is counted now, so that `stats` only ever adds up.
    void this.report('the key index failed', this.indexNow());
    this.endTimer = setInterval(() => void this.noteEnd(), noteEndEveryMs).unref();
    this.checking = this.checkClosed();
    const { maxAgeMs, maxRecords } = this.options.retention ?? {};
    if ((maxAgeMs ?? maxRecords) === undefined) return;
    this.pruneTimer = setInterval(() => this.startPruning(), pruneEveryMs).unref();
    this.startPruning();
  }

  /** Begins nothing new; what runs is interrupted or ends soon, see `settled`. */
  stop(): void {
    clearInterval(this.pruneTimer);
    clearInterval(this.endTimer);
    this.stopping.abort();
    // A turn goes on to its end: half of it would be work for the next start.
    if (this.runningTurn === undefined) this.options.files()?.index.interrupt();
  }

  /** Resolves when nothing runs. */
  async settled(): Promise<void> {
    await this.pruning;
    await this.checking;
    await this.last;
  }

  /** Notes in the index how far the journal goes, for the case that its WAL is lost in a crash. */
  async noteEnd(): Promise<void> {
    const end = this.options.files()?.journal.end.sequence ?? 0;
    if (end === this.notedEnd) return;
    this.notedEnd = end;
    // It says how much was lost, and nothing depends on it: a failure leaves it to the next record.
    await this.inTurn(({ index, journal }) => index.noteEnd(journal.end.sequence, journal.end.idUntil)).catch(
      () => undefined,
    );
  }

  /** Reads closed files through, a step at a time, until the log stops; what it finds the files take note of. */
  private async checkClosed(): Promise<void> {
    const { signal } = this.stopping;
    let pauseMs = checkIdleMs;
    for (;;) {
      try {
        await delay(pauseMs, undefined, { signal, ref: false });
        await nextTurn();
      } catch {
        return;
      }
      const started = performance.now();
      const files = this.options.files();
      const more = await (files?.checkStep(started) ?? Promise.resolve(false)).catch((error: unknown) => {
        // When the files were closed meanwhile, it begins anew with those that are open then.
        const isStale = signal.aborted || files !== this.options.files();
        if (!isStale) this.options.onProblem('closed files could not be checked for damage', error);
        return false;
      });
      const tookMs = performance.now() - started;
      const share = this.options.checkShare ?? defaultCheckShare;
      pauseMs = more ? Math.max(shortestCheckPauseMs, tookMs / share) : checkIdleMs;
    }
  }

  /** Takes note of a commit; now and then there is enough to do. */
  committed(): void {
    this.commitsSinceIndexed++;
    const wal = this.options.files()?.wal;
    if (wal?.isDue || this.commitsSinceIndexed >= indexCommits) this.startTidying();
  }

  /**
   * Resolves when the WAL is small enough for the next commit. When a reader of another process is in the way for long,
   * it resolves all the same, and that is reported: no commit is refused for its sake.
   */
  async roomInWal(): Promise<void> {
    if (performance.now() < this.nextWait) return;
    await this.inTurn((files) => this.writeBack(files));
  }

  /** Brings the key index up to the newest record. */
  async indexNow(): Promise<void> {
    while (await this.tidyStep(true));
  }

  /** Closed files that only a hold keeps, as the last look at the retention found. */
  get heldFiles(): number {
    return this.held;
  }

  /**
   * Removes what the retention no longer keeps at `nowMs` (milliseconds since 1970): whole closed files, and of the open
   * one the oldest rows, in small steps between commits. A file with a record that a hold keeps stays as a whole; of the open
   * one the rows from the first on that is held.
   */
  async prune(nowMs: number): Promise<void> {
    const files = this.options.files();
    if (files === undefined) return;
    const { maxAgeMs, maxRecords, deletableTo, wanted } = this.options.retention ?? {};
    const time = maxAgeMs === undefined ? 0 : nowMs - maxAgeMs;
    const sequence = maxRecords === undefined ? 0 : files.journal.end.sequence - maxRecords + 1;
    const deletable = deletableTo?.() ?? Number.MAX_SAFE_INTEGER - 1;
    const unwanted = wanted?.doneTo() ?? Number.MAX_SAFE_INTEGER - 1;
    const wantedFrom = nowMs - (wanted?.maxAgeMs ?? 0);
    const isDue = ({ last, extent }: ClosedUnit) =>
      last <= deletable && (last < sequence || extent.until < time) && (last <= unwanted || extent.until < wantedFrom);
    let held = 0;
    for (const unit of files.closed.filter(isDue)) {
      if (this.stopping.signal.aborted) return;
      if (!(await this.removeUnlessHeld(files, unit))) held++;
    }
    this.held = held;
    const { journal } = files;
    try {
      await this.pruneOpen(files, journal, { time, sequence, kept: deletable + 1, unwanted, wantedFrom });
    } catch (error) {
      // A turn closed it meanwhile: the next look finds it among the closed files.
      if (files.journal === journal) throw error;
    }
  }

  /** Deletes the oldest rows of the file that is open. */
  private async pruneOpen(
    files: JournalFiles,
    journal: Journal,
    { time, sequence, kept, unwanted, wantedFrom }: PruneBounds,
  ): Promise<void> {
    const { holds } = this.options;
    const due = await journal.retentionStart(time, sequence, kept);
    const first =
      due <= unwanted + 1
        ? due
        : Math.min(
            due,
            Math.max(
              await journal.retentionStart(0, unwanted + 1, kept),
              await journal.retentionStart(wantedFrom, 0, kept),
            ),
          );
    if (first <= journal.start) return;
    // What is found of the file's rows is found before others have to wait for it.
    await files.firstHeld(await holds.inForce(), first);
    const end = await journal.deleteBelow(
      this.stopping.signal,
      (deleteSome) => holds.guard(async (inForce) => deleteSome((await files.firstHeld(inForce, first)) ?? first)),
      () => {
        files.wal.grew(deleteBytes);
        if (files.wal.isDue) this.startTidying();
      },
    );
    if (end > journal.start) await this.inTurn(({ index }) => index.prune(end));
    files.forgetHolds(await holds.inForce());
  }

  /** Says whether it removed the file. */
  private async removeUnlessHeld(files: JournalFiles, unit: ClosedUnit): Promise<boolean> {
    const { holds } = this.options;
    if (await files.isHeld(unit, await holds.inForce())) return false;
    return holds.guard(async (inForce) => {
      if (await files.isHeld(unit, inForce)) return false;
      await this.inTurn(() => files.remove(({ first }) => first !== unit.first));
      return true;
    });
  }

  /**
   * Has the open file closed and the next one begun, when the work before it is done. Resolves when it was, and after
   * the log's patience in any case, or at once where that work is under way: the commit can go into the file as it is.
   */
  async turn(): Promise<void> {
    if (this.runningTurn !== undefined || performance.now() < this.nextTurn) return;
    this.runningTurn = this.startTurn();
    const waiting = new AbortController();
    const patience = delay(this.options.turnPatienceMs ?? defaultTurnPatienceMs, undefined, {
      signal: waiting.signal,
    }).catch(() => undefined);
    await Promise.race([this.runningTurn, patience]);
    waiting.abort();
  }

  private async startTurn(): Promise<void> {
    let turned = false;
    try {
      // Most of the work is done before commits have to wait.
      while (await this.catchUpStep());
      if (this.isIndexed && this.hasTimeToMerge()) {
        // Once: the segments of the records that come meanwhile stay beside the one.
        await this.finishMerge();
        await this.step(({ index }) => index.mergeAllStep());
        await this.finishMerge();
        while (await this.catchUpStep());
      }
      if (this.stopping.signal.aborted) return;
      await this.inTurn(async (files) => {
        await files.wal.writeBack(() => files.index.checkpoint(false));
        turned = await files.turn();
      });
      if (turned) {
        this.begun = performance.now();
        this.startTidying();
      } else this.options.onProblem(heldOpen, undefined);
    } catch (error) {
      // A commit finds the files closed, and opens them again.
      const file = this.options.files()?.journal.path ?? 'the open one';
      this.options.onProblem(`the next file of the decision log could not be begun behind ${file}`, error);
    } finally {
      this.turnPauseMs = turned
        ? 0
        : Math.min(longestTurnPauseMs, Math.max(this.options.turnPauseMs ?? defaultTurnPauseMs, this.turnPauseMs * 2));
      this.nextTurn = performance.now() + this.turnPauseMs;
      this.runningTurn = undefined;
    }
  }

  /** Indexes some of what waits; says whether there is more than the end of the file takes quickly. */
  private catchUpStep(): Promise<boolean> {
    return this.step(async ({ index, journal }) => {
      const waiting = this.isIndexed ? journal.end.sequence - index.indexedTo : 0;
      return waiting >= quickRecords && (await index.catchUpStep(journal.end.sequence));
    });
  }

  private get isIndexed(): boolean {
    return this.options.isIndexed ?? true;
  }

  private hasTimeToMerge(): boolean {
    const journal = this.options.files()?.journal;
    if (journal === undefined) return false;
    const records = journal.end.sequence - journal.start + 1;
    return records <= largeRecords || performance.now() - this.begun >= longLastingMs;
  }

  private async finishMerge(): Promise<void> {
    while (await this.step(({ index }) => index.finishMergeStep()));
  }

  /** Does something when all before it is done: these share a connection and its transactions. */
  inTurn(work: (files: JournalFiles) => Promise<void>): Promise<void> {
    const done = this.last.then(() => {
      const files = this.options.files();
      return files === undefined ? undefined : work(files);
    });
    this.last = done.catch(() => undefined);
    return done;
  }

  /**
   * Does one step of work, with the WAL written back first if there is enough in it; says what `work` says: whether there
   * may be more to do. Between two steps something else can have its turn. Once the log stops nothing more is done.
   */
  private async step(work: (files: JournalFiles) => Promise<boolean>): Promise<boolean> {
    if (this.stopping.signal.aborted) return false;
    let more = false;
    await this.inTurn(async (files) => {
      if (this.stopping.signal.aborted) return;
      if (files.wal.isDue) await this.writeBack(files);
      more = await work(files);
    });
    return more;
  }

  /** Indexes some of what waits, or makes some of a closed file's key filter; says whether there may be more to do. */
  private tidyStep(force: boolean): Promise<boolean> {
    return this.step(async (files) => {
      if (!this.isIndexed) return false;
      return (await files.index.indexStep(files.journal.end.sequence, force)) || files.closedStep();
    });
  }

  private writeBack(files: JournalFiles): Promise<void> {
    return files.wal.writeBack(async (restart, mayWait) => {
      const wait = mayWait && performance.now() >= this.nextWait;
      const written = await files.index.checkpoint(restart, wait);
      if (wait && !written.restarted) {
        this.nextWait = performance.now() + waitPauseMs;
        this.options.onProblem(snapshotHeld, undefined);
      }
      return written;
    });
  }

  private async tidy(): Promise<void> {
    this.commitsSinceIndexed = 0;
    await this.inTurn((files) => files.measure());
    while (await this.tidyStep(false));
  }

  private startTidying(): void {
    if (this.tidying) return;
    this.tidying = true;
    void this.report('the key index or the checkpoint failed', this.tidy()).finally(() => {
      this.tidying = false;
    });
  }

  private startPruning(): void {
    if (this.pruning !== undefined || this.options.files() === undefined) return;
    this.pruning = this.report('retention failed', this.prune(Date.now())).finally(() => {
      this.pruning = undefined;
    });
  }

  private report(what: string, work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => {
      // An interruption by a stop is not a problem.
      if (!this.stopping.signal.aborted) this.options.onProblem(what, error);
    });
  }
}
