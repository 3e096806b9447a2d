/**
 * Reading a journal of which some pages are damaged. A damaged page fails every statement that comes across it, so rows
 * are found one by one, by their sequence; where one cannot be found, the next that can be is looked for behind it.
 */

import { isDamaged, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { CodedRow, GroupCoding } from '../group-coding.js';
import type { StoredGroup } from '../group-text.js';

/** Sequences of records that cannot be read: `count` of them behind the one with the sequence `after`. */
export interface DamagedRange {
  readonly after: number;
  readonly count: number;
}

export interface RowPlace {
  readonly first: number;
  readonly count: number;
}

/** The first row at or behind this sequence and below `beyond`; undefined when there is none. */
export type FindRow = (from: number, beyond: number) => Promise<RowPlace | undefined>;

/** The content of a range in order: rows that can be read, and ranges that cannot. */
export async function* placesOfRows(
  find: FindRow,
  from: number,
  beyond: number,
): AsyncGenerator<RowPlace | DamagedRange> {
  let next = from;
  while (next < beyond) {
    try {
      const row = await find(next, beyond);
      if (row === undefined) return;
      yield row;
      next = row.first + row.count;
    } catch (error) {
      if (!isDamaged(error)) throw error;
      const behind = await rowBehind(find, next, beyond);
      const end = behind?.first ?? beyond;
      yield { after: next - 1, count: end - next };
      next = end;
    }
  }
}

/** The first row behind damage at `from` that can be found again: looked for in steps that double, then between. */
async function rowBehind(find: FindRow, from: number, beyond: number): Promise<RowPlace | undefined> {
  const attempt = async (at: number): Promise<{ row: RowPlace | undefined } | undefined> => {
    try {
      return { row: await find(at, beyond) };
    } catch (error) {
      if (isDamaged(error)) return undefined;
      throw error;
    }
  };
  let low = from;
  let high = from;
  let found: { row: RowPlace | undefined } | undefined;
  for (let step = 1; found === undefined && high < beyond; step *= 2) {
    low = high;
    high = Math.min(beyond, from + step);
    if (high < beyond) found = await attempt(high);
  }
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const attempted = await attempt(middle);
    if (attempted === undefined) low = middle;
    else {
      high = middle;
      found = attempted;
    }
  }
  return found?.row;
}

/** Rows of `schema.journal`, on a connection that has it. */
export function findRowIn(connection: SqliteConnection, schema: 'main' | 'journal'): FindRow {
  return async (from, beyond) => {
    const [row] = await connection.query<RowPlace>(
      `SELECT first, count FROM ${schema}.journal WHERE first >= ? AND first < ? ORDER BY first LIMIT 1`,
      [from, beyond],
    );
    return row;
  };
}

/**
 * The groups of a range that can be read, and the ranges that cannot, each in order. It begins with the row that `from`
 * lies in, at the sequence `start`.
 */
export async function readAround(
  connection: SqliteConnection,
  coding: GroupCoding,
  from: number,
  beyond: number,
): Promise<{ readonly start: number; readonly groups: StoredGroup[]; readonly damaged: DamagedRange[] }> {
  const groups: StoredGroup[] = [];
  const damaged: DamagedRange[] = [];
  const start = await startOfRow(connection, from);
  for await (const place of placesOfRows(findRowIn(connection, 'journal'), start, beyond)) {
    if ('after' in place) {
      damaged.push(place);
      continue;
    }
    try {
      const rows = await connection.query<CodedRow>(
        'SELECT first, count, records FROM journal.journal WHERE first = ?',
        [place.first],
      );
      groups.push(...rows.map((row) => coding.decode(row)));
    } catch (error) {
      if (!isDamaged(error)) throw error;
      damaged.push({ after: place.first - 1, count: place.count });
    }
  }
  return { start, groups, damaged };
}

async function startOfRow(connection: SqliteConnection, sequence: number): Promise<number> {
  try {
    const [row] = await connection.query<RowPlace>(
      'SELECT first, count FROM journal.journal WHERE first <= ? ORDER BY first DESC LIMIT 1',
      [sequence],
    );
    return row !== undefined && sequence < row.first + row.count ? row.first : sequence;
  } catch (error) {
    if (!isDamaged(error)) throw error;
    return sequence;
  }
}
