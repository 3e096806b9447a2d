import type { GapCause, Loss } from './log-gap.js';

/** Where gaps are noted for good. */
export interface GapNotes {
  noteGap(loss: Loss, cause: GapCause): Promise<void>;
}

/** What mode `async` lost: counted at once, and noted in the journal when that can be written. */
export class Losses {
  #total = 0;
  #unnoted: (Loss & { readonly lost: number }) | undefined;

  /** Records that this process lost. */
  get total(): number {
    return this.#total;
  }

  get unnoted(): number {
    return this.#unnoted?.lost ?? 0;
  }

  /** Counts records that were lost behind the one with the sequence `after`; times in milliseconds since 1970. */
  add(records: number, after: number, since: number, until: number): void {
    this.#total += records;
    const before = this.#unnoted ?? { after, lost: 0, since, until };
    this.#unnoted = {
      after: before.after,
      lost: before.lost + records,
      since: Math.min(before.since, since),
      until: Math.max(before.until, until),
    };
  }

  /** Commits a note of what was lost since the last one; says how many records that were. */
  async note(notes: GapNotes, cause: GapCause): Promise<number> {
    const noted = this.#unnoted;
    if (noted === undefined) return 0;
    await notes.noteGap(noted, cause);
    // More may have been lost while this was written.
    const { after, lost, until } = this.#unnoted!;
    this.#unnoted = lost === noted.lost ? undefined : { after, lost: lost - noted.lost, since: noted.until, until };
    return noted.lost;
  }
}
