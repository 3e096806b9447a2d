import type { Turns } from '../turns/turns.js';
import type { TopIds } from './decision-stats.js';

/** Ids have no rollup, since there are as many as anybody likes; so the newest records are read, and no more than these. */
export const topRecords = 65_536;
const listLength = 100;

/** The ids with the highest counts. A list is sorted now and then, for to sort all of them would take too long a turn. */
export async function mostFrequent(counts: ReadonlyMap<string, number>, turns: Turns): Promise<TopIds['ids']> {
  let list: { id: string; count: number }[] = [];
  let least = 0;
  const cut = () => {
    list = list.sort((a, b) => b.count - a.count || (a.id < b.id ? -1 : 1)).slice(0, listLength);
    least = list.length < listLength ? 0 : list.at(-1)!.count;
  };
  for (const [id, count] of counts) {
    if (count < least) continue;
    list.push({ id, count });
    if (list.length < 10 * listLength) continue;
    cut();
    if (turns.isOver) await turns.next();
  }
  cut();
  return list;
}
