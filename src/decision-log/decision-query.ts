import { Transform } from 'class-transformer';
import { IsIn, IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';

export const defaultLimit = 50;
export const maxLimit = 1_000;

/** Which records a query is about. Filters are exact and case-sensitive, whatever their text holds; all must match. */
export class DecisionFilters {
  /** Id of the subject. */
  @IsOptional()
  @IsString()
  @MaxLength(1_024)
  readonly subject?: string;

  /** Name of the action. */
  @IsOptional()
  @IsString()
  @MaxLength(1_024)
  readonly action?: string;

  /** Id of the resource. */
  @IsOptional()
  @IsString()
  @MaxLength(1_024)
  readonly resource?: string;

  @IsOptional()
  @IsIn(['allow', 'deny'])
  readonly decision?: string;

  /** The reason's code. */
  @IsOptional()
  @IsString()
  @MaxLength(256)
  readonly reason?: string;

  @IsOptional()
  @IsString()
  @MaxLength(256)
  readonly policySet?: string;

  @IsOptional()
  @IsString()
  @MaxLength(256)
  readonly policyVersion?: string;

  @IsOptional()
  @IsString()
  @MaxLength(1_024)
  readonly caller?: string;

  @IsOptional()
  @IsString()
  @MaxLength(1_024)
  readonly requestId?: string;

  /** Only records from this time on (RFC 3339). */
  @IsOptional()
  @IsString()
  @MaxLength(64)
  readonly from?: string;

  /** Only records before this time (RFC 3339). */
  @IsOptional()
  @IsString()
  @MaxLength(64)
  readonly to?: string;

  /** A text within an id, the reason or an attribute; A–Z match in either case. */
  @IsOptional()
  @IsString()
  @MaxLength(256)
  readonly q?: string;
}

/** The query string of `GET /v1/decisions`. */
export class DecisionQuery extends DecisionFilters {
  /** Where the page before ended: its `nextCursor`, with the same filters. */
  @IsOptional()
  @IsString()
  @MaxLength(256)
  readonly cursor?: string;

  /** How many records a page holds at most. */
  @IsOptional()
  @Transform(({ value }) => (typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value))
  @IsInt()
  @Min(1)
  @Max(maxLimit)
  readonly limit?: number;
}
