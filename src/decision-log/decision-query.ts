import { IsIn, IsOptional } from 'class-validator';
import { invalidParameter } from '../errors.js';
import { OptionalCount } from '../query/query-number.js';
import { OptionalName, OptionalText } from '../query/query-text.js';
import { TimeRangeQuery } from '../query/time-range.js';
import { type Expansion, expansions } from './expansion.js';
import { longestCondition } from './record-condition.js';

const defaultLimit = 50;
export const maxLimit = 1_000;

/** The filters on what decisions are counted by. Exact and case-sensitive, whatever their text holds; all must match. */
export class CountedFilters extends TimeRangeQuery {
  @OptionalName(256)
  readonly policySet?: string;

  @OptionalName(256)
  readonly policyVersion?: string;

  @IsOptional()
  @IsIn(['allow', 'deny'])
  readonly decision?: string;

  /** The reason's code. */
  @OptionalName(256)
  readonly reason?: string;

  @OptionalName(1_024)
  readonly caller?: string;
}

/** Which records a query is about: filters as above, and on what is in the record alone. */
export class DecisionFilters extends CountedFilters {
  // Records of version 0.1 may have control characters in these three.
  /** Id of the subject. */
  @OptionalText(1_024)
  readonly subject?: string;

  /** Name of the action. */
  @OptionalText(1_024)
  readonly action?: string;

  /** Id of the resource. */
  @OptionalText(1_024)
  readonly resource?: string;

  @OptionalText(1_024)
  readonly requestId?: string;

  /** The trace that the request belonged to (W3C `traceparent`): 32 hexadecimal digits. */
  @OptionalName(64)
  readonly traceId?: string;

  /** The name of the instance that answered. */
  @OptionalName(256)
  readonly instance?: string;

  /** Type of the subject, as the request had it. */
  @OptionalText(1_024)
  readonly subjectType?: string;

  /** Type of the resource, as the request had it. */
  @OptionalText(1_024)
  readonly resourceType?: string;

  /** The door it came through: `decide`, `batch`, `authzen`, `local`… */
  @OptionalName(256)
  readonly via?: string;

  /** An obligation of the answer: its text, its `id` or `type`, or the name of one of its members. */
  @OptionalText(1_024)
  readonly obligation?: string;

  /** `true`: decisions of clients that say they gave another answer than the service finds. */
  @IsOptional()
  @IsIn(['true'])
  readonly disputed?: string;

  /** A text within an id, the reason or an attribute; A–Z match in either case. */
  @OptionalText(256)
  readonly q?: string;

  /**
   * Id of a person, or of anything else: records whose subject or resource has it, and those in which another value is equal to it. It is
   * what an erasure of the id would change.
   */
  @OptionalText(1_024)
  readonly about?: string;

  /** A condition in the language of matchers over the record as resolved (record-condition.ts). */
  @OptionalText(longestCondition)
  readonly filter?: string;
}

/** The query string of `GET /v1/decisions`. */
export class DecisionQuery extends DecisionFilters {
  /** Where the page before ended: its `nextCursor`, with the same filters. */
  @OptionalText(256)
  readonly cursor?: string;

  /** Most records of a page. */
  @OptionalCount(maxLimit)
  readonly limit?: number;

  /** As that of `ReadQuery`. */
  @IsOptional()
  @IsIn(expansions)
  readonly expand?: Expansion;
}

/** Most records of the page that is asked for. Throws VerdictError `invalid_request` for a limit that is not one. */
export function limitOf({ limit = defaultLimit }: DecisionQuery): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= maxLimit) return limit;
  throw invalidParameter('limit', `is not a whole number from 1 to ${maxLimit}`);
}
