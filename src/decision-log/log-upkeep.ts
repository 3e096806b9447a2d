import { setTimeout as delay } from 'node:timers/promises';
import type { JournalFiles } from './journal-files.js';
import type { KeyIndex } from './key-index.js';

export interface Retention {
  /** Records older than this go, in milliseconds. */
  readonly maxAgeMs?: number;
  /** Of more records than this the oldest go. */
  readonly maxRecords?: number;
}

export interface UpkeepOptions {
  /** The files as they are now; undefined while they are being opened again. */
  readonly files: () => JournalFiles | undefined;
  readonly retention: Retention | undefined;
  /** Pause after an attempt to begin the next file that failed, in milliseconds; it doubles each time. */
  readonly turnPauseMs: number | undefined;
  /** Hears of what failed; the next turn tries again. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/** So much is worth writing back into the journal. */
const checkpointBytes = 16 * 1024 * 1024;
/** With so much in the WAL it starts anew, which a commit or two has to wait for: rarely, but a large WAL starts slowly. */
const restartBytes = 64 * 1024 * 1024;
/** So many commits later the index may have a segment to write. */
const indexCommits = 512;
const pruneEveryMs = 60_000;
/** The longest that a commit waits for the next file to be begun, in milliseconds; then it goes into the old one. */
const turnPatienceMs = 250;
/** Between two attempts to begin the next file, in milliseconds; it doubles with each that fails, up to the longest. */
const defaultTurnPauseMs = 1_000;
const longestTurnPauseMs = 60_000;
/** Indexing no more records than this takes some milliseconds. */
const quickRecords = 2_048;
const heldOpen =
  'another process has the open file of the decision log open, so that the next one cannot be begun; it is tried again';

/**
 * What happens behind the commits, one thing after another: making records searchable, writing the WAL back, deleting
 * what the retention does not keep. A record is safe and found without any of it.
 */
export class LogUpkeep {
  readonly #stopping = new AbortController();
  #last: Promise<void> = Promise.resolve();
  #tidying = false;
  #uncheckpointed = 0;
  #walBytes = 0;
  #commitsSinceIndexed = 0;
  #pruneTimer: NodeJS.Timeout | undefined;
  #pruning: Promise<void> | undefined;
  #turn: Promise<void> | undefined;
  #turnPauseMs = 0;
  #nextTurn = 0;

  constructor(private readonly options: UpkeepOptions) {}

  start(): void {
    // What an earlier process left is counted now, so that `stats` only ever adds up.
    void this.#report('the key index failed', this.indexNow());
    const { maxAgeMs, maxRecords } = this.options.retention ?? {};
    if ((maxAgeMs ?? maxRecords) === undefined) return;
    this.#pruneTimer = setInterval(() => this.#startPruning(), pruneEveryMs).unref();
    this.#startPruning();
  }

  /** Begins nothing new; what runs ends soon, see `settled`. */
  stop(): void {
    clearInterval(this.#pruneTimer);
    this.#stopping.abort();
  }

  /** Resolves when nothing runs. */
  async settled(): Promise<void> {
    await this.#pruning;
    await this.#last;
  }

  /** Takes note of a commit of so many bytes; now and then there is enough to do. */
  committed(bytes: number): void {
    this.#uncheckpointed += bytes;
    this.#commitsSinceIndexed++;
    if (this.#uncheckpointed >= checkpointBytes || this.#commitsSinceIndexed >= indexCommits) this.#startTidying();
  }

  /** Brings the key index up to the newest record. */
  async indexNow(): Promise<void> {
    await this.inTurn(async ({ journal, index }) => {
      do await this.#checkpointIfDue(index);
      while (!this.#stopping.signal.aborted && (await index.indexStep(journal.end.sequence, true)));
    });
  }

  /**
   * Removes what the retention no longer keeps at `nowMs` (milliseconds since 1970): whole closed files, and of the open
   * one the oldest rows, in small steps between commits.
   */
  async prune(nowMs: number): Promise<void> {
    const files = this.options.files();
    if (files === undefined) return;
    const { journal } = files;
    const { maxAgeMs, maxRecords } = this.options.retention ?? {};
    const time = maxAgeMs === undefined ? 0 : nowMs - maxAgeMs;
    const sequence = maxRecords === undefined ? 0 : journal.end.sequence - maxRecords + 1;
    await this.inTurn(() => files.remove(({ last, extent }) => last >= sequence && extent.until >= time));
    const first = await journal.retentionStart(time, sequence);
    if (first <= journal.start) return;
    await journal.deleteBelow(first, this.#stopping.signal);
    await this.inTurn(({ index }) => index.prune(first));
  }

  /**
   * Has the open file closed and the next one begun, when the work before it is done. Resolves when it was, and after
   * `turnPatienceMs` in any case: what waits to be committed can go into the file as it is.
   */
  async turn(): Promise<void> {
    if (this.#turn === undefined && performance.now() >= this.#nextTurn) this.#turn = this.#startTurn();
    if (this.#turn === undefined) return;
    const waiting = new AbortController();
    const patience = delay(turnPatienceMs, undefined, { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([this.#turn, patience]);
    waiting.abort();
  }

  async #startTurn(): Promise<void> {
    let turned = false;
    try {
      await this.inTurn(async (files) => {
        // Most of the work is done before commits have to wait.
        while (await files.index.catchUpStep(files.journal.end.sequence)) {
          if (files.journal.end.sequence - files.index.indexedTo < quickRecords) break;
          await this.#checkpointIfDue(files.index);
        }
        // A closed file has one segment of the index, and a few small ones at most.
        while (!this.#stopping.signal.aborted && (await files.index.mergeAllStep())) {
          await this.#checkpointIfDue(files.index);
        }
        await files.index.checkpoint(false);
        turned = await files.turn();
      });
      if (!turned) this.options.onProblem(heldOpen, undefined);
    } catch (error) {
      this.options.onProblem('the next file of the decision log could not be begun', error);
      throw error;
    } finally {
      this.#turnPauseMs = turned
        ? 0
        : Math.min(longestTurnPauseMs, Math.max(this.options.turnPauseMs ?? defaultTurnPauseMs, this.#turnPauseMs * 2));
      this.#nextTurn = performance.now() + this.#turnPauseMs;
      this.#turn = undefined;
    }
  }

  /** Does something when all before it is done: these share a connection and its transactions. */
  inTurn(work: (files: JournalFiles) => Promise<void>): Promise<void> {
    const done = this.#last.then(() => {
      const files = this.options.files();
      return files === undefined ? undefined : work(files);
    });
    this.#last = done.catch(() => undefined);
    return done;
  }

  #startTidying(): void {
    if (this.#tidying) return;
    this.#tidying = true;
    const tidied = this.inTurn(async (files) => {
      const { journal, index } = files;
      this.#commitsSinceIndexed = 0;
      await files.measure();
      do await this.#checkpointIfDue(index);
      while (!this.#stopping.signal.aborted && (await index.indexStep(journal.end.sequence)));
    });
    void this.#report('the key index or the checkpoint failed', tidied).finally(() => {
      this.#tidying = false;
    });
  }

  /** The WAL may not grow while something else takes long. */
  async #checkpointIfDue(index: KeyIndex): Promise<void> {
    if (this.#uncheckpointed < checkpointBytes) return;
    this.#walBytes += this.#uncheckpointed;
    this.#uncheckpointed = 0;
    if (await index.checkpoint(this.#walBytes >= restartBytes)) this.#walBytes = 0;
  }

  #startPruning(): void {
    if (this.#pruning !== undefined || this.options.files() === undefined) return;
    this.#pruning = this.#report('retention failed', this.prune(Date.now())).finally(() => {
      this.#pruning = undefined;
    });
  }

  #report(what: string, work: Promise<void>): Promise<void> {
    return work.catch((error: unknown) => this.options.onProblem(what, error));
  }
}
