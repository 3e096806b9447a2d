import { sortInTurns } from '../turns/sort-in-turns.js';
import { Turns } from '../turns/turns.js';
import type { DecisionCounts } from './decision-counts.js';
import type { DecisionStats, StatsItem } from './decision-stats.js';
import type { LogGap } from './log-gap.js';
import type { TallyField } from './tally.js';
import type { TallyGroup } from './tally-question.js';

/** What a store could not count. */
export interface Uncounted {
  /** The time up to which decisions are counted, in milliseconds since 1970; undefined where all that can be read are. */
  readonly countedTo: number | undefined;
  /** Decisions that are missing from the log or cannot be read, newest first. */
  readonly gaps: readonly LogGap[];
}

/** The answer of what was counted. */
export async function statsOf(
  counts: DecisionCounts,
  by: readonly TallyField[],
  { countedTo, gaps = [] }: Partial<Uncounted> = {},
): Promise<DecisionStats> {
  const turns = new Turns();
  const items: StatsItem[] = [];
  for (const groups of counts.buckets()) {
    for (const group of await sortInTurns(groups, compareGroups, turns)) {
      items.push(itemOf(group, by));
      if (turns.isOver) await turns.next();
    }
  }
  return {
    items,
    total: counts.total,
    ...(counts.uncertain > 0 && { uncertain: counts.uncertain }),
    ...(gaps.length > 0 && { gaps }),
    ...(countedTo !== undefined && { complete: false, countedTo: new Date(countedTo).toISOString() }),
  };
}

function itemOf({ start, values, count }: TallyGroup, by: readonly TallyField[]): StatsItem {
  const known = by.flatMap((field, i) => (values[i] === null ? [] : [[field, values[i]]]));
  const other = by.filter((_, i) => values[i] === null);
  return {
    ...(start !== undefined && { time: new Date(start * 60_000).toISOString() }),
    ...Object.fromEntries(known),
    ...(other.length > 0 && { other }),
    count,
  };
}

/** The most frequent first; then in order of the values, of which those that are not kept apart come last. */
function compareGroups(a: TallyGroup, b: TallyGroup): number {
  return b.count - a.count || compareValues(a.values, b.values);
}

function compareValues(a: TallyGroup['values'], b: TallyGroup['values']): number {
  for (const [i, value] of a.entries()) {
    const other = b[i]!;
    if (value !== other) return other === null || (value !== null && value < other) ? -1 : 1;
  }
  return 0;
}
