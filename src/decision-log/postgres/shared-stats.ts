import type { PostgresClient, PostgresValue } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { type OffsetRun, offsetRuns } from '../../query/zone-offsets.js';
import { Turns } from '../../turns/turns.js';
import { DecisionCounts, NameBounds } from '../decision-counts.js';
import type { DecisionStats } from '../decision-stats.js';
import type { KeyedIndex } from '../keyed-index.js';
import { inJson, type SearchScope } from '../record-filter.js';
import { statsOf } from '../stats-answer.js';
import type { StatsQuery } from '../stats-query.js';
import { namedFields, type TallyField, type TallyRow, tallyFields } from '../tally.js';
import {
  cover,
  dayMinutes,
  openFields,
  partsOf,
  startOf,
  type TallyGroup,
  type TallyPart,
  type TallyQuestion,
  tallyQuestionOf,
} from '../tally-question.js';
import { SharedKeys } from './shared-keys.js';
import { briefLevels } from './shared-tally.js';
import { columnOf, nameOf } from './tally-delta.js';

/** The counts of what a replica has and PostgreSQL has not. */
export interface UnshippedCounts {
  /** Number of its writer; undefined while PostgreSQL has not given one. */
  readonly writer: number | undefined;
  /** The counts of its records with sequences beyond `after`, some rows at a time. */
  rows(after: number): AsyncIterable<readonly TallyRow[]> | Iterable<readonly TallyRow[]>;
}

/** Values of a field that a replica's own newest records may bring. */
const ownNames = 1_000;
/** The event loop takes this many groups at a time: a fraction of a millisecond. */
const groupsAtOnce = 500;

/**
 * Answers a question on all records, as they were at one moment: what is folded (shared-tally.ts), what is shipped and not
 * yet folded, and what this replica has not shipped yet.
 *
 * @throws VerdictError `invalid_request` for a time, day or zone that does not exist, and for an answer of too many rows
 * @throws DatabaseError
 */
export async function sharedStats(
  database: PostgresDatabase,
  query: StatsQuery,
  scope: SearchScope = {},
  unshipped?: UnshippedCounts,
  keys = SharedKeys.none,
): Promise<DecisionStats> {
  const question = tallyQuestionOf(query, scope);
  const counts = new DecisionCounts(question);
  const shipped = await database.transaction(
    async (client) => {
      const table = (name: string) => database.table(name);
      const reader = new TallyReader(client, table, counts, await keys.indexOf({ client, table }));
      await reader.read();
      return reader.shipped(unshipped?.writer);
    },
    { snapshot: true, readOnly: true },
  );
  if (unshipped !== undefined) {
    const names = new NameBounds(ownNames);
    for await (const rows of unshipped.rows(shipped)) await counts.addRows(rows, names);
  }
  return statsOf(counts, question.by);
}

/** A row of a result: the fields of `by` are names, as they are stored. */
type GroupRow = { readonly bucket: number; readonly uncertain: boolean; readonly total: number } & {
  readonly [column: string]: string | null;
};

/** Reads the counts of PostgreSQL within one transaction. */
class TallyReader {
  private readonly question: TallyQuestion;
  private runs: readonly OffsetRun[] = [];

  constructor(
    private readonly client: PostgresClient,
    private readonly table: (name: string) => string,
    private readonly counts: DecisionCounts,
    /** What hides names; undefined where none is hidden. */
    private readonly index: KeyedIndex | undefined,
  ) {
    this.question = counts.question;
  }

  async read(): Promise<void> {
    if (this.question.bucket !== undefined) this.runs = await this.readRuns();
    await this.addGroups(await this.folded());
    await this.addGroups(await this.waiting());
  }

  /** The last sequence of a writer that is shipped. */
  async shipped(writer: number | undefined): Promise<number> {
    if (writer === undefined) return 0;
    const [row] = await this.client.query<{ shipped: number }>(
      `SELECT shipped FROM ${this.table('decision_writer')} WHERE writer = $1`,
      [writer],
    );
    return row?.shipped ?? 0;
  }

  /** The offsets of the zone's clocks over the minutes that are counted, and a day more on either side. */
  private async readRuns(): Promise<OffsetRun[]> {
    const { from, to, zone } = this.question;
    const minutes = (order: string) =>
      `SELECT minute FROM (
         (SELECT period AS minute FROM ${this.table('tally')} WHERE level = 0 AND period >= $1::int8 AND period < $2::int8
          ORDER BY period ${order} LIMIT 1)
         UNION ALL
         (SELECT minute FROM ${this.table('tally_delta')} WHERE minute >= $1::int8 AND minute < $2::int8
          ORDER BY minute ${order} LIMIT 1)) m
       ORDER BY minute ${order} LIMIT 1`;
    const [bounds] = await this.client.query<{ low: number | null; high: number | null }>(
      `SELECT (${minutes('ASC')}) AS low, (${minutes('DESC')}) AS high`,
      [from, to],
    );
    const low = bounds?.low ?? 0;
    return offsetRuns(zone, Math.max(0, low - 2 * dayMinutes), (bounds?.high ?? low) + dayMinutes);
  }

  private async folded(): Promise<GroupRow[]> {
    const { bucket, by, policySets } = this.question;
    const { filters, sets } = await this.readIds();
    // No record of a filter's set, or of those that may be seen, has been folded.
    if (policySets !== undefined && sets.length === 0) return [];
    const sql = new Parameters();
    const conditions = [...filters].map(([field, ids]) => `AND t.${columnOf(field)} = ANY (${sql.add(ids)}::int[])`);
    if (policySets !== undefined) conditions.push(`AND t.policy_set = ANY (${sql.add(sets)}::int[])`);
    const unkept = [...filters.keys()].map((field) => `t.${columnOf(field)} = 0`);
    const uncertain = unkept.length === 0 ? 'false' : `(${unkept.join(' OR ')})`;
    const columns = by.map(columnOf);
    // A statement for each part, so that it is planned by what the part has.
    const parts = partsOf(this.question, this.runs).map((part) => {
      const start = startSql(bucket, part, `t.period * ${part.minutes}`);
      return `SELECT ${[`${start} AS bucket`, `${uncertain} AS uncertain`, ...columns.map((column) => `t.${column}`)].join(', ')}, t.count
        FROM ${this.table('tally')} t WHERE t.level = ${this.levelOf(part)} AND t.period >= ${sql.add(part.from)}::int8
          AND t.period < ${sql.add(part.to)}::int8 ${conditions.join(' ')}`;
    });
    if (parts.length === 0) return [];
    const names = columns.map(
      (column) => `(SELECT name FROM ${this.table('tally_name')} WHERE id = g.${column}) AS ${column}`,
    );
    return this.client.query<GroupRow>(
      `SELECT ${['g.bucket', 'g.uncertain', 'g.total', ...names].join(', ')} FROM (
         SELECT ${['bucket', 'uncertain', ...columns].join(', ')}, sum(count)::int8 AS total
         FROM (${parts.join(' UNION ALL ')}) p GROUP BY ${['bucket', 'uncertain', ...columns].join(', ')}
         LIMIT ${this.counts.limit + 1}) g`,
      sql.values,
    );
  }

  /** The level that a part is read from: with few rows where these say all that is asked. */
  private levelOf({ level }: TallyPart): number {
    const { by, filters } = this.question;
    const isBrief = openFields.every((field) => !by.includes(field) && filters[field] === undefined);
    return (isBrief ? briefLevels[level] : undefined) ?? level;
  }

  /** What is shipped and not yet folded. */
  private async waiting(): Promise<GroupRow[]> {
    const { from, to, bucket, by, policySets } = this.question;
    const sql = new Parameters();
    const filters = givenFilters(this.question);
    const conditions = filters.map(
      ([field, value]) => `AND d.${columnOf(field)} = ANY (${sql.add(this.stored(field, value))}::text[])`,
    );
    if (policySets !== undefined)
      conditions.push(
        `AND d.policy_set = ANY (${sql.add(policySets.flatMap((name) => this.stored('policySet', name)))}::text[])`,
      );
    const columns = by.map(columnOf);
    const runs = bucket === undefined ? [{ start: 0, offset: 0 }] : this.runs;
    const parts = runs.flatMap(({ start, offset }, i) => {
      const low = i === 0 ? from : Math.max(from, start);
      const high = Math.min(to, runs[i + 1]?.start ?? to);
      return cover({ from: low, to: high, offset, start: i === 0 ? 0 : start }, [1]);
    });
    if (parts.length === 0) return [];
    const selected = parts.map((part) => {
      const bucketSql = startSql(bucket, part, 'd.minute');
      return `SELECT ${[`${bucketSql} AS bucket`, ...columns.map((column) => `d.${column}`)].join(', ')}, d.count
        FROM ${this.table('tally_delta')} d
        WHERE d.minute >= ${sql.add(part.from)}::int8 AND d.minute < ${sql.add(part.to)}::int8 ${conditions.join(' ')}`;
    });
    return this.client.query<GroupRow>(
      `SELECT ${['bucket', 'false AS uncertain', ...columns].join(', ')}, sum(count)::int8 AS total
       FROM (${selected.join(' UNION ALL ')}) p GROUP BY ${['bucket', ...columns].join(', ')}
       LIMIT ${this.counts.limit + 1}`,
      sql.values,
    );
  }

  /** The ids that the filters and the scope leave: of a filter also 0, for a value that may have been one not kept apart. */
  private async readIds(): Promise<{ readonly filters: Map<TallyField, number[]>; readonly sets: number[] }> {
    const { policySets } = this.question;
    const given = givenFilters(this.question);
    const filters = new Map(given.map(([field]) => [field, [0]]));
    const sets: number[] = [];
    const wanted = [
      ...given.flatMap(([field, value]) =>
        this.stored(field, value).map((name) => ({ field, name, ids: filters.get(field)! })),
      ),
      ...(policySets ?? []).flatMap((value) =>
        this.stored('policySet', value).map((name) => ({ field: 'policySet' as const, name, ids: sets })),
      ),
    ];
    if (wanted.length === 0) return { filters, sets };
    const rows = await this.client.query<{ place: number; id: number }>(
      `SELECT w.place::int, n.id FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w(field, name, place)
       JOIN ${this.table('tally_name')} n ON n.field = w.field AND n.digest = sha256(convert_to(w.name, 'UTF8'))`,
      [wanted.map(({ field }) => field), wanted.map(({ name }) => name)],
    );
    for (const { place, id } of rows) wanted[place - 1]!.ids.push(id);
    return { filters, sets };
  }

  /** How a value stands in the counts: in an encrypted log there are also those from before it was. */
  private stored(field: TallyField, value: string): string[] {
    const hidden = this.index?.hideValue(field, value) ?? value;
    return hidden === value ? [inJson(value)] : [inJson(value), inJson(hidden)];
  }

  private shown(field: TallyField, stored: string | null): string | null {
    if (stored === null) return null;
    const name = nameOf(stored);
    return this.index !== undefined && namedFields.includes(field) ? this.index.showName(name) : name;
  }

  private async addGroups(rows: readonly GroupRow[]): Promise<void> {
    const { by } = this.question;
    const take = this.counts.part();
    const turns = new Turns();
    for (let i = 0; i < rows.length; i += groupsAtOnce) {
      if (turns.isOver) await turns.next();
      take(
        rows.slice(i, i + groupsAtOnce).map((row): TallyGroup => {
          const values = by.map((field) => this.shown(field, row[columnOf(field)]!));
          const start = startOf(row.bucket, this.question, this.runs);
          return { start, values, isUncertain: row.uncertain, count: row.total };
        }),
      );
    }
  }
}

/** The values of a statement, in the order of their places. */
class Parameters {
  readonly values: PostgresValue[] = [];

  /** Returns the place: `$1`. */
  add(value: PostgresValue): string {
    return `$${this.values.push(value)}`;
  }
}

function givenFilters({ filters }: TallyQuestion): [TallyField, string][] {
  return tallyFields.flatMap((field) => (filters[field] === undefined ? [] : [[field, filters[field]]]));
}

/** In which bucket a row is: a day by its number in the zone, anything shorter by the minute at which it begins. */
function startSql(bucket: number | undefined, { offset, start }: TallyPart, minute: string): string {
  if (bucket === undefined) return '0';
  const local = `(${minute} + ${offset})`;
  if (bucket === dayMinutes) return `${local} / ${dayMinutes}`;
  return `greatest(${start}, ${local} / ${bucket} * ${bucket} - ${offset})`;
}
