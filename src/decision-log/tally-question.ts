/** What is asked of the counts that a store keeps by minute, quarter of an hour and day, and what it answers. */
import { readTimeRange } from '../query/time-range.js';
import type { TimeZone } from '../query/time-zone.js';
import { type OffsetRun, startOfDayIn } from '../query/zone-offsets.js';
import type { SearchScope } from './record-filter.js';
import { bucketMinutes, type StatsQuery } from './stats-query.js';
import type { TallyField } from './tally.js';

/** Length of the periods of a level, in minutes. */
export const levelMinutes = [1, 15, 1_440] as const;

/** Fields whose values nobody bounds. A policy set is what a caller's scope goes by, so its counts are always exact. */
export const openFields: readonly TallyField[] = ['policyVersion', 'reason', 'caller'];

/** Minutes of a day. */
export const dayMinutes = bucketMinutes.day;

/** The counts that are asked for. */
export interface TallyQuestion {
  /** Minutes since 1970, `to` excluded. */
  readonly from: number;
  readonly to: number;
  /** Length of the buckets in minutes; undefined for one count of the whole time. */
  readonly bucket: number | undefined;
  readonly zone: TimeZone;
  readonly by: readonly TallyField[];
  readonly filters: { readonly [field in TallyField]?: string };
  /** The policy sets that may be seen; undefined for all. */
  readonly policySets: readonly string[] | undefined;
}

/** A count of decisions that agree in what was asked. */
export interface TallyGroup {
  /** Minute at which the bucket begins; undefined where no buckets were asked for. */
  readonly start: number | undefined;
  /** In the order of `by`; null for values that are not kept apart. */
  readonly values: readonly (string | null)[];
  /** True if a filter is on a field whose value was not kept, so that some of these records may match. */
  readonly isUncertain: boolean;
  readonly count: number;
}

/** A run of periods of one level, and how far clocks are from UTC in it. */
export interface TallyPart {
  readonly level: number;
  /** Length of the level's periods. */
  readonly minutes: number;
  readonly from: number;
  readonly to: number;
  readonly offset: number;
  /** Minute before which no bucket shorter than a day begins: clocks were changed. */
  readonly start: number;
}

/** Throws VerdictError `invalid_request` for a time, day or zone that does not exist. */
export function tallyQuestionOf(query: StatsQuery, scope: SearchScope): TallyQuestion {
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

/** Which periods of which level have the whole range, every minute once, and none that two buckets share. */
export function partsOf({ from, to, bucket }: TallyQuestion, runs: readonly OffsetRun[]): TallyPart[] {
  if (bucket === undefined) return cover({ from, to, offset: 0, start: 0 }, levelMinutes);
  return runs.flatMap(({ start, offset }, i) => {
    // What is counted after the runs were read lies in the last one: it reaches to the end, as the first to the beginning.
    const low = i === 0 ? from : Math.max(from, start);
    const high = Math.min(to, runs[i + 1]?.start ?? to);
    const levels = levelMinutes.filter((minutes) => bucket % minutes === 0 && offset % minutes === 0);
    return cover({ from: low, to: high, offset, start: i === 0 ? 0 : start }, levels);
  });
}

/** Covers a run of minutes with as few periods as there can be: the longest within, shorter ones at both ends. */
export function cover(run: Omit<TallyPart, 'level' | 'minutes'>, levels: readonly number[]): TallyPart[] {
  const { from, to, offset, start } = run;
  if (from >= to) return [];
  const minutes = levels.at(-1)!;
  const part = { level: levelMinutes.indexOf(minutes as 1), minutes, offset, start };
  if (minutes === 1) return [{ ...part, from, to }];
  const low = Math.ceil(from / minutes) * minutes;
  const high = Math.floor(to / minutes) * minutes;
  const shorter = levels.slice(0, -1);
  if (low >= high) return cover(run, shorter);
  return [
    ...cover({ ...run, to: low }, shorter),
    { ...part, from: low / minutes, to: high / minutes },
    ...cover({ ...run, from: high }, shorter),
  ];
}

/** The minute at which a bucket begins that SQL gave: a day by its number in the zone, anything shorter by that minute. */
export function startOf(bucketed: number, { bucket }: TallyQuestion, runs: readonly OffsetRun[]): number | undefined {
  if (bucket === undefined) return undefined;
  return bucket === dayMinutes ? startOfDayIn(runs, bucketed) : bucketed;
}
