import { isDamaged, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { type DecisionCounts, NameBounds } from '../decision-counts.js';
import type { GroupCoding } from '../group-coding.js';
import type { DamagedRange } from './damaged-rows.js';
import { recount } from './recount.js';
import { readTallies } from './tally-query.js';
import { tallyLimits } from './tally-table.js';
import type { UncountedGroup } from './uncounted.js';

/** Records that a service reads again for an answer when no count of them was kept: a tenth of a second. */
const recountLimit = 16_384;

/** A file of the journal as counting sees it. */
export interface CountedFile {
  /** Has the index, with the journal attached as `journal`. */
  readonly connection: SqliteConnection;
  readonly coding: GroupCoding;
  /** True if the index has counts of this journal. */
  readonly hasCounts: boolean;
  /** Sequences before its first and of its last record. */
  readonly before: number;
  readonly end: number;
  /** The newest groups, from the memory of the writing process, taken before anything is read. */
  readonly uncounted: readonly UncountedGroup[];
}

/**
 * Adds a file's decisions to what is counted. Returns the last sequence up to which all are counted when some are not: the
 * index is being built and more than `mostRecounted` records would have to be read. `damaged` hears of records that cannot
 * be read.
 */
export async function addFile(
  counts: DecisionCounts,
  file: CountedFile,
  mostRecounted = recountLimit,
  damaged: (range: DamagedRange) => void = () => undefined,
): Promise<number | undefined> {
  const { connection, coding, end } = file;
  const counted = file.hasCounts
    ? await readTallies(connection, coding, counts.question, counts.limit, counts.part())
    : 0;
  const names = new NameBounds(tallyLimits.names);
  const newest = file.uncounted.filter(({ last }) => last > counted && last <= end);
  const from = Math.max(counted, file.before);
  const known = newest[0] === undefined ? end : newest[0].first - 1;
  const isComplete = known - from <= mostRecounted;
  if (isComplete)
    for await (const rows of recount(connection, coding, from, known, damaged)) await counts.addRows(rows, names);
  for (const { rows } of newest) await counts.addRows(rows, names);
  return isComplete ? undefined : from;
}

/** The lowest time of the first group after a sequence, in milliseconds since 1970; 0 where that cannot be read. */
export async function timeAfter(connection: SqliteConnection, sequence: number): Promise<number> {
  try {
    return await lowestTimeAfter(connection, sequence);
  } catch (error) {
    if (!isDamaged(error)) throw error;
    return 0;
  }
}

async function lowestTimeAfter(connection: SqliteConnection, sequence: number): Promise<number> {
  const [row] = await connection.query<{ since: number }>(
    'SELECT since FROM journal.journal WHERE first > ? ORDER BY first LIMIT 1',
    [sequence],
  );
  return row?.since ?? 0;
}
