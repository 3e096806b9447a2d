import { setTimeout as delay } from 'node:timers/promises';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import type { LogSource } from './log-source.js';

/** Milliseconds between two looks. */
const intervalMs = 1_000;
/** Milliseconds within which records of one moment are committed; mode `async` may take longer, see below. */
const lateMs = 30_000;
const pageSize = 1_000;

/**
 * The newest records that match, then those that come, in the order they were committed, until `signal` says stop.
 *
 * What is new is told by the sequence, not by a clock: the service's may differ from ours. Times only bound how far back a
 * look goes, so a record of mode `async` that waited longer than `lateMs` for its commit is found by a query and not here.
 */
export async function* follow(
  source: LogSource,
  filters: DecisionFilters,
  lines: number,
  signal: AbortSignal,
): AsyncGenerator<readonly DecisionRecord[]> {
  let mark = await newest(source);
  if (lines > 0 && mark !== undefined) {
    const { items } = await source.search({ ...filters, limit: lines });
    yield between(items, 0, mark.sequence);
  }
  for (;;) {
    await delay(intervalMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const last = await newest(source);
    if (last === undefined || (last.writer === mark?.writer && last.sequence === mark.sequence)) continue;
    // Another writer has begun a file of its own, with numbers of its own.
    const before = last.writer === mark?.writer ? mark : undefined;
    const records = await since(source, filters, before);
    yield between(records, before?.sequence ?? 0, last.sequence);
    mark = last;
  }
}

async function newest(source: LogSource): Promise<DecisionRecord | undefined> {
  return (await source.search({ limit: 1 })).items[0];
}

/** Newest first; it may hold a few more than were asked for. */
async function since(
  source: LogSource,
  filters: DecisionFilters,
  mark: DecisionRecord | undefined,
): Promise<DecisionRecord[]> {
  const from = mark && new Date(Date.parse(mark.time) - lateMs).toISOString();
  const query = { ...filters, ...(from !== undefined && { from }), limit: pageSize };
  const records: DecisionRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await source.search({ ...query, ...(cursor !== undefined && { cursor }) });
    records.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined && (records.at(-1)?.sequence ?? Number.MAX_SAFE_INTEGER) > (mark?.sequence ?? 0));
  return records;
}

function between(records: readonly DecisionRecord[], after: number, to: number): readonly DecisionRecord[] {
  return records.filter(({ sequence }) => sequence > after && sequence <= to).reverse();
}
