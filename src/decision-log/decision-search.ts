import { VerdictError } from '../core/errors.js';
import { idMilliseconds } from './decision-ids.js';
import { type DecisionQuery, defaultLimit, maxLimit } from './decision-query.js';
import type { DecisionRecord } from './decision-record.js';
import { groupLimit } from './group-commit.js';
import { recordsOf, type StoredGroup } from './group-text.js';
import { lookUp } from './index-lookup.js';
import type { JournalEnd } from './journal.js';
import { gapsBetween, type LogGap } from './log-gap.js';
import {
  filterKeys,
  likePattern,
  matchingRecords,
  maySee,
  type RecordFilter,
  readFilter,
  type SearchScope,
} from './record-filter.js';
import { decodeCursor, encodeCursor } from './search-cursor.js';
import type { SqliteConnection } from './sqlite-connection.js';

export interface DecisionPage {
  readonly items: readonly DecisionRecord[];
  /** Missing on the last page. */
  readonly nextCursor?: string;
  /**
   * Given when the budget ran out before the page was full: every record from this time on was looked at, and
   * `nextCursor` goes on from there.
   */
  readonly searchedTo?: string;
  /** Records that are missing (mode `async`) among those that were looked at; not given when there are none. */
  readonly gaps?: readonly LogGap[];
}

/** The log as a search sees it; what is committed later is on no page of it. */
export interface LogView {
  /** The index file with the journal attached; undefined when there is no file. */
  readonly connection: SqliteConnection | undefined;
  readonly end: JournalEnd;
  /** Up to this sequence the key index knows; above it the journal's own keys are read. */
  readonly indexedTo: number;
}

/**
 * How much one search may look at, counted in records whose text is read. Reading text costs 1 each; passing over a
 * record by the journal's keys, or over an entry of the index, a sixteenth.
 */
export const searchBudget = 131_072;
const keysPerText = 16;
/** The most sequences that one statement passes over, so that statements stay short and others get their turn. */
const textWindow = 8_192;
const keyWindow = 65_536;
/**
 * Groups read by one statement: few at first, since the first page is often in the newest group, and never so many that
 * turning them into strings holds the event loop for more than a few milliseconds.
 */
const firstBatch = 4;
const lastBatch = 16;
/** A page names so many of the newest gaps; an export names all. */
const gapsOnAPage = 100;
/** What reading a group counts that the index named: as many texts as it may have. */
const groupCost = groupLimit;

/** What one statement found: `groups`, newest first, and that every group from `before` on has been looked at. */
interface Step {
  readonly groups: readonly StoredGroup[];
  readonly before: number;
  readonly cost: number;
}

/** Throws VerdictError `invalid_request` for a time, cursor or limit that is none. */
export async function searchRecords(view: LogView, query: DecisionQuery, scope: SearchScope): Promise<DecisionPage> {
  const filter = readFilter(query, scope);
  const limit = readLimit(query.limit);
  const cursor = query.cursor === undefined ? undefined : decodeCursor(query.cursor, filter);
  const { connection } = view;
  if (connection === undefined) return { items: [] };

  const items: DecisionRecord[] = [];
  const start = Math.min(cursor ?? Number.MAX_SAFE_INTEGER, view.end.sequence + 1);
  let left = searchBudget;
  const gapsDownTo = async (sequence: number): Promise<Pick<DecisionPage, 'gaps'>> => {
    const gaps = await gapsBetween(connection, sequence, start, filter, gapsOnAPage);
    return gaps.length === 0 ? {} : { gaps };
  };
  for await (const step of scan(connection, view, filter, start)) {
    for (const group of step.groups) {
      for (const record of matchingRecords(group, filter)) {
        // A cursor can point into a group.
        if (cursor !== undefined && record.sequence >= cursor) continue;
        // One more than asked for shows that there is a next page.
        if (items.length === limit) {
          const { sequence } = items[limit - 1]!;
          return { items, nextCursor: encodeCursor(sequence, filter), ...(await gapsDownTo(sequence)) };
        }
        items.push(record);
      }
    }
    left -= step.cost;
    if (left <= 0 && !step.last) {
      const searchedTo = await timeAt(connection, step.before);
      return { items, nextCursor: encodeCursor(step.before, filter), searchedTo, ...(await gapsDownTo(step.before)) };
    }
  }
  return { items, ...(await gapsDownTo(0)) };
}

/**
 * Looks at groups that may hold matching records, newest first, a statement or two at a time: those below `start`, and
 * none that was committed after `view` was taken.
 */
export async function* scan(
  connection: SqliteConnection,
  view: LogView,
  filter: RecordFilter,
  start: number = view.end.sequence + 1,
  largestBatch: number = lastBatch,
): AsyncGenerator<Step & { readonly last: boolean }> {
  const { lowest, beyond } = await timeBounds(connection, filter, view.end);
  let before = Math.min(start, beyond);
  for (let batch = firstBatch; before > lowest; batch = Math.min(batch * 2, largestBatch)) {
    const byIndex = filter.equal.length > 0 && before <= view.indexedTo + 1;
    const step = byIndex
      ? await stepByIndex(connection, filter, before, lowest, batch)
      : await stepThroughJournal(connection, filter, before, Math.max(lowest, lowestUnindexed(view, filter)), batch);
    before = step.before;
    yield { ...step, last: before <= lowest };
  }
}

/** The record with this id, when `scope` lets it be seen. */
export async function findRecord(view: LogView, id: string, scope: SearchScope): Promise<DecisionRecord | undefined> {
  const milliseconds = idMilliseconds(id);
  const { connection } = view;
  if (connection === undefined || milliseconds === undefined) return undefined;
  const { lowest, beyond } = await timeBounds(connection, { from: milliseconds, to: milliseconds + 1 }, view.end);
  const groups = await connection.query<StoredGroup>(
    `SELECT first, records FROM journal.journal
     WHERE first >= ? AND first < ? AND since <= ? AND instr(records, ?) ORDER BY first`,
    [lowest, beyond, milliseconds, `"id":"${id}"`],
  );
  for (const group of groups) {
    for (const record of recordsOf(group, [(text) => text.includes(id)])) {
      // Another record may name the id in an attribute.
      if (record.id === id) return maySee(record, scope) ? record : undefined;
    }
  }
  return undefined;
}

/** The groups that can hold times within `from` and `to`: those that begin from `lowest` on and below `beyond`. */
async function timeBounds(
  connection: SqliteConnection,
  { from, to }: Pick<RecordFilter, 'from' | 'to'>,
  end: JournalEnd,
): Promise<{ lowest: number; beyond: number }> {
  const firstSince = 'SELECT first FROM journal.journal WHERE until >= ? ORDER BY until, first LIMIT 1';
  let lowest = 1;
  let beyond = Number.MAX_SAFE_INTEGER;
  if (from !== undefined) {
    const [row] = await connection.query<{ first: number }>(firstSince, [from]);
    lowest = row?.first ?? beyond;
  }
  if (to !== undefined) {
    const [row] = await connection.query<{ first: number }>(firstSince, [to + end.lag]);
    if (row !== undefined) beyond = row.first + 1;
  }
  return { lowest, beyond };
}

function lowestUnindexed(view: LogView, filter: RecordFilter): number {
  return filter.equal.length > 0 ? view.indexedTo + 1 : 1;
}

/** Looks at the journal's newest rows below `before`, but not below `lowest`, by their keys and texts. */
async function stepThroughJournal(
  connection: SqliteConnection,
  filter: RecordFilter,
  before: number,
  lowest: number,
  batch: number,
): Promise<Step> {
  const window = filter.q === undefined ? keyWindow : textWindow;
  const low = Math.max(lowest, before - window);
  const keys = filterKeys(filter);
  const { conditions, parameters } = rowConditions(filter);
  const groups = await connection.query<StoredGroup>(
    `SELECT first, records FROM journal.journal WHERE first >= ? AND first < ?
     ${keys.map(() => 'AND instr(keys, ?)').join(' ')} ${conditions} ORDER BY first DESC LIMIT ?`,
    [low, before, ...keys, ...parameters, batch],
  );
  const reached = groups.length < batch ? low : groups.at(-1)!.first;
  const passed = before - reached;
  const cost = filter.q === undefined ? passed / keysPerText + groups.length : passed;
  return { groups, before: reached, cost };
}

/** Looks up the newest groups below `before` that have all keys, and reads them. */
async function stepByIndex(
  connection: SqliteConnection,
  filter: RecordFilter,
  before: number,
  lowest: number,
  batch: number,
): Promise<Step> {
  const { firsts, reached, examined } = await lookUp(connection, filterKeys(filter), before, lowest, batch);
  const { conditions, parameters } = rowConditions(filter);
  const groups = await connection.query<StoredGroup>(
    `SELECT first, records FROM journal.journal WHERE first IN (SELECT value FROM json_each(?)) ${conditions}
     ORDER BY first DESC`,
    [JSON.stringify(firsts), ...parameters],
  );
  return { groups, before: reached, cost: firsts.length * groupCost + examined / keysPerText };
}

/** What else a journal row must satisfy before its texts are worth reading. */
function rowConditions(filter: RecordFilter): { conditions: string; parameters: (number | string)[] } {
  const conditions: string[] = [];
  const parameters: (number | string)[] = [];
  if (filter.from !== undefined) {
    conditions.push('AND until >= ?');
    parameters.push(filter.from);
  }
  if (filter.to !== undefined) {
    conditions.push('AND since < ?');
    parameters.push(filter.to);
  }
  if (filter.q !== undefined) {
    conditions.push(`AND records LIKE ? ESCAPE '\\'`);
    parameters.push(likePattern(filter.q));
  }
  return { conditions: conditions.join(' '), parameters };
}

async function timeAt(connection: SqliteConnection, sequence: number): Promise<string> {
  const [row] = await connection.query<{ since: number }>(
    'SELECT since FROM journal.journal WHERE first >= ? ORDER BY first LIMIT 1',
    [sequence],
  );
  return new Date(row?.since ?? 0).toISOString();
}

function readLimit(limit: number | undefined): number {
  if (limit === undefined) return defaultLimit;
  if (Number.isInteger(limit) && limit >= 1 && limit <= maxLimit) return limit;
  const detail = `is not a whole number from 1 to ${maxLimit}`;
  throw new VerdictError('invalid_request', `limit ${detail}`, { errors: [{ pointer: '/limit', detail }] });
}
