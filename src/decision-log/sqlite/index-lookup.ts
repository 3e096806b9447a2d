import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';

/** Where groups that have all the keys begin. */
export interface Found {
  /** Newest first. */
  readonly firsts: readonly number[];
  /** Every group from this sequence on was looked at. */
  readonly reached: number;
  /** Entries of the index that were passed over. */
  readonly examined: number;
}

/** Entries of one key that a statement compares with the others at most: some milliseconds. */
const entriesAtOnce = 4_096;

/**
 * Looks up the newest groups that have all the keys, `most` of them at most, among those that begin from `lowest` on and
 * below `before`. What a statement does is bounded, so it can end before it found any; the next goes on from `reached`.
 */
export async function lookUp(
  connection: SqliteConnection,
  keys: readonly Buffer[],
  before: number,
  lowest: number,
  most: number,
): Promise<Found> {
  const [key, ...others] = keys;
  if (others.length > 0) return lookUpAll(connection, key!, others, before, lowest, most);
  const rows = await connection.query<{ first: number }>(lookUpSql, [key!, before, lowest, most]);
  const firsts = rows.map(({ first }) => first);
  return { firsts, reached: firsts.length < most ? lowest : firsts.at(-1)!, examined: firsts.length };
}

/** CROSS JOIN keeps the order that the result needs: the newest segment first, and its newest group. */
const lookUpSql = `SELECT s.first + k.start AS first FROM segment s CROSS JOIN segment_key k
  WHERE s.first < ?2 AND s.last >= ?3 AND k.segment = s.id AND k.key = ?1
    AND k.start < ?2 - s.first AND k.start >= ?3 - s.first
  ORDER BY s.first DESC, k.start DESC LIMIT ?4`;

/** Reads the first key's entries of the newest segment that is left, and which of them the other keys have too. */
async function lookUpAll(
  connection: SqliteConnection,
  key: Buffer,
  others: readonly Buffer[],
  before: number,
  lowest: number,
  most: number,
): Promise<Found> {
  const rows = await connection.query<{ first: number; reached: number; examined: number }>(
    lookUpAllSql(others.length),
    [key, before, lowest, most, ...others],
  );
  const [row] = rows;
  if (row === undefined) return { firsts: [], reached: lowest, examined: 0 };
  const firsts = rows.flatMap(({ first }) => (first === null ? [] : [first]));
  return {
    firsts,
    reached: firsts.length < most ? Math.max(lowest, row.reached) : firsts.at(-1)!,
    examined: row.examined,
  };
}

/** In one statement, for a merge may put another segment in the place of this one at any time. */
export function lookUpAllSql(others: number): string {
  const exists = Array.from(
    { length: others },
    (_, i) =>
      `EXISTS (SELECT 1 FROM segment_key o WHERE o.segment = e.segment AND o.key = ?${5 + i} AND o.start = e.start)`,
  );
  return `WITH newest AS MATERIALIZED (
      SELECT id, first FROM segment WHERE first < ?2 AND last >= ?3 ORDER BY first DESC LIMIT 1),
    entry AS MATERIALIZED (
      SELECT segment, start, (SELECT first FROM newest) + start AS first FROM segment_key
      WHERE segment = (SELECT id FROM newest) AND key = ?1
        AND start < ?2 - (SELECT first FROM newest) AND start >= ?3 - (SELECT first FROM newest)
      ORDER BY start DESC LIMIT ${entriesAtOnce}),
    hit AS (SELECT e.first FROM entry e WHERE ${exists.join(' AND ')} ORDER BY e.first DESC LIMIT ?4),
    extent AS (
      SELECT count(*) AS examined,
        CASE count(*) WHEN ${entriesAtOnce} THEN min(first) ELSE (SELECT first FROM newest) END AS reached
      FROM entry)
    SELECT hit.first, extent.reached, extent.examined FROM extent LEFT JOIN hit
    WHERE EXISTS (SELECT 1 FROM newest) ORDER BY hit.first DESC`;
}
