import { dayMs } from '../query/time-zone.js';

/** The day (UTC) of a time in milliseconds since 1970, in days since then. */
export function utcDayOf(time: number): number {
  return Math.floor(time / dayMs);
}
