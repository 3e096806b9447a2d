import { quote } from '../../quote.js';
import { epochOf } from './civil-time.js';
import { FunctionError } from './function-definition.js';

/**
 * Casbin's condition for temporary roles: true strictly between two times `2026-01-31 09:00:00`, which are UTC; `_`
 * leaves a side open. `now` is in milliseconds since the epoch. Throws FunctionError for a text that is not a time. As
 * in Casbin, the end is read only if the start is in the past.
 */
export function timeMatch(start: string, end: string, now: number): boolean {
  if (start !== '_' && now <= Math.floor(parseTime(start))) return false;
  return end === '_' || now < Math.ceil(parseTime(end));
}

/** As `timeMatch`, with the times read once; an error does not match. */
export function timeWindow(start: string, end: string): (now: number) => boolean {
  const read = (text: string): number | undefined => {
    try {
      return parseTime(text);
    } catch (error) {
      if (error instanceof FunctionError) return undefined;
      throw error;
    }
  };
  const from = start === '_' ? Number.NEGATIVE_INFINITY : read(start);
  const until = end === '_' ? Number.POSITIVE_INFINITY : read(end);
  if (from === undefined || until === undefined) return () => false;
  const [after, before] = [Math.floor(from), Math.ceil(until)];
  return (now) => now > after && now < before;
}

/**
 * Go's time.Parse is a little more liberal than the layout that it is given here: it takes an hour of one digit, several
 * spaces, and a fraction of a second, of which it keeps nanoseconds. Half a millisecond stands for any of those, which is
 * all that comparing with a clock of whole milliseconds needs.
 */
function parseTime(text: string): number {
  const match = /^(\d{4})-(\d\d)-(\d\d) +(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d+))?$/.exec(text);
  if (match !== null) {
    const [, year, month, day, hour, minute, second, digits = ''] = match;
    const epoch = epochOf({
      year: Number(year),
      month: Number(month),
      day: Number(day),
      hour: Number(hour),
      minute: Number(minute),
      second: Number(second),
    });
    const hasRest = /[1-9]/.test(digits.slice(3, 9));
    if (epoch !== undefined) return epoch + Number(digits.slice(0, 3).padEnd(3, '0')) + (hasRest ? 0.5 : 0);
  }
  throw new FunctionError(`timeMatch: ${quote(text)} is no time such as 2026-01-31 09:00:00`);
}
