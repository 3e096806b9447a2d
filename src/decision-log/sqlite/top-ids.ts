import { Turns } from '../../turns/turns.js';
import type { DecisionFilters } from '../decision-query.js';
import type { TopIds } from '../decision-stats.js';
import { matchingRecords, readFilter, type SearchScope } from '../record-filter.js';
import type { TopField } from '../stats-query.js';
import { scan, searchBudget } from './decision-search.js';
import type { LogView } from './log-view.js';

/** Ids have no rollup, since there are as many as anybody likes; so the newest records are read, and no more than these. */
const recordLimit = 65_536;
const listLength = 100;
/** The subjects or resources that the newest matching records are about most often. Throws like `searchRecords`. */
export async function topIds(
  view: LogView,
  query: DecisionFilters,
  field: TopField,
  scope: SearchScope,
): Promise<TopIds> {
  const filter = readFilter(query, scope);
  const counts = new Map<string, number>();
  let examined = 0;
  let left = searchBudget;
  let searchedTo: string | undefined;
  const turns = new Turns();
  for await (const { groups, last, cost } of scan(view, filter)) {
    for (const group of groups) {
      for await (const record of matchingRecords(group, filter, turns)) {
        const { id } = record.request[field];
        counts.set(id, (counts.get(id) ?? 0) + 1);
        examined++;
        searchedTo = record.time;
      }
      if (turns.isOver) await turns.next();
    }
    if (last) searchedTo = undefined;
    left -= cost;
    if (examined >= recordLimit || left <= 0) break;
  }
  const ids = await mostFrequent(counts, turns);
  return { ids, examined, ...(searchedTo !== undefined && { searchedTo }) };
}

/** The ids with the highest counts. A list is sorted now and then, for to sort all of them would take too long a turn. */
async function mostFrequent(counts: ReadonlyMap<string, number>, turns: Turns): Promise<TopIds['ids']> {
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
