/** What `/v1/holds` takes: the class is the type and the validation. */
import { ArrayMaxSize, ArrayMinSize, IsArray, IsString, MaxLength, MinLength } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import { plainTextPattern } from '../core/names.js';
import { mostReason } from '../decision-log/plain-text.js';
import { isPlain, Meets, Optional } from '../http/request-rules.js';
import { OptionalCount } from '../query/query-number.js';
import { OptionalText } from '../query/query-text.js';
import { isTimeOrDay, timeOrDay } from '../query/time-range.js';
import { TimeZone } from '../query/time-zone.js';

const mostSets = 100;

export class CreateHoldRequest {
  /** Records of these policy sets. Left out: of all. */
  @Optional()
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(mostSets)
  @IsString({ each: true })
  @Meets(areNames, 'must be names without control characters')
  @JSONSchema({ items: { type: 'string', pattern: plainTextPattern } })
  readonly policySets?: readonly string[];

  /** Records from this time on: RFC 3339, or a day such as `2026-03-03`, which is its 00:00 in `tz`. */
  @Optional()
  @IsString()
  @MaxLength(64)
  @Meets(isTimeOrDay, 'must be a time such as 2026-11-21T18:30:00Z or a day such as 2026-11-21')
  @JSONSchema({ anyOf: timeOrDay })
  readonly from?: string;

  /** Records before this time (RFC 3339), or up to the end of this day in `tz`. Left out: also those that are to come. */
  @Optional()
  @IsString()
  @MaxLength(64)
  @Meets(isTimeOrDay, 'must be a time such as 2026-11-21T18:30:00Z or a day such as 2026-11-21')
  @JSONSchema({ anyOf: timeOrDay })
  readonly to?: string;

  /** The time zone of days, by its IANA name: `Europe/Zurich`. Without it days are those of UTC. */
  @Optional()
  @IsString()
  @MaxLength(64)
  @Meets(isZone, 'must be a time zone such as Europe/Zurich')
  @JSONSchema({ $ref: '#/components/schemas/TimeZone' })
  readonly tz?: string;

  @IsString()
  @MinLength(1)
  @MaxLength(mostReason)
  @Meets(isPlain, 'must not hold control characters')
  @JSONSchema({ pattern: plainTextPattern })
  readonly reason!: string;
}

/** The query string of `GET /v1/holds`. */
export class HoldsQuery {
  /** `nextCursor` of the page before. */
  @OptionalText(128)
  readonly cursor?: string;

  /** Most holds of a page (50). */
  @OptionalCount(1_000)
  readonly limit?: number;
}

function isZone(value: string): boolean {
  return TimeZone.named(value) !== undefined;
}

function areNames(value: unknown): boolean {
  return Array.isArray(value) && value.every(isPlain);
}
