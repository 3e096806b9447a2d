import { csvTexts } from './decision-csv.js';
import type { DecisionRecord } from './decision-record.js';
import type { ExportQuery } from './export-query.js';
import type { LogGap } from './log-gap.js';
import { gapForSome, recordForSome, type SeenGap, type SeenRecord } from './partial-view.js';
import type { SearchScope } from './record-filter.js';

/** How the parts of an export are written. */
export interface ExportTexts {
  /** Text before the first part; may be empty. */
  readonly header: string;
  readonly record: (record: DecisionRecord) => string;
  readonly gap: (gap: LogGap) => string;
  /** The last part: how many records the query's condition could say nothing of. */
  readonly erred: (count: number) => string;
}

/** The texts of a format. A caller who may read some policy sets alone sees less in them. */
export function exportTextsOf({ format, expand }: ExportQuery, { policySets }: SearchScope): ExportTexts {
  const { header, record, gap, erred } = format === 'csv' ? csvTexts(expand) : ndjsonTexts;
  if (policySets === undefined) return { header, record, gap, erred };
  return { header, record: (each) => record(recordForSome(each)), gap: (each) => gap(gapForSome(each)), erred };
}

const ndjsonTexts = {
  header: '',
  record: (record: SeenRecord) => line(record),
  gap: (gap: SeenGap) => line({ gap }),
  erred: (erred: number) => line({ erred }),
};

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
