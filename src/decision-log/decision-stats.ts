import { Transform } from 'class-transformer';
import { IsIn, IsOptional } from 'class-validator';
import { VerdictError } from '../core/errors.js';
import { CountedFilters } from './decision-query.js';
import type { SearchScope } from './record-filter.js';
import { type TallyField, type TallyRow, tallyFields } from './tally.js';
import { readTimeRange } from './time-range.js';
import type { TopField, TopIds } from './top-ids.js';

const buckets = { minute: 1, hour: 60, day: 1_440 } as const;
type Bucket = keyof typeof buckets;

/** More rows than this are nobody's chart. */
const rowLimit = 10_000;

/** The query string of `GET /v1/decisions/stats`; its times are rounded to whole minutes, outwards. */
export class StatsQuery extends CountedFilters {
  /** Counts per minute, hour or day (UTC); without it one count for the whole time. */
  @IsOptional()
  @IsIn(Object.keys(buckets))
  readonly bucket?: Bucket;

  /** Fields to count by, separated by commas: policySet, policyVersion, decision, reason, caller. */
  @IsOptional()
  @Transform(({ value }) => (typeof value === 'string' ? value.split(',') : value))
  @IsIn(tallyFields, { each: true })
  readonly by?: readonly TallyField[];

  /** Also the ids that the newest of these decisions are about most often. */
  @IsOptional()
  @IsIn(['subject', 'resource'])
  readonly top?: TopField;
}

export type StatsItem = { readonly time?: string; readonly count: number } & {
  readonly [field in TallyField]?: string;
};

export interface DecisionStats {
  /** In order of time, then the most frequent first. */
  readonly items: readonly StatsItem[];
  readonly total: number;
  /** Given where `top` asks for it. */
  readonly top?: TopIds;
}

/** The minutes that a query is about; throws VerdictError `invalid_request` for a time that is none. */
export function statsRange(query: StatsQuery): { readonly from: number; readonly to: number } {
  const { from, to } = readTimeRange(query);
  return {
    from: from === undefined ? 0 : Math.floor(from / 60_000),
    to: to === undefined ? Number.MAX_SAFE_INTEGER : Math.ceil(to / 60_000),
  };
}

/** Adds the counts up as the query asks. Throws VerdictError `invalid_request` when that would be too many rows. */
export function summarise(rows: Iterable<TallyRow>, query: StatsQuery, scope: SearchScope): DecisionStats {
  const minutes = query.bucket === undefined ? undefined : buckets[query.bucket];
  const by = query.by ?? [];
  const items = new Map<string, StatsItem>();
  let total = 0;
  for (const row of rows) {
    if (scope.policySets !== undefined && !scope.policySets.includes(row.policySet)) continue;
    if (tallyFields.some((field) => query[field] !== undefined && query[field] !== row[field])) continue;
    total += row.count;
    const start = minutes === undefined ? undefined : Math.floor(row.minute / minutes) * minutes;
    const key = JSON.stringify([start, ...by.map((field) => row[field])]);
    const count = (items.get(key)?.count ?? 0) + row.count;
    const values = Object.fromEntries(by.map((field) => [field, row[field]]));
    items.set(key, {
      ...(start !== undefined && { time: new Date(start * 60_000).toISOString() }),
      ...values,
      count,
    });
    if (items.size > rowLimit) throw tooManyRows();
  }
  const sorted = [...items].sort(
    ([keyA, a], [keyB, b]) => compareText(a.time ?? '', b.time ?? '') || b.count - a.count || compareText(keyA, keyB),
  );
  return { items: sorted.map(([, item]) => item), total };
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function tooManyRows(): VerdictError {
  const detail = `gives more than ${rowLimit} rows; ask for less time, fewer fields or a longer bucket`;
  return new VerdictError('invalid_request', `The query ${detail}.`, { errors: [{ pointer: '/bucket', detail }] });
}
