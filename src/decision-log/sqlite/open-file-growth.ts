import { utcDayOf } from '../utc-day.js';
import type { Journal } from './journal.js';
import { DayTurns, isOtherDay, type TurnLimits } from './turn-limits.js';

/** The growth of the journal's open file, and whether the next file should begin. */
export class OpenFileGrowth {
  private readonly dayTurns = new DayTurns();
  /** Size of the file: as it was measured last, and what was committed since. */
  private bytes = 0;
  /** The day (UTC) of the file's records; undefined while it has none. */
  private day: number | undefined;

  constructor(
    private readonly limits: TurnLimits,
    journal: Journal,
  ) {
    this.day = journal.isEmpty ? undefined : utcDayOf(journal.end.newest);
  }

  /** Notes a commit of `bytes` bytes; `until` is its highest time in milliseconds since 1970. */
  committed(bytes: number, until: number): void {
    this.day ??= utcDayOf(until);
    this.bytes += bytes;
  }

  /** Takes note of the size of the file. */
  measured(bytes: number): void {
    this.bytes = bytes;
  }

  /** Takes note that a new, empty file is the open one. */
  begun(): void {
    this.bytes = 0;
    this.day = undefined;
    this.dayTurns.spend();
  }

  /** True if the file should be closed before a group with the highest time `until` is committed. */
  isDue(journal: Journal, until: number): boolean {
    if (journal.isEmpty) return false;
    const { bytes, records, spanMs } = this.limits;
    const { since } = journal.extent;
    return (
      (this.day !== undefined && isOtherDay(until, this.day) && this.dayTurns.areLeft) ||
      this.bytes >= bytes ||
      journal.end.sequence - journal.start + 1 >= records ||
      until - since >= spanMs
    );
  }
}
