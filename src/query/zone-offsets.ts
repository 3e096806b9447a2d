import type { TimeZone } from './time-zone.js';

const dayMinutes = 1_440;
/** Minutes between two looks. No time zone has changed its clocks twice within this time. */
const stepMinutes = 7 * dayMinutes;

/** A run of minutes (since 1970) in which clocks of a zone are `offset` minutes ahead of UTC, up to the next run. */
export interface OffsetRun {
  readonly start: number;
  readonly offset: number;
}

/** The runs from one minute to another. Asking a zone for its offset is slow, so it is asked once a week. */
export function offsetRuns(zone: TimeZone, from: number, to: number): OffsetRun[] {
  const offsetAt = (minute: number) => zone.offsetAt(minute * 60_000);
  const runs = [{ start: from, offset: offsetAt(from) }];
  for (let at = from; at < to; ) {
    const next = Math.min(to, at + stepMinutes);
    const { offset } = runs.at(-1)!;
    if (offsetAt(next) !== offset) {
      // Invariant: at `same` clocks are as before, at `changed` they are not.
      let same = at;
      let changed = next;
      while (changed - same > 1) {
        const middle = Math.floor((same + changed) / 2);
        if (offsetAt(middle) === offset) same = middle;
        else changed = middle;
      }
      runs.push({ start: changed, offset: offsetAt(changed) });
    }
    at = next;
  }
  return runs;
}

/** The minute at which a day (since 1970) of the zone begins; the runs must reach back to it. */
export function startOfDayIn(runs: readonly OffsetRun[], day: number): number {
  for (const [i, { start, offset }] of runs.entries()) {
    const begins = Math.max(day * dayMinutes - offset, i === 0 ? Number.MIN_SAFE_INTEGER : start);
    if (begins < (runs[i + 1]?.start ?? Number.MAX_SAFE_INTEGER)) return begins;
  }
  throw new Error(`no run of offsets has day ${day}`);
}
