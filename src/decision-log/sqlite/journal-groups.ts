import { Turns } from '../../turns/turns.js';
import { gapsWithin, type LogGap } from '../log-gap.js';
import type { GroupsQuery, LogGroups } from '../log-groups.js';
import { type RecordFilter, readFilter } from '../record-filter.js';
import { gapsOfDamage, scan } from './decision-search.js';
import type { LogView } from './log-view.js';
import { oldestRow, removedSince } from './removed-records.js';

/** Groups that one statement returns. */
const groupsAtOnce = 32;

/**
 * The groups that may hold records of a set and a time, as they are stored, newest first: for those who read them in a thread of
 * their own. What is committed later is not among them.
 *
 * @param pauseMs milliseconds to wait after each statement, so that decisions have the time
 */
export function journalGroups(
  view: LogView | Promise<LogView>,
  { policySet, from, to }: GroupsQuery,
  pauseMs: number,
): AsyncGenerator<LogGroups> {
  // The reader of the groups gets the error. Until there is one, the error must not end the process.
  Promise.resolve(view).catch(() => undefined);
  return groupsOf(view, { ...readFilter({ policySet }, {}), from, to }, pauseMs);
}

async function* groupsOf(
  viewed: LogView | Promise<LogView>,
  filter: RecordFilter,
  pauseMs: number,
): AsyncGenerator<LogGroups> {
  const view = await viewed;
  const turns = new Turns(pauseMs);
  const range = { from: 0, before: view.end + 1, times: filter };
  const oldest = await oldestRow(view);
  let gaps: LogGap[] = await view.gaps(range);
  for await (const { groups, unit, damaged } of scan(view, filter, undefined, groupsAtOnce)) {
    if (damaged !== undefined) gaps.push(...gapsWithin(gapsOfDamage(unit, damaged), range));
    if (groups.length > 0 || gaps.length > 0) yield { groups, gaps };
    gaps = [];
    if (pauseMs > 0) await turns.next();
  }
  gaps.push(...(await removedSince(view, oldest, range)));
  if (gaps.length > 0) yield { groups: [], gaps };
}
