import { csvGapRow, csvHeader, csvRow } from './decision-csv.js';
import type { DecisionRecord } from './decision-record.js';
import type { ExportFormat } from './export-query.js';
import type { LogGap } from './log-gap.js';
import { gapForSome, recordForSome, type SeenGap, type SeenRecord } from './partial-view.js';
import type { SearchScope } from './record-filter.js';

/** How the parts of an export are written. */
export interface ExportTexts {
  /** Text before the first part; may be empty. */
  readonly header: string;
  readonly record: (record: DecisionRecord) => string;
  readonly gap: (gap: LogGap) => string;
}

/** The texts of a format. A caller who may read some policy sets alone sees less in them. */
export function exportTextsOf(format: ExportFormat, { policySets }: SearchScope): ExportTexts {
  const rows =
    format === 'csv'
      ? { header: csvHeader, record: csvRow, gap: csvGapRow }
      : { header: '', record: (record: SeenRecord) => line(record), gap: (gap: SeenGap) => line({ gap }) };
  if (policySets === undefined) return rows;
  const { header, record, gap } = rows;
  return { header, record: (each) => record(recordForSome(each)), gap: (each) => gap(gapForSome(each)) };
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}
