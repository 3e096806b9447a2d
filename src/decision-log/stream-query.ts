import { IsIn, IsOptional } from 'class-validator';
import { DecisionFilters } from './decision-query.js';
import { type Expansion, expansions } from './expansion.js';

/** The query string of `GET /v1/decisions/stream`. */
export class StreamQuery extends DecisionFilters {
  /** As that of `ReadQuery`. */
  @IsOptional()
  @IsIn(expansions)
  readonly expand?: Expansion;
}
