import { setImmediate } from 'node:timers/promises';
import { recordsOf, type StoredGroup } from './group-text.js';
import type { SqliteConnection } from './sqlite-connection.js';
import { Tally, type TallyRow } from './tally.js';

/** Groups that are read at a time. */
const groupsAtOnce = 32;

/** Counts the decisions of a run of whole groups by reading their texts, where no count was kept. */
export async function recount(connection: SqliteConnection, first: number, last: number): Promise<TallyRow[]> {
  const tally = new Tally();
  let from = first;
  while (from <= last) {
    const groups = await connection.query<StoredGroup>(
      'SELECT first, records FROM journal.journal WHERE first BETWEEN ? AND ? ORDER BY first LIMIT ?',
      [from, last, groupsAtOnce],
    );
    for (const group of groups) {
      for (const record of recordsOf(group)) tally.add(record, Date.parse(record.time));
      // Decisions go on meanwhile.
      await setImmediate();
    }
    if (groups.length < groupsAtOnce) break;
    from = groups.at(-1)!.first + 1;
  }
  return tally.rows();
}
