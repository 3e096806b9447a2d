import { isDamaged, isWithoutIndex } from '../../database/sqlite/sqlite-connection.js';
import type { DecisionCounts } from '../decision-counts.js';
import { gapsWithin, type StoredGap } from '../log-gap.js';
import type { Uncounted } from '../stats-answer.js';
import type { TallyQuestion } from '../tally-question.js';
import { addFile, timeAfter } from './counted-file.js';
import type { DamagedRange } from './damaged-rows.js';
import { gapsOfDamage } from './decision-search.js';
import type { LogView, UnitView } from './log-view.js';
import { mayHoldTimes } from './time-ranges.js';

/** Most gaps that an answer names, the newest first. */
const mostGaps = 100;

/**
 * Adds the decisions of all files that the question touches. They end at `countedTo` where more than `mostRecounted`
 * records of a file would have to be read.
 */
export async function addUnits(
  view: LogView,
  { from, to }: Pick<TallyQuestion, 'from' | 'to'>,
  counts: DecisionCounts,
  mostRecounted?: number,
): Promise<Uncounted> {
  let countedTo: number | undefined;
  const damage: StoredGap[] = [];
  const times = { from: from * 60_000, to: Math.min(Number.MAX_SAFE_INTEGER, to * 60_000) };
  for (const unit of view.units) {
    if (!mayHoldTimes(unit, times)) continue;
    const ends = await addUnit(view, unit, counts, damage, mostRecounted);
    if (ends !== undefined) countedTo = Math.min(countedTo ?? Number.MAX_SAFE_INTEGER, ends);
  }
  const range = { from: 0, before: Number.MAX_SAFE_INTEGER, times };
  const gaps = [...(await view.gaps(range)), ...gapsWithin(damage, range)].sort((a, b) => b.after - a.after);
  return { countedTo, gaps: gaps.slice(0, mostGaps) };
}

async function addUnit(
  view: LogView,
  unit: UnitView,
  counts: DecisionCounts,
  damage: StoredGap[],
  mostRecounted?: number,
): Promise<number | undefined> {
  const { first, last: end, uncounted } = unit;
  const add = (hasCounts: boolean) =>
    view.read(unit, async (connection, coding) => {
      const file = { connection, coding, hasCounts, before: first - 1, end, uncounted };
      const damaged = (range: DamagedRange) => void damage.push(...gapsOfDamage(unit, [range]));
      const counted = await addFile(counts, file, mostRecounted, damaged);
      return counted === undefined ? undefined : timeAfter(connection, counted);
    });
  try {
    return await add(unit.hasCounts);
  } catch (error) {
    if (!isDamaged(error) && !isWithoutIndex(error)) throw error;
  }
  try {
    // It was the index, of which nothing was added yet.
    return await add(false);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    // Not even its first page can be read.
    damage.push(...gapsOfDamage(unit, [{ after: first - 1, count: end - first + 1 }]));
    return undefined;
  }
}
