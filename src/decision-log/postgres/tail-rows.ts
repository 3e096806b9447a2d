import { Turns } from '../../turns/turns.js';
import { entryBytes } from '../record-keys.js';
import { type Candidate, compareRows } from './candidates.js';
import { type OwnTail, tailLimit, tailWriter } from './own-tail.js';
import type { RowRange } from './row-walk.js';

/** Texts that are kept at once, in characters; further rows are read again when they are wanted. */
const textLimit = 16 * 2 ** 20;

/**
 * The rows of the own tail that may hold records of the range with all keys, in their order.
 *
 * @param after what PostgreSQL has
 * @param end the newest sequence that is wanted
 */
export async function tailRows(
  tail: OwnTail,
  after: number,
  end: number,
  { below, from = 0 }: RowRange,
  keys: readonly Buffer[],
): Promise<Candidate[]> {
  const found: Candidate[] = [];
  const writer = tailWriter(tail);
  const lowest = Math.max(after, tail.end - tailLimit);
  if (lowest >= end) return found;
  const turns = new Turns();
  let length = 0;
  for await (const rows of tail.rows(lowest)) {
    if (turns.isOver) await turns.next();
    for (const row of rows) {
      const { first, count, since, until, records } = row;
      if (first > end) return found.sort((a, b) => compareRows(b, a));
      if (until < from || (below !== undefined && since > below.time)) continue;
      if (row.keys !== undefined && !keys.every((key) => holdsKey(row.keys!, key))) continue;
      length += records.length;
      const candidate = { until, writer, first, since, count, bytes: records.length, cost: 0, after };
      found.push(length > textLimit ? candidate : { ...candidate, records });
    }
  }
  return found.sort((a, b) => compareRows(b, a));
}

/** The text of a row of the tail; undefined when the journal does not keep it any more. */
export async function readTailText(tail: OwnTail, first: number): Promise<string | undefined> {
  for await (const rows of tail.rows(first - 1)) {
    const row = rows.find((each) => each.first === first);
    if (row !== undefined) return row.records;
    if (rows.some((each) => each.first > first)) return undefined;
  }
  return undefined;
}

function holdsKey(entries: Buffer, key: Buffer): boolean {
  for (let at = entries.indexOf(key); at !== -1; at = entries.indexOf(key, at + 1))
    if (at % entryBytes === 0) return true;
  return false;
}
