import type { LogFiles } from './log-files.js';

export interface Retention {
  /** Records older than this go, in milliseconds. */
  readonly maxAgeMs?: number;
  /** Of more records than this the oldest go. */
  readonly maxRecords?: number;
}

export interface UpkeepOptions {
  /** The files as they are now; undefined while they are being opened again. */
  readonly files: () => LogFiles | undefined;
  readonly retention: Retention | undefined;
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
      while (await index.indexStep(journal.end.sequence, true));
    });
  }

  /** Deletes what the retention no longer keeps at `nowMs` (milliseconds since 1970), in small steps between commits. */
  async prune(nowMs: number): Promise<void> {
    const files = this.options.files();
    if (files === undefined) return;
    const { journal } = files;
    const { maxAgeMs, maxRecords } = this.options.retention ?? {};
    const first = await journal.retentionStart(
      maxAgeMs === undefined ? 0 : nowMs - maxAgeMs,
      maxRecords === undefined ? 0 : journal.end.sequence - maxRecords + 1,
    );
    await journal.deleteBelow(first, this.#stopping.signal);
    await this.inTurn(({ index }) => index.prune(first));
  }

  /** Does something when all before it is done: these share a connection and its transactions. */
  inTurn(work: (files: LogFiles) => Promise<void>): Promise<void> {
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
    const tidied = this.inTurn(async ({ journal, index }) => {
      this.#commitsSinceIndexed = 0;
      do {
        if (this.#uncheckpointed >= checkpointBytes) {
          this.#walBytes += this.#uncheckpointed;
          this.#uncheckpointed = 0;
          if (await index.checkpoint(this.#walBytes >= restartBytes)) this.#walBytes = 0;
        }
      } while (await index.indexStep(journal.end.sequence));
    });
    void this.#report('the key index or the checkpoint failed', tidied).finally(() => {
      this.#tidying = false;
    });
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
