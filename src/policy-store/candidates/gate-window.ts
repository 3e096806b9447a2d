/** What was counted of a candidate lately: a gate that looked at all alone would let one good hour hide a bad one. */
import { type CandidateCounts, candidateCounts, countsOf } from './candidate.js';

/** How far back the gates look beside all that was counted, in milliseconds. */
export const gateWindowMs = 600_000;
/** How often the counts are kept to look back at, in milliseconds: the window is longer by up to this. */
const pointMs = 30_000;

interface Point {
  /** By the monotonic clock, in milliseconds. */
  readonly at: number;
  readonly counts: CandidateCounts;
}

/** The counts of a candidate on all replicas over time, as this replica saw them since it began to run it. */
export class GateWindow {
  /** The oldest first: one that is as old as the window, and those after it. */
  private readonly points: Point[] = [];

  /**
   * What was counted in the window before `at`, or since the first call where that is not as long ago; nothing at the first call.
   *
   * @param counts all that was counted until then
   * @param at by the monotonic clock, in milliseconds
   */
  since(counts: CandidateCounts, at: number): CandidateCounts {
    const { points } = this;
    if (points.length === 0 || at - points.at(-1)!.at >= pointMs) points.push({ at, counts });
    while (points.length > 1 && at - points[1]!.at >= gateWindowMs) points.shift();
    const before = points[0]!.counts;
    return countsOf(new Map(candidateCounts.map((count) => [count, counts[count] - before[count]])));
  }
}
