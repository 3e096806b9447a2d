/**
 * Merges segments of the key index, so that a look-up that finds nothing costs about the same however many records there
 * are. A merge goes on in steps of some ten milliseconds, each a transaction: it can end at any of them, with the process
 * too, and goes on there later. Look-ups use the old segments until the new one is whole.
 */
import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';

/** This many neighbours of about one size become one. Sixteen: two merges for 256 segments, and 30 to look into at most. */
export const mergeWidth = 16;
/** Segments of up to this many records are of the smallest size, those of `mergeWidth` times as many of the next. */
const smallest = 65_536;
/** Most entries that one step takes from each segment, and that it deletes. */
const entriesOfSegment = 2_048;
const entriesDeleted = 16_384;

interface Segment {
  readonly id: number;
  readonly first: number;
  readonly last: number;
}

interface Merge {
  readonly target: number;
  readonly first: number;
  readonly last: number;
  readonly key: Buffer;
  readonly at: number;
}

/**
 * One step of what there is to merge, or to delete after a merge; says whether there was anything. What is begun is
 * finished first. `begin` says what is merged next: the newest that are of one size, all whatever their sizes, or none.
 * `entries`: how many of each segment a step copies at most.
 */
export async function mergeStep(
  connection: SqliteConnection,
  begin: 'newest' | 'all' | 'none' = 'newest',
  entries = entriesOfSegment,
): Promise<boolean> {
  if (await deleteStep(connection)) return true;
  const [merge] = await connection.query<Merge>('SELECT * FROM merge');
  if (merge !== undefined) {
    await inTransaction(connection, () => copyStep(connection, merge, entries));
    return true;
  }
  if (begin === 'none') return false;
  const segments = await connection.query<Segment>('SELECT id, first, last FROM segment ORDER BY first');
  const run = begin === 'all' ? segments : runToMerge(segments);
  if (run.length < 2) return false;
  await inTransaction(connection, async () => {
    await connection.query('INSERT INTO merge (target, first, last, key, at) VALUES (?, ?, ?, ?, 0)', [
      await unusedSegment(connection),
      run[0]!.first,
      run.at(-1)!.last,
      Buffer.alloc(0),
    ]);
  });
  return true;
}

/**
 * The newest segments as far back as they are of a size, or smaller, when they are enough to be merged.
 *
 *     sizes in records: 1,000,000  65,536 × 16   // the 16 become one
 */
export function runToMerge(segments: readonly Segment[]): readonly Segment[] {
  for (let size = smallest; ; size *= mergeWidth) {
    const larger = segments.findLastIndex(({ first, last }) => last - first + 1 > size);
    const run = segments.slice(larger + 1);
    if (run.length >= mergeWidth) return run;
    if (larger === -1) return [];
  }
}

/** A number that no segment has, and of which no key is left. */
export async function unusedSegment(connection: SqliteConnection): Promise<number> {
  const [row] = await connection.query<{ id: number }>(
    `SELECT 1 + max(coalesce((SELECT max(id) FROM segment), 0), coalesce((SELECT max(target) FROM merge), 0),
       coalesce((SELECT max(segment) FROM dropped), 0)) AS id`,
  );
  return row!.id;
}

/** Takes segments out of the index that end below a sequence, and a merge that they are part of; runs in a transaction. */
export async function dropSegments(connection: SqliteConnection, below: number): Promise<void> {
  await connection.query('INSERT INTO dropped SELECT id FROM segment WHERE last < ?', [below]);
  await connection.query('DELETE FROM segment WHERE last < ?', [below]);
  const [merge] = await connection.query<Merge>('SELECT * FROM merge');
  if (merge === undefined) return;
  const [first] = await connection.query<{ first: number | null }>('SELECT min(first) AS first FROM segment');
  if (first?.first != null && first.first <= merge.first) return;
  await connection.query('INSERT INTO dropped VALUES (?)', [merge.target]);
  await connection.query('DELETE FROM merge');
}

async function copyStep(connection: SqliteConnection, merge: Merge, entries: number): Promise<void> {
  const { target, first, last, key, at } = merge;
  const sources = await connection.query<Segment>(
    'SELECT id, first, last FROM segment WHERE first >= ? AND last <= ? ORDER BY first',
    [first, last],
  );
  // Up to here every source is read to its end, or for as many entries as it may give.
  let end: { key: Buffer; at: number } | undefined;
  for (const source of sources) {
    const [furthest] = await connection.query<{ key: Buffer; start: number }>(
      `SELECT key, start FROM segment_key WHERE segment = ? AND (key, start) > (?, ?)
       ORDER BY key, start LIMIT 1 OFFSET ?`,
      [source.id, key, at - source.first, entries - 1],
    );
    if (furthest === undefined) continue;
    const reached = { key: furthest.key, at: source.first + furthest.start };
    const order = end === undefined ? -1 : Buffer.compare(reached.key, end.key) || reached.at - end.at;
    if (order < 0) end = reached;
  }
  const upTo = end === undefined ? '' : 'AND (k.key, k.start) <= (?, ? - s.first)';
  await connection.query(
    `INSERT INTO segment_key (segment, key, start)
     SELECT ?, k.key, s.first + k.start - ? AS start
     FROM segment s CROSS JOIN segment_key k
     WHERE s.first >= ? AND s.last <= ? AND k.segment = s.id AND (k.key, k.start) > (?, ? - s.first) ${upTo}
     ORDER BY k.key, start`,
    [target, first, first, last, key, at, ...(end === undefined ? [] : [end.key, end.at])],
  );
  if (end !== undefined) {
    await connection.query('UPDATE merge SET key = ?, at = ?', [end.key, end.at]);
    return;
  }
  await connection.query('INSERT INTO dropped SELECT id FROM segment WHERE first >= ? AND last <= ?', [first, last]);
  await connection.query('DELETE FROM segment WHERE first >= ? AND last <= ?', [first, last]);
  await connection.query('INSERT INTO segment (id, first, last) VALUES (?, ?, ?)', [target, first, last]);
  await connection.query('DELETE FROM merge');
}

async function deleteStep(connection: SqliteConnection): Promise<boolean> {
  const [dropped] = await connection.query<{ segment: number }>('SELECT segment FROM dropped LIMIT 1');
  if (dropped === undefined) return false;
  const { segment } = dropped;
  const [end] = await connection.query<{ key: Buffer; start: number }>(
    `SELECT key, start FROM segment_key WHERE segment = ? ORDER BY key, start LIMIT 1 OFFSET ${entriesDeleted}`,
    [segment],
  );
  if (end === undefined) {
    await inTransaction(connection, async () => {
      await connection.query('DELETE FROM segment_key WHERE segment = ?', [segment]);
      await connection.query('DELETE FROM dropped WHERE segment = ?', [segment]);
    });
  } else {
    await connection.query('DELETE FROM segment_key WHERE segment = ? AND (key, start) < (?, ?)', [
      segment,
      end.key,
      end.start,
    ]);
  }
  return true;
}

/** Does all of it or nothing. The connection must be nobody else's meanwhile. */
export async function inTransaction(connection: SqliteConnection, work: () => Promise<void>): Promise<void> {
  // Not IMMEDIATE: that would take the lock of the attached journal too, and commits would wait.
  await connection.query('BEGIN');
  try {
    await work();
    await connection.query('COMMIT');
  } catch (error) {
    await connection.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
