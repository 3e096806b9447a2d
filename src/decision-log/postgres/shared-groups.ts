import { Turns } from '../../turns/turns.js';
import type { StoredGroup } from '../group-text.js';
import { logGapOf } from '../log-gap.js';
import type { GroupsQuery, LogGroups } from '../log-groups.js';
import { untilShipped } from '../log-writers.js';
import { inSnapshot, type SnapshotSource } from './log-snapshot.js';
import { removedDays } from './removed-days.js';
import { readDays } from './row-walk.js';
import { readSharedGaps } from './shared-gaps.js';
import type { CodedText } from './shared-keys.js';
import { readWriters } from './writers.js';

/** Rows of one statement: a row has 128 records or 256 KiB at most. */
const rowsAtOnce = 32;

interface Row extends CodedText {
  readonly until: number;
}

/**
 * The groups of all writers that may hold records of a time, as they are stored, the newest rows first. What is shipped after the
 * call is not among them. Each statement reads some thousand records, and no transaction lasts longer.
 *
 * @param pauseMs milliseconds to wait before each statement, so that decisions have the time
 */
export async function* sharedGroups(
  source: SnapshotSource,
  query: GroupsQuery,
  pauseMs: number,
): AsyncGenerator<LogGroups> {
  const { from = 0, to = Number.MAX_SAFE_INTEGER } = query;
  const turns = new Turns(pauseMs);
  const end = Math.min(to, Date.now());
  const read = () =>
    inSnapshot(source, async (transaction) => {
      const { client, table } = transaction;
      const { writers } = await readWriters({ table }, client);
      const range = { below: undefined, above: undefined, from: query.from, to: query.to };
      return {
        writers,
        days: await readDays(transaction),
        shipped: new Map(writers.map((writer) => [writer.writer, writer.shipped])),
        gaps: await readSharedGaps(transaction, range, [], Number.MAX_SAFE_INTEGER),
      };
    });
  const { state, late } = await untilShipped(end, read);
  const { days, shipped, gaps } = state;
  if (gaps.length > 0 || late.length > 0) yield { groups: [], gaps: gaps.map(logGapOf), unshipped: late };
  for (const day of days) {
    if (Date.parse(day) + dayMs <= from) continue;
    let below: Pick<Row, 'until' | 'writer' | 'first'> = top;
    for (;;) {
      const { until, writer, first } = below;
      const { last, texts } = await inSnapshot(source, async (transaction) => {
        const { client, table, keys } = transaction;
        const rows = await client.query<Row>(
          `SELECT writer, first, count, until, records, sealed, data_key FROM ${table('decision_group')}
           WHERE day = $1::date AND (until, writer, first) < ($2::int8, $3::int4, $4::int8)
             AND until >= $5::int8 AND since < $6::int8
           ORDER BY until DESC, writer DESC, first DESC LIMIT ${rowsAtOnce}`,
          [day, until, writer, first, from, to],
        );
        return { last: rows.at(-1), texts: await keys.decoded(transaction, rows) };
      });
      if (last === undefined) break;
      below = last;
      const groups = texts.flatMap(({ writer, first, count, records }): StoredGroup[] =>
        first <= (shipped.get(writer) ?? 0) ? [{ first, count, records }] : [],
      );
      if (groups.length > 0) yield { groups, gaps: [] };
      if (pauseMs > 0) await turns.next();
    }
  }
  const removed = await removedDays(source, days, { from: query.from, to: query.to });
  if (removed.length > 0) yield { groups: [], gaps: removed };
}

/** Above every row. */
const top = { until: Number.MAX_SAFE_INTEGER, writer: 2 ** 31 - 1, first: Number.MAX_SAFE_INTEGER };
const dayMs = 86_400_000;
