import { isAway } from '../../database/database-error.js';
import type { LiveDataStore } from '../data/live-data-store.js';
import type { PolicyArchive, ServedVersion } from './policy-archive.js';

export interface ArchiveRetentionOptions {
  readonly archive: PolicyArchive;
  /** Has the changes of live data, which are kept as long as a version needs data from before them. */
  readonly data?: Pick<LiveDataStore, 'forgetBefore' | 'heads'>;
  /** What this process serves that the archive cannot know: others have the same archive, and candidates serve beside sets. */
  readonly served?: () => readonly ServedVersion[];
  /** The time of the oldest decision record that is kept or may still come, in milliseconds since 1970; undefined without one. */
  readonly oldestRecord: () => Promise<number | undefined>;
  /** Called with each failure; the next turn tries again. */
  readonly onProblem: (what: string, error: unknown) => void;
}

/** More often than `replacementMs`: so long after its end a version is taken for one that is served. */
const everyMs = 1_800_000;

/** Keeps the archive from growing for ever: twice an hour it removes the versions that no kept record can name,
 * and the changes of live data that no kept version needs. */
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
    const { archive, data, served, oldestRecord, onProblem } = this.options;
    try {
      if (served !== undefined) await archive.noteServed(served(), Date.now());
      await archive.prune((await oldestRecord()) ?? Date.now());
      if (data !== undefined) await forgetData(archive, data);
    } catch (error) {
      // That the server is away is said elsewhere.
      if (isAway(error) || isAway((error as Error).cause)) return;
      onProblem('old versions of policy sets could not be removed', error);
    }
  }
}

async function forgetData(archive: PolicyArchive, data: Pick<LiveDataStore, 'forgetBefore' | 'heads'>): Promise<void> {
  const heads = await data.heads();
  // Asked for after the heads: a version that was noted in between needs no data that is forgotten here.
  const needed = new Map((await archive.neededData()).map(({ name, revision }) => [name, revision]));
  for (const head of heads) await data.forgetBefore(head.name, needed.get(head.name) ?? head.data);
}
