/**
 * A place in the one order of all records: by time (milliseconds since 1970), then by the writer's number, then by
 * sequence. Pages and exports go through it from the highest to the lowest.
 */
export interface RecordPosition {
  readonly time: number;
  readonly writer: number;
  readonly sequence: number;
}

/** Below 0 when `a` is lower in the order than `b`, above 0 when it is higher. */
export function comparePositions(a: RecordPosition, b: RecordPosition): number {
  return a.time - b.time || a.writer - b.writer || a.sequence - b.sequence;
}

/** The lower of two places; undefined is above all. */
export function lowerPosition(
  a: RecordPosition | undefined,
  b: RecordPosition | undefined,
): RecordPosition | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return comparePositions(a, b) < 0 ? a : b;
}
