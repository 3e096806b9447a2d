/** Milliseconds of a day of UTC. */
export const dayMs = 86_400_000;
const minuteMs = 60_000;

/**
 * A time zone by its IANA name: how far its clocks are from UTC, and when its days begin.
 *
 *     TimeZone.named('Europe/Zurich')!.startOfDay(dayOf('2026-03-29')!)   // 2026-03-28T23:00:00Z; that day has 23 hours
 */
export class TimeZone {
  static readonly utc = new TimeZone(undefined);

  private constructor(private readonly format: Intl.DateTimeFormat | undefined) {}

  /** Returns undefined for a name that the system's time zone data does not have. */
  static named(name: string): TimeZone | undefined {
    // Some versions of Node take offsets such as `+01:00` too; whether a query is valid must not depend on that.
    if (!/^[A-Za-z]/.test(name)) return undefined;
    try {
      return new TimeZone(new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' }));
    } catch {
      return undefined;
    }
  }

  /** What clocks in the zone show at `time` (milliseconds since 1970), less UTC: in whole minutes. */
  offsetAt(time: number): number {
    if (this.format === undefined) return 0;
    // `1/1/2026, GMT+05:30`; plain `GMT` for UTC. Seconds, before 1900, are left out.
    const [, sign, hours, minutes] = /GMT([+-])(\d\d):(\d\d)/.exec(this.format.format(time)) ?? [];
    if (sign === undefined) return 0;
    return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
  }

  /** The day in the zone at `time` (milliseconds since 1970), in days since 1970-01-01. */
  dayAt(time: number): number {
    return Math.floor((time + this.offsetAt(time) * minuteMs) / dayMs);
  }

  /**
   * When a day begins, in milliseconds since 1970: the first whole minute at which clocks show it. That is not always
   * their midnight: in some zones clocks go forward at that hour.
   */
  startOfDay(day: number): number {
    if (this.format === undefined) return day * dayMs;
    // No zone is a day away from UTC. Invariant: at `before` the day has not begun, at `begun` it has.
    let before = day * 1_440 - 1_440;
    let begun = day * 1_440 + 1_440;
    while (begun - before > 1) {
      const middle = Math.floor((before + begun) / 2);
      if (this.dayAt(middle * minuteMs) >= day) begun = middle;
      else before = middle;
    }
    return begun * minuteMs;
  }
}

/** The day that a text such as `2026-03-03` names, in days since 1970-01-01; undefined for any other text and 02-30. */
export function dayOf(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined;
  const time = Date.parse(`${text}T00:00:00Z`);
  // JavaScript takes 2026-02-30 for the 2nd of March.
  if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 10) !== text) return undefined;
  return time / dayMs;
}
