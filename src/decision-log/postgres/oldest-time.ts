import { inSnapshot, readSnapshot } from './log-snapshot.js';
import type { PageSources } from './page-sources.js';
import { type LogTransaction, readDays } from './row-walk.js';
import { silentMs } from './writers.js';

/**
 * The lowest time of a record: of those that are here, of those that other writers have not shipped, as far as anybody
 * knows, and of the own tail. A writer that is silent may have decided more than it could say. In milliseconds since
 * 1970; undefined when there is no record.
 */
export async function oldestSharedTime(sources: PageSources): Promise<number | undefined> {
  const { tail } = sources;
  return inSnapshot(sources, async (transaction) => {
    const { client, table } = transaction;
    const times = [await oldestRow(transaction)];
    const [others] = await client.query<{ time: number | null }>(
      `SELECT min(complete_to) AS time FROM ${table('decision_writer')}
       WHERE state = 'running' AND (decided > shipped OR beat < now() - $2 * interval '1 ms')
         AND writer IS DISTINCT FROM $1::int4`,
      [tail?.writer ?? null, silentMs],
    );
    times.push(others!.time ?? undefined);
    if (tail !== undefined) {
      const { shipped } = await readSnapshot(transaction, tail.writer);
      for await (const rows of tail.rows(shipped)) for (const { since } of rows) times.push(since);
    }
    const known = times.filter((time) => time !== undefined);
    return known.length === 0 ? undefined : known.reduce((a, b) => Math.min(a, b));
  });
}

/** Rows that span a second at most have no record that is older than a second before the first end; the others are few. */
async function oldestRow(transaction: LogTransaction): Promise<number | undefined> {
  const { client, table } = transaction;
  const days = await readDays(transaction);
  let lowest: number | undefined;
  for (const day of days.toReversed()) {
    const [row] = await client.query<{ time: number | null }>(
      `SELECT min(since) AS time FROM ${table('decision_group')} WHERE day = $1::date
       AND until <= 1000 + (SELECT min(until) FROM ${table('decision_group')} WHERE day = $1::date)`,
      [day],
    );
    lowest = row!.time ?? undefined;
    if (lowest !== undefined) break;
  }
  if (lowest === undefined) return undefined;
  const [wide] = await client.query<{ time: number | null }>(
    `SELECT min(since) AS time FROM ${table('decision_group')} WHERE until - since > 1000`,
  );
  return Math.min(lowest, wide!.time ?? lowest);
}
