import { IsIn, IsOptional } from 'class-validator';
import { DecisionFilters } from './decision-query.js';
import { type Expansion, expansions } from './expansion.js';

export const exportFormats = ['ndjson', 'csv'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** The query string of `GET /v1/decisions/export`. */
export class ExportQuery extends DecisionFilters {
  /** `ndjson`: a record a line, as `GET /v1/decisions/{id}` gives it; `csv`: a table for spreadsheets. */
  @IsOptional()
  @IsIn(exportFormats)
  readonly format?: ExportFormat;

  /** As that of `ReadQuery`. */
  @IsOptional()
  @IsIn(expansions)
  readonly expand?: Expansion;

  /**
   * `true`: all records, the oldest first, with what proves them: salts, checkpoints, and the hashes of records that the filters leave
   * out. It wants the scope for all policy sets, and goes without `format=csv`, `filter` and `expand`.
   */
  @IsOptional()
  @IsIn(['true'])
  readonly proof?: 'true';
}
