import { JSONSchema } from 'class-validator-jsonschema';
import { parseRfc3339 } from '../core/rfc3339.js';
import { invalidParameter } from '../errors.js';
import { OptionalText } from './query-text.js';
import { dayOf, TimeZone } from './time-zone.js';

/** What a member of a range is, for JSON Schema. */
export const timeOrDay = [
  { type: 'string' as const, format: 'date' },
  { type: 'string' as const, format: 'date-time' },
];

/** Members of every query on decisions and audit events that select a range of times. */
export class TimeRangeQuery {
  /** From this time on: RFC 3339, or a day such as `2026-03-03`, which is its 00:00 in `tz`. */
  @OptionalText(64)
  @JSONSchema({ anyOf: timeOrDay })
  readonly from?: string;

  /** Before this time (RFC 3339), or up to the end of this day in `tz`: the day is included. */
  @OptionalText(64)
  @JSONSchema({ anyOf: timeOrDay })
  readonly to?: string;

  /** The time zone of days, by its IANA name: `Europe/Zurich`. Without it days are those of UTC. */
  @OptionalText(64)
  @JSONSchema({ $ref: '#/components/schemas/TimeZone' })
  readonly tz?: string;
}

/** Whether a text is a time (RFC 3339) or a day such as `2026-03-03`. */
export function isTimeOrDay(text: string): boolean {
  return dayOf(text) !== undefined || parseRfc3339(text) !== undefined;
}

/** Milliseconds since 1970; `from` is within, `to` is not. */
export interface TimeRange {
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly zone: TimeZone;
}

/** @throws VerdictError `invalid_request` for a member that is not a time, day or zone */
export function readTimeRange({ from, to, tz }: TimeRangeQuery): TimeRange {
  const zone = tz === undefined ? TimeZone.utc : TimeZone.named(tz);
  if (zone === undefined) throw invalidParameter('tz', 'is not a time zone such as Europe/Zurich');
  return { from: timeOf(from, 'from', zone, 0), to: timeOf(to, 'to', zone, 1), zone };
}

/** Reads a time, or the start of a day. `daysLater` is added to a day. */
function timeOf(text: string | undefined, name: string, zone: TimeZone, daysLater: number): number | undefined {
  if (text === undefined) return undefined;
  const day = dayOf(text);
  const time = day === undefined ? parseRfc3339(text) : zone.startOfDay(day + daysLater);
  if (time === undefined)
    throw invalidParameter(name, 'is not a time such as 2026-11-21T18:30:00Z or a day such as 2026-11-21');
  return time;
}
