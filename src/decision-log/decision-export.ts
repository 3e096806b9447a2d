import { setTimeout as delay } from 'node:timers/promises';
import { IsIn, IsOptional } from 'class-validator';
import { csvHeader, csvRow } from './decision-csv.js';
import { DecisionFilters } from './decision-query.js';
import { type LogView, scan } from './decision-search.js';
import { matchingRecords, readFilter, type SearchScope } from './record-filter.js';

export const exportFormats = ['ndjson', 'csv'] as const;

/** The query string of `GET /v1/decisions/export`. */
export class ExportQuery extends DecisionFilters {
  /** `ndjson`: a record a line, as `GET /v1/decisions/{id}` gives it; `csv`: a table for spreadsheets. */
  @IsOptional()
  @IsIn(exportFormats)
  readonly format?: (typeof exportFormats)[number];
}

/** An export may use about a quarter of the event loop: it has time, decisions do not. */
const turnMs = 1;
const pauseMs = 3;
/** What a statement returns becomes strings in one go; so many groups are half a megabyte and less than a millisecond. */
const groupsAtOnce = 4;

/**
 * The text of all records that match, newest first, in pieces of a group at most. Statements are short, so that no read
 * keeps the WAL from being written back, and other work gets its turn between pieces; memory does not grow. What is
 * committed later is not in it. Throws VerdictError `invalid_request` before the first piece.
 */
export function exportRecords(
  view: LogView | Promise<LogView>,
  query: ExportQuery,
  scope: SearchScope,
): AsyncGenerator<string> {
  // Whoever reads the pieces hears of it; until somebody does, it must not end the process.
  Promise.resolve(view).catch(() => undefined);
  return pieces(view, readFilter(query, scope), query.format ?? 'ndjson');
}

async function* pieces(
  viewed: LogView | Promise<LogView>,
  filter: ReturnType<typeof readFilter>,
  format: 'ndjson' | 'csv',
): AsyncGenerator<string> {
  if (format === 'csv') yield csvHeader;
  const view = await viewed;
  if (view.connection === undefined) return;
  let turnEnds = performance.now() + turnMs;
  for await (const { groups } of scan(view.connection, view, filter, undefined, groupsAtOnce)) {
    for (const group of groups) {
      let piece = '';
      for (const record of matchingRecords(group, filter)) {
        piece += format === 'csv' ? csvRow(record) : `${JSON.stringify(record)}\n`;
      }
      if (piece !== '') yield piece;
      if (performance.now() > turnEnds) {
        await delay(pauseMs);
        turnEnds = performance.now() + turnMs;
      }
    }
  }
}
