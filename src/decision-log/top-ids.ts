import { setTimeout as delay } from 'node:timers/promises';
import type { DecisionFilters } from './decision-query.js';
import { scan, searchBudget } from './decision-search.js';
import type { LogView } from './log-view.js';
import { matchingRecords, readFilter, type SearchScope } from './record-filter.js';

export type TopField = 'subject' | 'resource';

export interface TopIds {
  /** The most frequent first, and among equals in order of their ids. */
  readonly ids: readonly { readonly id: string; readonly count: number }[];
  /** How many records were counted. */
  readonly examined: number;
  /** Given when that were not all that match: those from this time on were counted. */
  readonly searchedTo?: string;
}

/** Ids have no rollup, since there are as many as anybody likes; so the newest records are read, and no more than these. */
const recordLimit = 65_536;
const listLength = 100;
/** Counting may use about a quarter of the event loop, like an export. */
const turnMs = 1;
const pauseMs = 3;

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
  let turnEnds = performance.now() + turnMs;
  for await (const { groups, last, cost } of scan(view, filter, undefined, 4)) {
    for (const group of groups) {
      for (const record of matchingRecords(group, filter)) {
        const { id } = record.request[field];
        counts.set(id, (counts.get(id) ?? 0) + 1);
        examined++;
        searchedTo = record.time;
      }
      if (performance.now() > turnEnds) {
        await delay(pauseMs);
        turnEnds = performance.now() + turnMs;
      }
    }
    if (last) searchedTo = undefined;
    left -= cost;
    if (examined >= recordLimit || left <= 0) break;
  }
  const ids = [...counts].map(([id, count]) => ({ id, count }));
  ids.sort((a, b) => b.count - a.count || (a.id < b.id ? -1 : 1));
  return { ids: ids.slice(0, listLength), examined, ...(searchedTo !== undefined && { searchedTo }) };
}
