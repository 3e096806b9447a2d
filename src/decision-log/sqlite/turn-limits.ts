import { dayMs } from '../../query/time-zone.js';
import type { Retention } from '../decision-log-options.js';
import { utcDayOf } from '../utc-day.js';

/** When the open file of the journal is closed and the next one begun, besides at midnight (UTC). */
export interface TurnLimits {
  /** Size of the file, in bytes. */
  readonly bytes: number;
  readonly records: number;
  /** From the first record's time to the last one's, in milliseconds. */
  readonly spanMs: number;
  /** The most that the open file's WAL may grow to, in bytes. */
  readonly walBytes: number;
}

/** A retention keeps an eighth more than it must, but for files so small that turning them would cost more. */
const retentionShare = 8;
const leastRecords = 131_072;
const leastSpanMs = 3_600_000;

/**
 * Retention removes whole files, so a log that keeps little has small ones:
 *
 *     {}                               →  a day, 1 GiB
 *     { maxAgeMs: 2 days }             →  6 hours, 1 GiB
 *     { maxRecords: 10,000,000 }       →  a day, 1 GiB, 1,250,000 records
 */
export function turnLimits({ maxAgeMs, maxRecords }: Retention = {}): TurnLimits {
  return {
    bytes: 1024 * 1024 * 1024,
    walBytes: 128 * 1024 * 1024,
    records: maxRecords === undefined ? Number.MAX_SAFE_INTEGER : Math.max(leastRecords, maxRecords / retentionShare),
    spanMs: maxAgeMs === undefined ? dayMs : Math.min(dayMs, Math.max(leastSpanMs, maxAgeMs / retentionShare)),
  };
}

/** Records that were decided before midnight and are committed after it stay with the new day. */
const lateMs = 600_000;

/** True if a record of this time belongs to another day than the file: a later day, or the clock stepped back. */
export function isOtherDay(time: number, day: number): boolean {
  return utcDayOf(time) > day || time < day * dayMs - lateMs;
}

/** A clock that steps forth and back all the time begins no more files than these: at once, and then one in so long. */
const burst = 32;
const refillMs = 600_000;

/** Most files that the change of days may begin. */
export class DayTurns {
  private left = burst;
  private since = performance.now();

  get areLeft(): boolean {
    this.left = Math.min(burst, this.left + (performance.now() - this.since) / refillMs);
    this.since = performance.now();
    return this.left >= 1;
  }

  spend(): void {
    this.left--;
  }
}
