import { isAway } from '../../database/database-error.js';
import type { PolicyArchive, ServedVersion } from './policy-archive.js';

export interface ArchiveRetentionOptions {
  readonly archive: PolicyArchive;
  /** What this process serves; asked where other processes have the same archive, and may serve other versions. */
  readonly served?: () => readonly ServedVersion[];
  /** The time of the oldest decision record that is kept or may still come, in milliseconds since 1970; undefined without one. */
  readonly oldestRecord: () => Promise<number | undefined>;
  /** Called with each failure; the next turn tries again. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/** More often than `replacementMs`: so long after its end a version is taken for one that is served. */
const everyMs = 1_800_000;

/** Keeps the archive from growing for ever: twice an hour it removes the versions that no kept record can name. */
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
    const { archive, served, oldestRecord, onProblem } = this.options;
    try {
      if (served !== undefined) await archive.noteServed(served(), Date.now());
      await archive.prune((await oldestRecord()) ?? Date.now());
    } catch (error) {
      // That the server is away is said elsewhere.
      if (isAway(error) || isAway((error as Error).cause)) return;
      onProblem('old versions of policy sets could not be removed', error);
    }
  }
}
