export const dayMs = 86_400_000;

/** The day (UTC) of a time in milliseconds since 1970, in days since then. */
export function utcDayOf(time: number): number {
  return Math.floor(time / dayMs);
}
