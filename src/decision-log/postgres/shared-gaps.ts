import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { LogPlace } from '../local/log-place.js';
import type { GapCause, StoredGap } from '../log-gap.js';
import type { OwnTail } from './own-tail.js';
import { tailWriter } from './own-tail.js';
import { comparePositions, type RecordPosition } from './record-position.js';
import type { LogTransaction } from './row-walk.js';

/** A gap of one of the writers. In the order of records it lies at its `until`, just above the record `after`. */
export interface WriterGap extends StoredGap {
  readonly writer: number;
}

/** Which gaps are wanted: those below one place and above another, of times that are asked for. */
export interface SharedGapRange {
  readonly below: RecordPosition | undefined;
  readonly above: RecordPosition | undefined;
  /** Milliseconds since 1970; `to` is excluded. */
  readonly from: number | undefined;
  readonly to: number | undefined;
}

/** The place of a gap in the order of records. */
export function placeOfGap({ until, writer, after }: WriterGap): RecordPosition {
  return { time: until, writer, sequence: after + 0.5 };
}

/**
 * The gaps within a range, the newest first, at most `limit`.
 *
 * @param others gaps that are known from elsewhere
 */
export async function readSharedGaps(
  { client, table }: LogTransaction,
  range: SharedGapRange,
  others: readonly WriterGap[],
  limit: number,
): Promise<WriterGap[]> {
  const { below, above, from = 0, to = Number.MAX_SAFE_INTEGER } = range;
  const high = below ?? { time: Number.MAX_SAFE_INTEGER, writer: 0, sequence: 0 };
  const low = above ?? { time: 0, writer: 0, sequence: 0 };
  const stored = await client.query<WriterGap>(
    `SELECT writer, after, lost, since, until, cause FROM ${table('decision_gap')}
     WHERE until >= $1::int8 AND since < $2::int8 AND (until, writer::int8, after) < ($3::int8, $4::int8, $5::int8)
       AND (until, writer::int8, after) >= ($6::int8, $7::int8, $8::int8)
     ORDER BY until DESC, writer DESC, after DESC LIMIT $9`,
    [from, to, high.time, high.writer, high.sequence, low.time, low.writer, low.sequence, limit],
  );
  const known = new Set(stored.map(nameOf));
  const further = others.filter((gap) => {
    if (gap.until < from || gap.since >= to || known.has(nameOf(gap))) return false;
    const place = placeOfGap(gap);
    return comparePositions(place, high) < 0 && comparePositions(place, low) > 0;
  });
  if (further.length === 0) return stored;
  return [...stored, ...further].sort((a, b) => comparePositions(placeOfGap(b), placeOfGap(a))).slice(0, limit);
}

/** The times at which the gaps of a writer with a cause begin that lie behind a place. */
export async function sharedGapTimes(
  database: Pick<PostgresDatabase, 'query' | 'table'>,
  cause: GapCause,
  { writer, sequence }: LogPlace,
): Promise<ReadonlySet<number>> {
  const rows = await database.query<{ since: number }>(
    `SELECT since FROM ${database.table('decision_gap')} WHERE writer = $1 AND after >= $2 AND cause = $3`,
    [writer, sequence, cause],
  );
  return new Set(rows.map(({ since }) => since));
}

/** The gaps that only the own journal may know of. */
export async function tailGaps(tail: OwnTail | undefined, shipped: number): Promise<WriterGap[]> {
  if (tail === undefined) return [];
  const writer = tailWriter(tail);
  return (await tail.gaps(shipped)).map((gap) => ({ ...gap, writer }));
}

function nameOf({ writer, after, since, cause }: WriterGap): string {
  return `${writer}:${after}:${since}:${cause}`;
}
