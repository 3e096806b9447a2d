import type { DecisionCounts } from '../decision-counts.js';
import type { TallyQuestion } from '../tally-question.js';
import { addFile, timeAfter } from './counted-file.js';
import type { LogView } from './log-view.js';
import { mayHoldTimes } from './time-ranges.js';

/**
 * Adds the decisions of all files that the question touches. Returns the time up to which they are counted, in
 * milliseconds since 1970, when more than `mostRecounted` records of a file would have to be read.
 */
export async function addUnits(
  view: LogView,
  { from, to }: Pick<TallyQuestion, 'from' | 'to'>,
  counts: DecisionCounts,
  mostRecounted?: number,
): Promise<number | undefined> {
  let countedTo: number | undefined;
  for (const unit of view.units) {
    if (!mayHoldTimes(unit, { from: from * 60_000, to: to * 60_000 })) continue;
    const { first, last: end, hasCounts, uncounted } = unit;
    await view.read(unit, async (connection) => {
      const file = { connection, hasCounts, before: first - 1, end, uncounted };
      const counted = await addFile(counts, file, mostRecounted);
      if (counted === undefined) return;
      countedTo = Math.min(countedTo ?? Number.MAX_SAFE_INTEGER, await timeAfter(connection, counted));
    });
  }
  return countedTo;
}
