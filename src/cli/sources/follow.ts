import { setTimeout as delay } from 'node:timers/promises';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import type { LogSource } from './log-source.js';

/** Milliseconds between two looks. */
const intervalMs = 1_000;
/** Milliseconds within which records of one moment are committed, and shipped; some may take longer, see below. */
const lateMs = 30_000;
const pageSize = 1_000;

/**
 * The newest records that match, then those that come, in the order of the log, until `signal` says stop.
 *
 * What is new is told by the sequences of each writer, not by a clock: the service's may differ from ours. Times only bound
 * how far back a look goes, so a record that waited longer than `lateMs` for its commit (mode `async`), or to be shipped
 * (PostgreSQL was away), is found by a query and not here.
 */
export async function* follow(
  search: LogSource['search'],
  filters: DecisionFilters,
  lines: number,
  signal: AbortSignal,
): AsyncGenerator<readonly DecisionRecord[]> {
  // The newest records say where most writers are.
  const { items } = await search({ limit: pageSize });
  const begun = items[0]?.time ?? '';
  const marks = new Marks(begun);
  marks.take(items);
  if (lines > 0 && begun !== '') {
    const newest = (await search({ ...filters, limit: lines })).items.filter((record) => !marks.isNew(record));
    marks.take(newest);
    yield newest.reverse();
  }
  let last = begun;
  for (;;) {
    await delay(intervalMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const records = await since(search, filters, last === '' ? undefined : before(last), marks);
    marks.take(records);
    for (const { time } of records) if (time > last) last = time;
    if (records.length > 0) yield records.reverse();
  }
}

/** Up to which sequence the records of each writer were seen. */
class Marks {
  private readonly seen = new Map<number, number>();

  /** @param begun records of writers that nothing was seen of are new if their time is later (RFC 3339) */
  constructor(private readonly begun: string) {}

  isNew({ writer, sequence, time }: DecisionRecord): boolean {
    const mark = this.seen.get(writer);
    return mark === undefined ? time > this.begun : sequence > mark;
  }

  /** A writer's records are seen in their order, so that all up to the highest were. */
  take(records: readonly DecisionRecord[]): void {
    for (const { writer, sequence } of records) {
      this.seen.set(writer, Math.max(sequence, this.seen.get(writer) ?? 0));
    }
  }
}

/** What is new, newest first. It looks back until a page has nothing of it: records of other writers may lie between. */
async function since(
  search: LogSource['search'],
  filters: DecisionFilters,
  from: string | undefined,
  marks: Marks,
): Promise<DecisionRecord[]> {
  const query = { ...filters, ...(from !== undefined && { from }), limit: pageSize };
  const records: DecisionRecord[] = [];
  let cursor: string | undefined;
  let isAmongNew = true;
  do {
    const page = await search({ ...query, ...(cursor !== undefined && { cursor }) });
    const found = page.items.filter((record) => marks.isNew(record));
    records.push(...found);
    cursor = page.nextCursor;
    // A page without items was searched for as long as one may take, and the next goes on.
    isAmongNew = page.items.length === 0 || found.length > 0;
  } while (cursor !== undefined && isAmongNew);
  return records;
}

function before(time: string): string {
  return new Date(Date.parse(time) - lateMs).toISOString();
}
