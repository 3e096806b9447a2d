import { setImmediate } from 'node:timers/promises';
import type { DecisionRecord } from './decision-record.js';
import type { SqliteConnection } from './sqlite-connection.js';
import { Tally, type TallyRow } from './tally.js';

/** Groups that are read at a time. */
const groupsAtOnce = 32;

/** Counts the decisions of a run of whole groups by reading their texts, where no count was kept. */
export async function recount(connection: SqliteConnection, first: number, last: number): Promise<TallyRow[]> {
  const tally = new Tally();
  let from = first;
  while (from <= last) {
    const groups = await connection.query<{ first: number; records: string }>(
      'SELECT first, records FROM journal.journal WHERE first BETWEEN ? AND ? ORDER BY first LIMIT ?',
      [from, last, groupsAtOnce],
    );
    for (const { records } of groups) {
      for (const text of records.split('\n')) {
        const record = JSON.parse(text) as DecisionRecord;
        tally.add(record, Date.parse(record.time));
      }
      // Decisions go on meanwhile.
      await setImmediate();
    }
    if (groups.length < groupsAtOnce) break;
    from = groups.at(-1)!.first + 1;
  }
  return tally.rows();
}
