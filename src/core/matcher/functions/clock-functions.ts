/** Verdict's own functions for the time of a decision. Its clock comes with the call, so a decision can be repeated. */

import { quote } from '../../quote.js';
import type { Json } from '../../request.js';
import { type StepMeter, stepsForText } from '../../step-budget.js';
import { epochOf } from './civil-time.js';
import { type FunctionDefinition, FunctionError } from './function-definition.js';

const zone = { name: 'zone', type: 'string' } as const;

// None of the names may contain "in": Casbin replaces brackets in every matcher in which these letters occur.
export const clockFunctions: readonly FunctionDefinition[] = [
  {
    name: 'now',
    origin: 'verdict',
    summary: 'The time of the decision in whole seconds since 1970.',
    example: 'now() < r.obj.expires',
    parameters: [],
    returns: 'number',
    call: (_, now) => Math.floor(now / 1000),
  },
  {
    name: 'timestamp',
    origin: 'verdict',
    summary: 'An RFC 3339 time in seconds since 1970. A literal date is already a number in a matcher and stays it.',
    example: 'now() >= timestamp(r.obj.published)',
    parameters: [{ name: 'time', type: 'any' }],
    returns: 'number',
    call: ([time], _, meter) => (typeof time === 'number' ? time : timestamp(time, meter)),
  },
  {
    name: 'timeOfDay',
    origin: 'verdict',
    summary: 'The time of day in a time zone as "HH:MM", from "00:00" to "23:59"; compares as text.',
    example: 'timeOfDay("Europe/Berlin") >= "18:00"',
    parameters: [zone],
    returns: 'string',
    call: ([name], now, meter) => localTime(name as string, now, meter).timeOfDay,
  },
  {
    name: 'weekday',
    origin: 'verdict',
    summary: 'The day of the week in a time zone: 1 is Monday, 7 is Sunday.',
    example: 'weekday("Europe/Berlin") <= 5',
    parameters: [zone],
    returns: 'number',
    call: ([name], now, meter) => localTime(name as string, now, meter).weekday,
  },
  {
    name: 'betweenHours',
    origin: 'verdict',
    summary:
      'True from the first time of day on and before the second, in a time zone; over midnight when the second is smaller.',
    example: 'betweenHours("Europe/Berlin", "22:00", "06:00")',
    parameters: [zone, { name: 'from', type: 'string' }, { name: 'to', type: 'string' }],
    returns: 'boolean',
    call: ([name, from, to], now, meter) => betweenHours(name as string, from as string, to as string, now, meter),
  },
];

const stepsToReadTime = 100;

function timestamp(time: Json | undefined, meter: StepMeter): number {
  meter.spend(stepsToReadTime + (typeof time === 'string' ? 8 * stepsForText(time.length) : 0));
  const match =
    typeof time === 'string'
      ? /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(?:Z|([+-])(\d\d):(\d\d))$/i.exec(time)
      : null;
  if (match !== null) {
    const [, year, month, day, hour, minute, second, fraction = '', sign, offsetHours = 0, offsetMinutes = 0] = match;
    const epoch = epochOf({
      year: Number(year),
      month: Number(month),
      day: Number(day),
      hour: Number(hour),
      minute: Number(minute),
      second: Number(second),
    });
    const isOffset = Number(offsetHours) < 24 && Number(offsetMinutes) < 60;
    if (epoch !== undefined && isOffset) {
      const offset = (Number(offsetHours) * 60 + Number(offsetMinutes)) * (sign === '-' ? -60 : 60);
      return epoch / 1000 - offset + Number(`0${fraction}`);
    }
  }
  const given = typeof time === 'string' ? quote(time) : 'what is no text';
  throw new FunctionError(`timestamp: ${given} is no time such as 2026-03-01T09:00:00Z`);
}

function betweenHours(zoneName: string, from: string, to: string, now: number, meter: StepMeter): boolean {
  meter.spend(stepsToCompareTimes);
  for (const time of [from, to]) {
    if (!/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/.test(time)) {
      throw new FunctionError(`betweenHours: ${quote(time)} is no time of day such as 09:00`);
    }
  }
  if (from === to) throw new FunctionError('betweenHours: both times are the same; the whole day is 00:00 to 24:00');
  const { timeOfDay } = localTime(zoneName, now, meter);
  return from < to ? timeOfDay >= from && timeOfDay < to : timeOfDay >= from || timeOfDay < to;
}

interface LocalTime {
  readonly timeOfDay: string;
  readonly weekday: number;
}

/**
 * A zone and its local time in the second that was used last. Formatting takes microseconds, and many decisions share a
 * second.
 */
interface Zone {
  readonly format: Intl.DateTimeFormat;
  second: number;
  local: LocalTime;
}

const zones = new Map<string, Zone | FunctionError>();
/** Most zones that are kept. There are fewer, but names can be written in upper and lower case. */
const maximumZones = 1000;
const longestZoneName = 100;

const stepsToCompareTimes = 20;
/** Steps for a zone that was not used before: reading its rules and formatting the time. */
const stepsForZone = 15_000;
const stepsForKnownZone = 10;

function localTime(name: string, now: number, meter: StepMeter): LocalTime {
  meter.spend(meter.isFirst(zones, name) ? stepsForZone : stepsForKnownZone);
  const second = Math.floor(now / 1000);
  const known = zones.get(name) ?? addZone(name);
  if (known instanceof FunctionError) throw known;
  if (known.second !== second) {
    known.local = format(known.format, second * 1000);
    known.second = second;
  }
  return known.local;
}

function addZone(name: string): Zone | FunctionError {
  const unknown = new FunctionError(`${quote(name)} is no time zone such as Europe/Berlin`);
  // Offsets such as +02:00 are left out: whether they are known depends on the version of Node.js.
  if (name.length > longestZoneName || !/^[a-z]/i.test(name)) return unknown;
  if (zones.size >= maximumZones) zones.clear();
  const format = formatOf(name);
  const added = format && { format, second: Number.NaN, local: { timeOfDay: '', weekday: 0 } };
  zones.set(name, added ?? unknown);
  return added ?? unknown;
}

/** Returns undefined for a name that is not a time zone. */
function formatOf(timeZone: string): Intl.DateTimeFormat | undefined {
  const parts = { hourCycle: 'h23', hour: '2-digit', minute: '2-digit', weekday: 'short' } as const;
  try {
    return new Intl.DateTimeFormat('en-GB', { timeZone, ...parts });
  } catch {
    return undefined;
  }
}

function format(zoneFormat: Intl.DateTimeFormat, time: number): LocalTime {
  const parts = new Map(zoneFormat.formatToParts(time).map(({ type, value }) => [type, value]));
  return {
    timeOfDay: `${parts.get('hour')}:${parts.get('minute')}`,
    weekday: weekdays.indexOf(parts.get('weekday') as string) + 1,
  };
}

const weekdays: readonly string[] = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
