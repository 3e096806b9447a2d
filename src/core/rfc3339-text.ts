let last = { ms: Number.NaN, text: '' };

/**
 * Formats a time in milliseconds since 1970 as in records: `2026-03-01T07:00:00.000Z`. The last text is kept: a busy
 * service formats the same millisecond many times, and formatting costs as much as an evaluation.
 */
export function rfc3339(ms: number): string {
  if (ms !== last.ms) last = { ms, text: new Date(ms).toISOString() };
  return last.text;
}
