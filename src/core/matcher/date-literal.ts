/**
 * A quoted literal that looks like a date is a number in Casbin: Unix seconds (govaluate's tryParseTime). A literal
 * without a zone is UTC, so that a decision is the same everywhere; the reference uses the server's zone.
 */

const date = String.raw`(?<year>\d{4})-(?<month>\d{2})-(?<day>\d{2})`;
const seconds = String.raw`(?<second>\d{2})(?<fraction>[.,]\d+)?`;
const forms: readonly RegExp[] = [
  // ANSIC, Unix date and Ruby date: the week day is read and not checked against the date, as in Go.
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) +(?<name>[A-Z][a-z]{2}) +(?<day>\d{1,2}) +(?<hour>\d{1,2}):(?<minute>\d{2}):(?<second>\d{2})(?<fraction>[.,]\d+)? +(?<year>\d{4})$/i,
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) +(?<name>[A-Z][a-z]{2}) +(?<day>\d{1,2}) +(?<hour>\d{1,2}):(?<minute>\d{2}):(?<second>\d{2})(?<fraction>[.,]\d+)? +(?:[A-Z]{3,4}) +(?<year>\d{4})$/i,
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) +(?<name>[A-Z][a-z]{2}) +(?<day>\d{2}) +(?<hour>\d{1,2}):(?<minute>\d{2}):(?<second>\d{2})(?<fraction>[.,]\d+)? +(?<zone>[+-]\d{4}) +(?<year>\d{4})$/i,
  /^(?<hour>\d{1,2}):(?<minute>\d{2})(?<half>AM|PM)$/,
  new RegExp(`^${date}$`),
  new RegExp(`^${date} +(?<hour>\\d{1,2}):(?<minute>\\d{2})$`),
  new RegExp(`^${date} +(?<hour>\\d{1,2}):(?<minute>\\d{2}):${seconds}(?<zone>[+-]\\d{2}:\\d{2})?$`),
  new RegExp(`^${date}T(?<hour>\\d{1,2})(?::(?<minute>\\d{2})(?::${seconds})?)?(?<zone>Z|[+-]\\d{4})$`),
  new RegExp(`^${date}T(?<hour>\\d{1,2}):(?<minute>\\d{2}):${seconds}(?<zone>[+-]\\d{2}:\\d{2})$`),
];
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];

/** `"2024-01-01"` → 1704067200; undefined if the text is not a date. */
export function parseDateLiteral(text: string): number | undefined {
  for (const form of forms) {
    const parts = form.exec(text)?.groups;
    if (parts !== undefined) return unixSeconds(parts);
  }
  return undefined;
}

function unixSeconds(parts: Record<string, string | undefined>): number | undefined {
  const year = Number(parts.year ?? 0);
  const month = parts.name === undefined ? Number(parts.month ?? 1) - 1 : months.indexOf(parts.name.toLowerCase());
  const day = Number(parts.day ?? 1);
  let hour = Number(parts.hour ?? 0);
  const minute = Number(parts.minute ?? 0);
  const second = Number(parts.second ?? 0);
  if (parts.half !== undefined) {
    if (hour > 12) return undefined;
    hour = (hour % 12) + (parts.half === 'PM' ? 12 : 0);
  }
  if (month < 0 || month > 11 || hour > 23 || minute > 59 || second > 59) return undefined;
  const time = new Date(0);
  time.setUTCFullYear(year, month, day);
  if (time.getUTCMonth() !== month || time.getUTCDate() !== day) return undefined;
  time.setUTCHours(hour, minute, second);
  const offset = zoneOffset(parts.zone);
  return offset === undefined ? undefined : Math.floor(time.getTime() / 1000) - offset;
}

function zoneOffset(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === 'Z') return 0;
  const digits = zone.replace(':', '');
  const hours = Number(digits.slice(1, 3));
  const minutes = Number(digits.slice(3, 5));
  if (hours > 24 || minutes > 60) return undefined;
  return (digits.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60);
}
