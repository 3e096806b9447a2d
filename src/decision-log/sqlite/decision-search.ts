import { isDamaged, isWithoutIndex, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { Turns } from '../../turns/turns.js';
import { ConditionTest } from '../condition-test.js';
import { idMilliseconds } from '../decision-ids.js';
import type { DecisionPage } from '../decision-page.js';
import { type DecisionQuery, limitOf } from '../decision-query.js';
import type { DecisionRecord } from '../decision-record.js';
import type { CodedRow, GroupCoding } from '../group-coding.js';
import { recordsOf, type StoredGroup } from '../group-text.js';
import { gapsWithin, type StoredGap } from '../log-gap.js';
import {
  filterKeys,
  likePattern,
  matchingRecords,
  maySee,
  type RecordFilter,
  readFilter,
  readsTexts,
  type SearchScope,
  scannedTexts,
} from '../record-filter.js';
import { expandedRecords } from '../recorded-entities.js';
import { decodeCursor, encodeCursor } from '../search-cursor.js';
import { type DamagedRange, readAround } from './damaged-rows.js';
import { groupLimit } from './group-commit.js';
import { lookUp } from './index-lookup.js';
import type { LogView, UnitView } from './log-view.js';
import { type GroupRange, mayHoldId, mayHoldTimes, rangesOfId, rangesOfTimes } from './time-ranges.js';

/**
 * Most work of one search, in records whose text is read. Reading text costs 1 each; passing over a record by the
 * journal's keys, or over an entry of the index, a sixteenth; a file of the journal, which may have to be opened, two
 * thousand.
 */
export const searchBudget = 131_072;
const keysPerText = 16;
const unitCost = 2_048;
/** Sequences that are passed at a time where rows are read one by one. */
const aroundWindow = 2_048;
/** The most sequences that one statement passes over, so that statements stay short and others get their turn. */
const textWindow = 8_192;
const keyWindow = 65_536;
/**
 * Groups read by one statement: few at first, since the first page is often in the newest group, and at most a number
 * that becomes strings within a few milliseconds.
 */
const firstBatch = 4;
const lastBatch = 16;
/** Records can be large: a statement reads no more text than this, or one group. */
const batchBytes = 2 ** 21;
/** Most gaps that a page names, the newest first. An export names all. */
const gapsOnAPage = 100;
/** Cost of reading a group that the index named: the most texts that it may have. */
const groupCost = groupLimit;

/** The result of one statement: `groups`, newest first. Every group from `before` on has been examined. */
interface Step {
  readonly groups: readonly StoredGroup[];
  /** Records that cannot be read, for their pages are damaged. */
  readonly damaged?: readonly DamagedRange[];
  readonly before: number;
  readonly cost: number;
}

/** Throws VerdictError `invalid_request` for a time, cursor or limit that is not one, `cursor_expired` for an old cursor. */
export async function searchRecords(view: LogView, query: DecisionQuery, scope: SearchScope): Promise<DecisionPage> {
  const given = readFilter(query, scope);
  const limit = limitOf(query);
  const condition = ConditionTest.of(query, scope);
  const identity = ConditionTest.identity(given, condition);
  const filter = condition?.narrowed(given) ?? given;
  const cursor = query.cursor === undefined ? undefined : decodeCursor(query.cursor, identity, view.name);

  const items: DecisionRecord[] = [];
  const damage: StoredGap[] = [];
  const start = Math.min(cursor ?? Number.MAX_SAFE_INTEGER, view.end + 1);
  let left = searchBudget;
  // Those behind the last item are counted by the next page, where there is one.
  let erred = 0;
  let erredSinceItem = 0;
  const turns = new Turns();
  const gapsDownTo = async (from: number): Promise<Pick<DecisionPage, 'gaps'>> => {
    const range = { from, before: start, times: filter };
    const gaps = [...(await view.gaps(range)), ...gapsWithin(damage, range)].sort((a, b) => b.after - a.after);
    return gaps.length === 0 ? {} : { gaps: gaps.slice(0, gapsOnAPage) };
  };
  const pageDownTo = async (from: number, more: Partial<DecisionPage>): Promise<DecisionPage> => ({
    items: await expandedRecords(items, query, scope.versions),
    ...(from > 0 && { nextCursor: encodeCursor(from, identity, view.name) }),
    ...more,
    ...(erred > 0 && { erred }),
    ...(await gapsDownTo(from)),
  });
  const searchedDownTo = (from: number, searchedTo: string): Promise<DecisionPage> => {
    erred += erredSinceItem;
    return pageDownTo(from, { searchedTo });
  };
  let lastTested = '';
  for await (const step of scan(view, filter, start)) {
    damage.push(...gapsOfDamage(step.unit, step.damaged));
    const unreadable = (sequence: number) => {
      damage.push(...gapsOfDamage(step.unit, [{ after: sequence - 1, count: 1 }]));
    };
    for (const group of step.groups) {
      for await (const record of matchingRecords(group, filter, turns, unreadable)) {
        const { sequence } = record;
        // A cursor can point into a group.
        if (cursor !== undefined && sequence >= cursor) continue;
        if (condition !== undefined) {
          if (left <= 0 && lastTested !== '') return searchedDownTo(sequence + 1, lastTested);
          lastTested = record.time;
          const outcome = condition.outcome(record);
          const known = typeof outcome === 'string' ? outcome : await outcome;
          left -= condition.takeCost();
          if (known === 'erred') erredSinceItem++;
          if (known !== 'met') continue;
        }
        // One more than asked for shows that there is a next page.
        if (items.length === limit) return pageDownTo(items[limit - 1]!.sequence, {});
        items.push(record);
        erred += erredSinceItem;
        erredSinceItem = 0;
      }
    }
    left -= step.cost;
    if (left <= 0 && !step.last) return searchedDownTo(step.before, await timeAt(view, step.unit, step.before));
  }
  erred += erredSinceItem;
  return pageDownTo(0, {});
}

/**
 * Looks at groups that may hold matching records, newest first, a statement or two at a time: those below `start`, and
 * none that was committed after `view` was taken. Files that cannot hold any are not opened.
 */
export async function* scan(
  view: LogView,
  filter: RecordFilter,
  start: number = view.end + 1,
  largestBatch: number = lastBatch,
): AsyncGenerator<Step & { readonly unit: UnitView; readonly last: boolean }> {
  const inTime = view.units.filter((unit) => unit.first < start && mayHoldTimes(unit, filter));
  const without = await view.without(inTime.length > 1 ? filterKeys(filter) : []);
  const units = inTime.filter(({ first }) => !without.has(first));
  let batch = firstBatch;
  for (const unit of units) {
    const isLastUnit = unit === units.at(-1);
    const ranges =
      (await orAround<readonly GroupRange[] | undefined>(
        () => view.read(unit, (connection) => rangesOfTimes(connection, unit, filter)),
        async () => [{ low: unit.first, beyond: unit.last + 1 }],
      )) ?? [];
    let before = Math.min(start, unit.last + 1);
    let unitCosts = unitCost;
    for (const range of ranges) {
      before = Math.min(before, range.beyond);
      const stepBelow = (end: number) =>
        orAround(
          () => view.read(unit, (...file) => stepIn(file, unit, filter, end, range.low, batch)),
          () => stepAround(view, unit, end, range.low),
        );
      let next: Promise<Step | undefined> | undefined;
      while (before > range.low) {
        const step = await (next ?? stepBelow(before));
        next = undefined;
        // The retention removed the file.
        if (step === undefined) break;
        before = step.before;
        const isFarOn = batch >= largestBatch;
        batch = Math.min(batch * 2, largestBatch);
        if (isFarOn && before > range.low) {
          // Who has read so far will read on: the file is read while the groups are looked at.
          next = stepBelow(before);
          next.catch(() => undefined);
        }
        const last = isLastUnit && range === ranges.at(-1) && before <= range.low;
        yield { ...step, cost: step.cost + unitCosts, unit, last };
        unitCosts = 0;
      }
    }
    if (unitCosts > 0) yield { groups: [], before: unit.first, cost: unitCosts, unit, last: isLastUnit };
  }
}

/** Does the one, or the other where what is read turns out to be damaged. */
async function orAround<T>(work: () => Promise<T>, otherwise: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isDamaged(error) || isWithoutIndex(error)) return otherwise();
    throw error;
  }
}

/** Looks at a window of rows one by one, without the index, and says which of them cannot be read. */
async function stepAround(view: LogView, unit: UnitView, before: number, low: number): Promise<Step | undefined> {
  const from = Math.max(low, before - aroundWindow);
  try {
    return await view.read(unit, async (connection, coding) => {
      const { start, groups, damaged } = await readAround(connection, coding, from, before);
      return { groups: groups.reverse(), damaged, before: Math.max(low, Math.min(from, start)), cost: before - from };
    });
  } catch (error) {
    if (!isDamaged(error)) throw error;
    // Not even its first page can be read.
    return { groups: [], damaged: [{ after: low - 1, count: before - low }], before: low, cost: 0 };
  }
}

/** The gaps that damaged pages make, as far as their times are known. */
export function gapsOfDamage(unit: UnitView, damaged: readonly DamagedRange[] = []): StoredGap[] {
  const { since = 0, until = Date.now() } = unit.extent ?? {};
  return damaged.map(({ after, count }) => ({ after, lost: count, since, until, cause: 'file_damaged' }));
}

/** A file of the journal as `LogView.read` gives it. */
type File = readonly [connection: SqliteConnection, coding: GroupCoding];

function stepIn(
  file: File,
  unit: UnitView,
  filter: RecordFilter,
  before: number,
  low: number,
  batch: number,
): Promise<Step> {
  const hasKeys = filter.equal.length > 0;
  if (hasKeys && before <= unit.indexedTo + 1) return stepByIndex(file, filter, before, low, batch);
  const lowest = hasKeys ? Math.max(low, unit.indexedTo + 1) : low;
  return stepThroughJournal(file, filter, before, lowest, batch);
}

/** The record with this id, when `scope` lets it be seen. */
export async function findRecord(view: LogView, id: string, scope: SearchScope): Promise<DecisionRecord | undefined> {
  const milliseconds = idMilliseconds(id);
  if (milliseconds === undefined) return undefined;
  for (const unit of view.units) {
    if (!mayHoldId(unit, milliseconds)) continue;
    const groups = await orAround(
      () => view.read(unit, (...file) => groupsWithId(file, unit, id, milliseconds)),
      () => groupsAround(view, unit, id),
    );
    for (const group of groups ?? []) {
      for (const record of recordsOf(group, [(text) => text.includes(id)], () => undefined)) {
        // Another record may name the id in an attribute.
        if (record.id === id) return maySee(record, scope) ? record : undefined;
      }
    }
  }
  return undefined;
}

/** The same, row by row through a file that is damaged. */
async function groupsAround(view: LogView, unit: UnitView, id: string): Promise<StoredGroup[] | undefined> {
  for (let before = unit.last + 1; before > unit.first; ) {
    const step = await stepAround(view, unit, before, unit.first);
    if (step === undefined) return undefined;
    const found = step.groups.filter(({ records }) => records.includes(`"id":"${id}"`));
    if (found.length > 0) return found;
    before = step.before;
  }
  return [];
}

async function groupsWithId(
  [connection, coding]: File,
  unit: UnitView,
  id: string,
  milliseconds: number,
): Promise<StoredGroup[]> {
  const [condition, times] =
    unit.format === 1
      ? ['since <= ?', [milliseconds]]
      : ['idUntil >= ? AND idSince <= ?', [milliseconds, milliseconds]];
  const found: StoredGroup[] = [];
  for (const { low, beyond } of await rangesOfId(connection, unit, milliseconds)) {
    const groups = await connection.query<CodedRow>(
      `SELECT first, count, records FROM journal.journal
       WHERE first >= ? AND first < ? AND ${condition} ${coding.isPlain ? 'AND instr(records, ?)' : ''} ORDER BY first`,
      [low, beyond, ...times, ...(coding.isPlain ? [`"id":"${id}"`] : [])],
    );
    found.push(...groups.map((row) => coding.decode(row)));
  }
  return found;
}

/** Looks at the journal's newest rows below `before`, but not below `lowest`, by their keys and texts. */
async function stepThroughJournal(
  file: File,
  filter: RecordFilter,
  before: number,
  lowest: number,
  batch: number,
): Promise<Step> {
  const window = readsTexts(filter) ? textWindow : keyWindow;
  const low = Math.max(lowest, before - window);
  const [connection, coding] = file;
  const keys = filterKeys(filter).map((key) => coding.maskKeys(key));
  const { conditions, parameters } = rowConditions(filter, coding);
  const found = await connection.query<GroupSize>(
    `SELECT first, octet_length(records) AS bytes FROM journal.journal WHERE first >= ? AND first < ?
     ${keys.map(() => 'AND instr(keys, ?)').join(' ')} ${conditions} ORDER BY first DESC LIMIT ?`,
    [low, before, ...keys, ...parameters, batch],
  );
  const { groups, end } = await readGroups(file, found);
  const reached = end ?? (found.length < batch ? low : found.at(-1)!.first);
  const passed = before - reached;
  const cost = readsTexts(filter) ? passed : passed / keysPerText + groups.length;
  return { groups, before: reached, cost };
}

/** Looks up the newest groups below `before` that have all keys, and reads them. */
async function stepByIndex(
  file: File,
  filter: RecordFilter,
  before: number,
  lowest: number,
  batch: number,
): Promise<Step> {
  const [connection, coding] = file;
  const { firsts, reached, examined } = await lookUp(
    connection,
    filterKeys(filter).map((key) => coding.maskKeys(key)),
    before,
    lowest,
    batch,
  );
  const { conditions, parameters } = rowConditions(filter, coding);
  const found = await connection.query<GroupSize>(
    `SELECT first, octet_length(records) AS bytes FROM journal.journal
     WHERE first IN (SELECT value FROM json_each(?)) ${conditions} ORDER BY first DESC`,
    [JSON.stringify(firsts), ...parameters],
  );
  const { groups, end } = await readGroups(file, found);
  return { groups, before: end ?? reached, cost: firsts.length * groupCost + examined / keysPerText };
}

interface GroupSize {
  readonly first: number;
  readonly bytes: number;
}

/**
 * Reads the texts of groups, newest first: as many as become strings in a millisecond or two, and one at least. `end` is
 * the sequence at which the last of them begins when that were not all.
 */
async function readGroups(
  [connection, coding]: File,
  found: readonly GroupSize[],
): Promise<{ readonly groups: readonly StoredGroup[]; readonly end: number | undefined }> {
  let bytes = 0;
  const beyond = found.findIndex((group, i) => {
    bytes += group.bytes;
    return i > 0 && bytes > batchBytes;
  });
  const firsts = (beyond === -1 ? found : found.slice(0, beyond)).map(({ first }) => first);
  if (firsts.length === 0) return { groups: [], end: undefined };
  const rows = await connection.query<CodedRow>(
    'SELECT first, count, records FROM journal.journal WHERE first IN (SELECT value FROM json_each(?)) ORDER BY first DESC',
    [JSON.stringify(firsts)],
  );
  const groups = rows.map((row) => coding.decode(row));
  return { groups, end: beyond === -1 ? undefined : firsts.at(-1) };
}

/** Further conditions on a journal row before its texts are read. */
function rowConditions(
  filter: RecordFilter,
  { isPlain }: GroupCoding,
): { conditions: string; parameters: (number | string)[] } {
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
  if (!isPlain) return { conditions: conditions.join(' '), parameters };
  for (const text of scannedTexts(filter)) {
    conditions.push('AND instr(records, ?)');
    parameters.push(text);
  }
  if (filter.q !== undefined) {
    conditions.push(`AND records LIKE ? ESCAPE '\\'`);
    parameters.push(likePattern(filter.q));
  }
  return { conditions: conditions.join(' '), parameters };
}

async function timeAt(view: LogView, unit: UnitView, sequence: number): Promise<string> {
  const rows = await view.read(unit, (connection) =>
    connection.query<{ since: number }>('SELECT since FROM journal.journal WHERE first >= ? ORDER BY first LIMIT 1', [
      sequence,
    ]),
  );
  return new Date(rows?.[0]?.since ?? unit.extent?.since ?? 0).toISOString();
}
