import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { LogView, UnitView } from './log-view.js';

/** Groups that begin from `low` on and below `beyond`. */
export interface GroupRange {
  readonly low: number;
  readonly beyond: number;
}

/** Milliseconds since 1970; `from` is within, `to` is not. */
export interface Times {
  readonly from: number | undefined;
  readonly to: number | undefined;
}

/** True if the unit can hold records of these times. */
export function mayHoldTimes({ extent }: UnitView, { from = 0, to = Number.MAX_SAFE_INTEGER }: Times): boolean {
  return extent === undefined || (extent.until >= from && extent.since < to);
}

/** True if the unit can hold an id of this millisecond. */
export function mayHoldId({ extent }: UnitView, milliseconds: number): boolean {
  return extent === undefined || (extent.idUntil >= milliseconds && extent.idSince <= milliseconds);
}

/** Where in the unit the groups lie that can hold records of these times; the newest first. */
export function rangesOfTimes(connection: SqliteConnection, unit: UnitView, times: Times): Promise<GroupRange[]> {
  const { from, to } = times;
  if (from === undefined && to === undefined) return Promise.resolve([{ low: unit.first, beyond: unit.last + 1 }]);
  if (unit.format === 1) return rangesByHighest(connection, unit, times);
  return rangesBySpans(connection, unit, 'until >= ? AND since < ?', [from ?? 0, to ?? Number.MAX_SAFE_INTEGER]);
}

/** Where in the unit the groups lie that can hold an id of this millisecond; the newest first. */
export function rangesOfId(connection: SqliteConnection, unit: UnitView, milliseconds: number): Promise<GroupRange[]> {
  if (unit.format === 1) return rangesByHighest(connection, unit, { from: milliseconds, to: milliseconds + 1 });
  return rangesBySpans(connection, unit, 'idUntil >= ? AND idSince <= ?', [milliseconds, milliseconds]);
}

/** Spans that touch, and the newest groups, which have none yet; each group says itself what it holds. */
async function rangesBySpans(
  connection: SqliteConnection,
  { first, last }: UnitView,
  condition: string,
  parameters: readonly number[],
): Promise<GroupRange[]> {
  const [spanned] = await connection.query<{ last: number }>(
    'SELECT last FROM journal.span ORDER BY first DESC LIMIT 1',
  );
  const ranges: GroupRange[] = [];
  const add = (low: number, beyond: number): void => {
    const newer = ranges.at(-1);
    if (newer !== undefined && newer.low <= beyond) ranges[ranges.length - 1] = { low, beyond: newer.beyond };
    else if (low < beyond) ranges.push({ low, beyond });
  };
  add(Math.max(first, (spanned?.last ?? 0) + 1), last + 1);
  const spans = await connection.query<{ first: number; last: number }>(
    `SELECT first, last FROM journal.span WHERE ${condition} AND first <= ? ORDER BY first DESC`,
    [...parameters, last],
  );
  for (const span of spans) add(span.first, Math.min(span.last, last) + 1);
  return ranges;
}

/**
 * Format 1: `until` of a row is the highest time so far, so it never falls, and no row reaches back behind the one
 * before it further than the last row's `lag`.
 */
async function rangesByHighest(
  connection: SqliteConnection,
  unit: UnitView,
  { from, to }: Times,
): Promise<GroupRange[]> {
  const firstSince = 'SELECT first FROM journal.journal WHERE until >= ? ORDER BY until, first LIMIT 1';
  let { first: low } = unit;
  let beyond = unit.last + 1;
  if (from !== undefined) {
    const [row] = await connection.query<{ first: number }>(firstSince, [from]);
    low = row?.first ?? beyond;
  }
  if (to !== undefined) {
    const [end] = await connection.query<{ lag: number }>(
      'SELECT lag FROM journal.journal ORDER BY first DESC LIMIT 1',
    );
    const [row] = await connection.query<{ first: number }>(firstSince, [to + (end?.lag ?? 0)]);
    if (row !== undefined) beyond = Math.min(beyond, row.first + 1);
  }
  return low < beyond ? [{ low, beyond }] : [];
}

/** The lowest time of a record in the log; undefined where there is none. */
export async function oldestTime(view: LogView): Promise<number | undefined> {
  let oldest: number | undefined;
  for (const unit of view.units) {
    const since = unit.extent?.since ?? (await view.read(unit, lowestSince));
    if (since !== undefined && since < (oldest ?? Number.MAX_SAFE_INTEGER)) oldest = since;
  }
  return oldest;
}

async function lowestSince(connection: SqliteConnection): Promise<number | undefined> {
  const [row] = await connection.query<{ since: number | null }>('SELECT min(since) AS since FROM journal.journal');
  return row?.since ?? undefined;
}
