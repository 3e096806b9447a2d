import { Transform } from 'class-transformer';
import { ArrayUnique, IsIn, IsOptional } from 'class-validator';
import { readTimeRange } from '../../query/time-range.js';
import { CountedFilters } from '../decision-query.js';
import type { SearchScope } from '../record-filter.js';
import { type TallyField, tallyFields } from '../tally.js';
import { sortInTurns, Turns } from '../turns.js';
import type { DecisionCounts } from './decision-counts.js';
import type { TallyGroup, TallyQuestion } from './tally-query.js';
import type { TopField, TopIds } from './top-ids.js';

const bucketMinutes = { minute: 1, hour: 60, day: 1_440 } as const;
type Bucket = keyof typeof bucketMinutes;

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

export type StatsItem = {
  /** When the bucket begins. */
  readonly time?: string;
  readonly count: number;
  /** Fields of `by` that are missing here, since their values were too many to be kept apart: the count is of all those. */
  readonly other?: readonly TallyField[];
} & { readonly [field in TallyField]?: string };

export interface DecisionStats {
  /** In order of time, then the most frequent first. */
  readonly items: readonly StatsItem[];
  readonly total: number;
  /**
   * Decisions that are not in `total` and may belong there: they pass all filters but one on a field whose values were too
   * many to be kept apart. Not given when there are none.
   */
  readonly uncertain?: number;
  /** Given while counts are being made anew: some decisions since `countedTo` are missing here. */
  readonly complete?: false;
  readonly countedTo?: string;
  /** Given where `top` asks for it. */
  readonly top?: TopIds;
}

/** Throws VerdictError `invalid_request` for a time, day or zone that does not exist. */
export function questionOf(query: StatsQuery, scope: SearchScope): TallyQuestion {
  const { from, to, zone } = readTimeRange(query);
  const { policySet, policyVersion, decision, reason, caller } = query;
  return {
    from: from === undefined ? 0 : Math.floor(from / 60_000),
    to: to === undefined ? Number.MAX_SAFE_INTEGER : Math.ceil(to / 60_000),
    bucket: query.bucket === undefined ? undefined : bucketMinutes[query.bucket],
    zone,
    by: query.by ?? [],
    filters: { policySet, policyVersion, decision, reason, caller },
    policySets: scope.policySets,
  };
}

/** The answer of what was counted; `countedTo` (milliseconds since 1970) where not all was. */
export async function statsOf(
  counts: DecisionCounts,
  by: readonly TallyField[],
  countedTo?: number,
): Promise<DecisionStats> {
  const turns = new Turns();
  const items: StatsItem[] = [];
  for (const groups of counts.buckets()) {
    for (const group of await sortInTurns(groups, compareGroups, turns)) {
      items.push(itemOf(group, by));
      if (turns.isOver) await turns.next();
    }
  }
  return {
    items,
    total: counts.total,
    ...(counts.uncertain > 0 && { uncertain: counts.uncertain }),
    ...(countedTo !== undefined && { complete: false, countedTo: new Date(countedTo).toISOString() }),
  };
}

function itemOf({ start, values, count }: TallyGroup, by: readonly TallyField[]): StatsItem {
  const known = by.flatMap((field, i) => (values[i] === null ? [] : [[field, values[i]]]));
  const other = by.filter((_, i) => values[i] === null);
  return {
    ...(start !== undefined && { time: new Date(start * 60_000).toISOString() }),
    ...Object.fromEntries(known),
    ...(other.length > 0 && { other }),
    count,
  };
}

/** The most frequent first; then in order of the values, of which those that are not kept apart come last. */
function compareGroups(a: TallyGroup, b: TallyGroup): number {
  return b.count - a.count || compareValues(a.values, b.values);
}

function compareValues(a: TallyGroup['values'], b: TallyGroup['values']): number {
  for (const [i, value] of a.entries()) {
    const other = b[i]!;
    if (value !== other) return other === null || (value !== null && value < other) ? -1 : 1;
  }
  return 0;
}
