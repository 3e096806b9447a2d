import type { PolicyArchive } from './policy-archive.js';

export interface ArchiveRetentionOptions {
  readonly archive: PolicyArchive;
  /** The time of the oldest decision record that is kept, in milliseconds since 1970; undefined where there is none. */
  readonly oldestRecord: () => Promise<number | undefined>;
  /** Called with each failure; the next turn tries again. */
  readonly onProblem: (what: string, error: unknown) => void;
}

const everyMs = 3_600_000;

/** Keeps the archive from growing for ever: once an hour it removes the versions that no kept record can name. */
export class ArchiveRetention {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly options: ArchiveRetentionOptions) {}

  start(): void {
    this.timer = setInterval(() => {
      this.running = this.running.then(() => this.prune());
    }, everyMs).unref();
    this.running = this.prune();
  }

  /** Resolves when nothing runs any more. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.options.archive.endPruning();
    await this.running;
  }

  private async prune(): Promise<void> {
    const { archive, oldestRecord, onProblem } = this.options;
    try {
      await archive.prune((await oldestRecord()) ?? Date.now());
    } catch (error) {
      onProblem('old versions of policy sets could not be removed', error);
    }
  }
}
