/** A date and a time of day, as people write them, in milliseconds since the epoch. */
export interface CivilTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

/**
 * The moment in UTC; `undefined` when a part is out of range (30 February, 24:00, a leap second). Years 0 to 9999.
 *
 *     epochOf({ year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 1 })  // 1000
 */
export function epochOf({ year, month, day, hour, minute, second }: CivilTime): number | undefined {
  if (hour > 23 || minute > 59 || second > 59) return undefined;
  const date = new Date(0);
  // Date.UTC takes the years 0 to 99 for 1900 to 1999.
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  return date.setUTCHours(hour, minute, second);
}
