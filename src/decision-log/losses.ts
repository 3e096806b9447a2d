import type { GapCause, Loss } from './log-gap.js';

/** Where gaps are noted for good. */
export interface GapNotes {
  noteGap(loss: Loss, cause: GapCause): Promise<void>;
}

const none = Promise.resolve(0);

/** Records that mode `async` lost: counted at once, and noted in the journal when it can be written. */
export class Losses {
  private lostRecords = 0;
  private pending: (Loss & { readonly lost: number }) | undefined;
  private last: Promise<unknown> = Promise.resolve();

  /** Records that this process lost. */
  get total(): number {
    return this.lostRecords;
  }

  get unnoted(): number {
    return this.pending?.lost ?? 0;
  }

  /** Counts records that were lost behind the one with the sequence `after`; times in milliseconds since 1970. */
  add(records: number, after: number, since: number, until: number): void {
    this.lostRecords += records;
    const before = this.pending ?? { after, lost: 0, since, until };
    this.pending = {
      after: before.after,
      lost: before.lost + records,
      since: Math.min(before.since, since),
      until: Math.max(before.until, until),
    };
  }

  /** Commits a note of what was lost since the last one, which it waits for; says how many records that were. */
  note(notes: GapNotes, cause: GapCause): Promise<number> {
    if (this.pending === undefined) return none;
    const done = this.last.then(() => this.noteNow(notes, cause));
    this.last = done.catch(() => undefined);
    return done;
  }

  private async noteNow(notes: GapNotes, cause: GapCause): Promise<number> {
    const noted = this.pending;
    if (noted === undefined) return 0;
    await notes.noteGap(noted, cause);
    // More may have been lost while this was written.
    const { after, lost, until } = this.pending!;
    this.pending = lost === noted.lost ? undefined : { after, lost: lost - noted.lost, since: noted.until, until };
    return noted.lost;
  }
}
