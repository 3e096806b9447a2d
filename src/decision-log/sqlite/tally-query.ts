/** Reads the counts that the index keeps: one statement a file, whose result comes in pieces. */

import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { TimeZone } from '../../query/time-zone.js';
import { type OffsetRun, offsetRuns, startOfDayIn } from '../../query/zone-offsets.js';
import { Turns } from '../../turns/turns.js';
import { type TallyField, tallyFields } from '../tally.js';
import { levelMinutes } from './tally-table.js';

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

/** The event loop takes this many groups at a time: a fraction of a millisecond. */
const groupsAtOnce = 500;
const dayMinutes = 1_440;

/** A run of periods of one level, and how far clocks are from UTC in it. */
interface Part {
  readonly level: number;
  /** Length of the level's periods. */
  readonly minutes: number;
  readonly from: number;
  readonly to: number;
  readonly offset: number;
  /** Minute before which no bucket shorter than a day begins: clocks were changed. */
  readonly start: number;
}

/**
 * Hands the groups of a file to `take`, some at a time; returns the last sequence that they count. All groups are of one
 * moment. When there are more than `limit` groups, it hands over one more than that and leaves out the rest.
 */
export async function readTallies(
  connection: SqliteConnection,
  question: TallyQuestion,
  limit: number,
  take: (groups: TallyGroup[]) => void,
): Promise<number> {
  const { bucket, by } = question;
  const runs = bucket === undefined ? [] : await runsOf(connection, question);
  const parts = partsOf(question, runs);
  const { conditions, parameters, uncertain } = filterSql(question);
  const start = startSql(bucket);
  const columns = by.map((field) => `t.${field} AS ${field}`);
  const names = by.map((field) => `(SELECT name FROM tally_name WHERE id = g.${field})`);
  const rows = await connection.query<{ counted: number; groups: string | null }>(
    `WITH part AS MATERIALIZED (
       SELECT value ->> 'level' AS level, value ->> 'minutes' AS minutes, value ->> 'from' AS low, value ->> 'to' AS high,
         value ->> 'offset' AS offset, value ->> 'start' AS start
       FROM json_each(?)),
     g AS (
       SELECT ${[`${start} AS bucket`, `${uncertain} AS uncertain`, ...columns].join(', ')}, sum(t.count) AS total
       FROM part CROSS JOIN tally t
       WHERE t.level = part.level AND t.period >= part.low AND t.period < part.high ${conditions.join(' ')}
       GROUP BY ${['bucket', 'uncertain', ...by].join(', ')} LIMIT ?)
     SELECT (SELECT last FROM counted) AS counted, (SELECT NULL) AS groups
     UNION ALL
     SELECT NULL, json_group_array(json_array(${['bucket', 'uncertain', 'total', ...names].join(', ')}))
     FROM (SELECT *, row_number() OVER () AS place FROM g) g GROUP BY place / ${groupsAtOnce}`,
    [JSON.stringify(parts), ...parameters, limit + 1],
  );
  const turns = new Turns();
  for (const { groups } of rows.slice(1)) {
    if (turns.isOver) await turns.next();
    const read = JSON.parse(groups!) as [number, number, number, ...(string | null)[]][];
    take(
      read.map(([begins, isUncertain, count, ...values]) => {
        const start = startOf(begins, question, runs);
        return { start, values, isUncertain: isUncertain === 1, count };
      }),
    );
  }
  return rows[0]!.counted;
}

/** The offsets of the zone's clocks over the minutes that are counted, and a day more on either side. */
async function runsOf(connection: SqliteConnection, { from, to, zone }: TallyQuestion): Promise<OffsetRun[]> {
  const [lowest] = await connection.query<{ period: number }>(
    'SELECT period FROM tally WHERE level = 0 AND period >= ? ORDER BY period LIMIT 1',
    [from],
  );
  const [highest] = await connection.query<{ period: number }>(
    'SELECT period FROM tally WHERE level = 0 AND period < ? ORDER BY period DESC LIMIT 1',
    [to],
  );
  const low = lowest?.period ?? 0;
  return offsetRuns(zone, Math.max(0, low - 2 * dayMinutes), (highest?.period ?? low) + dayMinutes);
}

/** Which periods of which level have the whole range, every minute once, and none that two buckets share. */
function partsOf({ from, to, bucket }: TallyQuestion, runs: readonly OffsetRun[]): Part[] {
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
function cover(run: Omit<Part, 'level' | 'minutes'>, levels: readonly number[]): Part[] {
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

/** In which bucket a row is: a day by its number in the zone, anything shorter by the minute at which it begins. */
function startSql(bucket: number | undefined): string {
  if (bucket === undefined) return '0';
  const local = '(t.period * part.minutes + part.offset)';
  if (bucket === dayMinutes) return `${local} / ${dayMinutes}`;
  return `max(part.start, ${local} / ${bucket} * ${bucket} - part.offset)`;
}

function startOf(bucketed: number, { bucket }: TallyQuestion, runs: readonly OffsetRun[]): number | undefined {
  if (bucket === undefined) return undefined;
  return bucket === dayMinutes ? startOfDayIn(runs, bucketed) : bucketed;
}

function filterSql({ filters, policySets }: TallyQuestion) {
  const conditions: string[] = [];
  const parameters: string[] = [];
  const unkept: string[] = [];
  for (const field of tallyFields) {
    const value = filters[field];
    if (value === undefined) continue;
    conditions.push(`AND t.${field} IN (0, (SELECT id FROM tally_name WHERE field = '${field}' AND name = ?))`);
    parameters.push(value);
    unkept.push(`t.${field} = 0`);
  }
  if (policySets !== undefined) {
    conditions.push(
      `AND t.policySet IN (SELECT id FROM tally_name WHERE field = 'policySet' AND name IN (SELECT value FROM json_each(?)))`,
    );
    parameters.push(JSON.stringify(policySets));
  }
  return { conditions, parameters, uncertain: unkept.length === 0 ? '0' : `(${unkept.join(' OR ')})` };
}
