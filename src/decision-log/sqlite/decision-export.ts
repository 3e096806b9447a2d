import { Turns } from '../../turns/turns.js';
import { ConditionTest } from '../condition-test.js';
import type { ExportQuery } from '../export-query.js';
import { exportTextsOf } from '../export-texts.js';
import { gapsWithin, type LogGap } from '../log-gap.js';
import { matchingRecords, type RecordFilter, readFilter, type SearchScope } from '../record-filter.js';
import { expandedRecord } from '../recorded-entities.js';
import type { DamagedRange } from './damaged-rows.js';
import { gapsOfDamage, scan } from './decision-search.js';
import type { LogView } from './log-view.js';
import { oldestRow, removedSince } from './removed-records.js';

/** An export has time, decisions do not: it waits this long before each turn, of which most take a millisecond. */
const pauseMs = 3;
/** Groups that one statement returns: they become strings at once, half a megabyte in less than a millisecond. */
const groupsAtOnce = 4;

/**
 * The text of all records that match, newest first, in pieces of a group at most. Statements are short, so that no read
 * keeps the WAL from being written back, and other work gets its turn between pieces; memory does not grow. What is
 * committed later is not in it. Where records are missing (mode `async`), a line `{"gap": …}` or a row says so, whatever
 * the filters: they may have been among what matches. Throws VerdictError `invalid_request` before the first piece.
 */
export function exportRecords(
  view: LogView | Promise<LogView>,
  query: ExportQuery,
  scope: SearchScope,
): AsyncGenerator<string> {
  // The reader of the pieces gets the error. Until there is one, the error must not end the process.
  Promise.resolve(view).catch(() => undefined);
  const filter = readFilter(query, scope);
  const condition = ConditionTest.of(query, scope);
  return pieces(view, condition?.narrowed(filter) ?? filter, query, scope, condition);
}

async function* pieces(
  viewed: LogView | Promise<LogView>,
  filter: RecordFilter,
  query: ExportQuery,
  scope: SearchScope,
  condition: ConditionTest | undefined,
): AsyncGenerator<string> {
  const { header, record: recordText, gap: gapText, erred: erredText } = exportTextsOf(query, scope);
  if (header !== '') yield header;
  const view = await viewed;
  const turns = new Turns(pauseMs);
  let erred = 0;
  const range = { from: 0, before: view.end + 1, times: filter };
  const oldest = await oldestRow(view);
  const gaps = await view.gaps(range);
  for await (const { groups, before, unit, damaged } of scan(view, filter, undefined, groupsAtOnce)) {
    const note = (found: readonly DamagedRange[]) => {
      gaps.push(...gapsWithin(gapsOfDamage(unit, found), range));
      gaps.sort((a, b) => b.after - a.after);
    };
    if (damaged !== undefined) note(damaged);
    const unreadable = (sequence: number) => note([{ after: sequence - 1, count: 1 }]);
    for (const group of groups) {
      let piece = '';
      for await (const record of matchingRecords(group, filter, turns, unreadable)) {
        if (condition !== undefined) {
          const outcome = await condition.outcome(record);
          if (outcome === 'erred') erred++;
          if (outcome !== 'met') continue;
        }
        piece += takeGaps(gaps, record.sequence).map(gapText).join('');
        piece += recordText(await expandedRecord(record, query, scope.versions));
      }
      if (piece !== '') yield piece;
      if (turns.isOver) await turns.next();
    }
    const passed = takeGaps(gaps, before);
    if (passed.length > 0) yield passed.map(gapText).join('');
  }
  gaps.push(...(await removedSince(view, oldest, range)));
  if (gaps.length > 0) yield gaps.map(gapText).join('');
  if (erred > 0) yield erredText(erred);
}

/** Removes those that lie after the record with this sequence or a later one. */
function takeGaps(gaps: LogGap[], from: number): LogGap[] {
  const older = gaps.findIndex(({ after }) => after < from);
  return gaps.splice(0, older === -1 ? gaps.length : older);
}
