const rfc3339Format =
  /^(\d{4})-(\d{2})-(\d{2})[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/i;

/**
 * Reads an RFC 3339 time; returns milliseconds since 1970. Undefined for any other text, also for the 30th of February
 * and for a leap second.
 *
 *     parseRfc3339('2026-02-28T10:00:00+01:00') // 1772269200000
 */
export function parseRfc3339(text: string): number | undefined {
  if (text !== lastText) {
    lastTime = read(text);
    lastText = text;
  }
  return lastTime;
}

// Times that are read one after the other are often the same: those of records, and of what is validated and then used.
let lastText = '';
let lastTime: number | undefined;

function read(text: string): number | undefined {
  const [, year, month, day] = rfc3339Format.exec(text) ?? [];
  // JavaScript guarantees only this form; a blank or a small letter depends on the engine.
  const time = day === undefined ? Number.NaN : Date.parse(`${text.slice(0, 10)}T${text.slice(11).toUpperCase()}`);
  const lastDay = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  return Number.isNaN(time) || Number(day) > lastDay ? undefined : time;
}
