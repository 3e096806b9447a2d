import { IsIn, IsOptional } from 'class-validator';

/** What records can be shown with beside what is stored of them. */
export const expansions = ['resolved'] as const;
export type Expansion = (typeof expansions)[number];

/** The query string of `GET /v1/decisions/{id}`. */
export class ReadQuery {
  /** `resolved`: with subject, action and resource as the evaluation saw them. */
  @IsOptional()
  @IsIn(expansions)
  readonly expand?: Expansion;
}
