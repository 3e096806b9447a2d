import { Transform } from 'class-transformer';
import { ArrayUnique, IsIn, IsOptional } from 'class-validator';
import { CountedFilters } from './decision-query.js';
import { type TallyField, tallyFields } from './tally.js';

/** The lengths of the buckets that decisions can be counted by, in minutes. */
export const bucketMinutes = { minute: 1, hour: 60, day: 1_440 } as const;
type Bucket = keyof typeof bucketMinutes;

/** The fields of which the most frequent ids can be asked for. */
export type TopField = 'subject' | 'resource';

/** The query string of `GET /v1/decisions/stats`; its times are rounded to whole minutes, outwards. */
export class StatsQuery extends CountedFilters {
  /** Counts per minute, hour or day of the zone `tz`; without it one count for the whole time. */
  @IsOptional()
  @IsIn(Object.keys(bucketMinutes))
  readonly bucket?: Bucket;

  /** Fields to count by, separated by commas: policySet, policyVersion, decision, reason, caller. */
  @IsOptional()
  @Transform(({ value }) => (typeof value === 'string' ? value.split(',') : value))
  @IsIn(tallyFields, { each: true })
  @ArrayUnique()
  readonly by?: readonly TallyField[];

  /** Also the ids that the newest of these decisions are about most often. */
  @IsOptional()
  @IsIn(['subject', 'resource'])
  readonly top?: TopField;
}
