/** Reads the counts that the index keeps: one statement a file, whose result comes in pieces. */

import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { type OffsetRun, offsetRuns } from '../../query/zone-offsets.js';
import { Turns } from '../../turns/turns.js';
import type { GroupCoding } from '../group-coding.js';
import { namedFields, type TallyField, tallyFields } from '../tally.js';
import { dayMinutes, partsOf, startOf, type TallyGroup, type TallyQuestion } from '../tally-question.js';

/** The event loop takes this many groups at a time: a fraction of a millisecond. */
const groupsAtOnce = 500;

/**
 * Hands the groups of a file to `take`, some at a time; returns the last sequence that they count. All groups are of one
 * moment. When there are more than `limit` groups, it hands over one more than that and leaves out the rest.
 */
export async function readTallies(
  connection: SqliteConnection,
  coding: GroupCoding,
  question: TallyQuestion,
  limit: number,
  take: (groups: TallyGroup[]) => void,
): Promise<number> {
  const { bucket, by } = question;
  const runs = bucket === undefined ? [] : await runsOf(connection, question);
  const parts = partsOf(question, runs);
  const { conditions, parameters, uncertain } = filterSql(question, coding);
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
      read.map(([begins, isUncertain, count, ...stored]) => {
        const start = startOf(begins, question, runs);
        const values = coding.isPlain ? stored : stored.map((value, i) => shownName(value, by[i]!, coding));
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

/** In which bucket a row is: a day by its number in the zone, anything shorter by the minute at which it begins. */
function startSql(bucket: number | undefined): string {
  if (bucket === undefined) return '0';
  const local = '(t.period * part.minutes + part.offset)';
  if (bucket === dayMinutes) return `${local} / ${dayMinutes}`;
  return `max(part.start, ${local} / ${bucket} * ${bucket} - part.offset)`;
}

function shownName(value: string | null, field: TallyField, coding: GroupCoding): string | null {
  return value === null || !namedFields.includes(field) ? value : coding.showName(value);
}

function filterSql({ filters, policySets }: TallyQuestion, coding: GroupCoding) {
  const conditions: string[] = [];
  const parameters: string[] = [];
  const unkept: string[] = [];
  for (const field of tallyFields) {
    const value = filters[field];
    if (value === undefined) continue;
    conditions.push(`AND t.${field} IN (0, (SELECT id FROM tally_name WHERE field = '${field}' AND name = ?))`);
    parameters.push(namedFields.includes(field) ? coding.hideName(value) : value);
    unkept.push(`t.${field} = 0`);
  }
  if (policySets !== undefined) {
    conditions.push(
      `AND t.policySet IN (SELECT id FROM tally_name WHERE field = 'policySet' AND name IN (SELECT value FROM json_each(?)))`,
    );
    parameters.push(JSON.stringify(policySets.map((name) => coding.hideName(name))));
  }
  return { conditions, parameters, uncertain: unkept.length === 0 ? '0' : `(${unkept.join(' OR ')})` };
}
