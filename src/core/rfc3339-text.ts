let last = { ms: Number.NaN, text: '' };

/**
 * A time in milliseconds since 1970 as records have it: `2026-03-01T07:00:00.000Z`. The last one is kept, since a busy
 * service writes the same millisecond many times and writing it costs as much as an evaluation.
 */
export function rfc3339(ms: number): string {
  if (ms !== last.ms) last = { ms, text: new Date(ms).toISOString() };
  return last.text;
}
