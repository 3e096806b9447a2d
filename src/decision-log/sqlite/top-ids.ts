import { Turns } from '../../turns/turns.js';
import type { DecisionFilters } from '../decision-query.js';
import type { TopIds } from '../decision-stats.js';
import { mostFrequent, topRecords } from '../most-frequent.js';
import { matchingRecords, readFilter, type SearchScope } from '../record-filter.js';
import type { TopField } from '../stats-query.js';
import { scan, searchBudget } from './decision-search.js';
import type { LogView } from './log-view.js';

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
    if (examined >= topRecords || left <= 0) break;
  }
  const ids = await mostFrequent(counts, turns);
  return { ids, examined, ...(searchedTo !== undefined && { searchedTo }) };
}
