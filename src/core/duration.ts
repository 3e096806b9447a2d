const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** For JSON Schemas: a duration, `0` alone left out. */
export const durationPattern = '^[0-9]{1,9}(ms|s|m|h|d)$';

/**
 * Milliseconds of a duration: a whole number with its unit (`ms`, `s`, `m`, `h`, `d`), or `0`. Undefined for other texts.
 *
 *     parseDuration('30s') // 30_000
 */
export function parseDuration(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,9})(ms|s|m|h|d)?$/.exec(text) ?? [];
  if (count === undefined) return undefined;
  if (unit === undefined) return Number(count) === 0 ? 0 : undefined;
  return Number(count) * units[unit]!;
}
