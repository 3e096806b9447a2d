/**
 * Folds the counts that replicas shipped (1764400000002-shared-tally.ts) into those that questions read. However many
 * callers there are, they stay few: the log keeps `names` values of a field apart and a period has `rows` rows in full; what
 * comes beyond is counted without these values. All of it happens in the database, so the event loop sees none of the rows.
 */
import type { PostgresClient, PostgresStatements } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { StandingOrders } from '../erasure/standing-orders.js';
import type { KeyedIndex } from '../keyed-index.js';
import { inJson } from '../record-filter.js';
import { namedFields, type TallyField, tallyFields } from '../tally.js';
import { dayMinutes, levelMinutes, openFields } from '../tally-question.js';
import { columnOf, nameOf } from './tally-delta.js';

export interface SharedTallyLimits {
  /** Most values of a field that are kept apart. */
  readonly names: number;
  /** Most rows in full of a period, by level. As many again may lack the caller alone. */
  readonly rows: readonly [minute: number, quarter: number, day: number];
}

/** A fleet has more of everything than a replica, whose files have limits of their own. */
const sharedTallyLimits: SharedTallyLimits = { names: 2_000, rows: [512, 1_024, 4_096] };

/** Deltas that wait before a step folds them: to add as many up takes a question a few milliseconds. */
const deltasOfStep = 4_096;
/** Most deltas that one step folds: a fraction of a second. */
const mostDeltas = 32_768;
/** Rows that one statement forgets. */
const rowsForgotten = 50_000;

/** Bytes of the table of deltas from which on it is vacuumed: every question reads all of it, this much in some milliseconds. */
const tidiedBytes = 8 * 1024 * 1024;
/**
 * Shortest time from one vacuum to the next, in seconds, and seconds for each byte of the table: where a transaction of
 * somebody else keeps the old rows, a vacuum reads them all and removes nothing.
 */
const tidyEverySeconds = 10;
const tidySecondsOfByte = 1e-7;

/** The levels of which rows tell sets and decisions apart and nothing else, in the place of the levels in full. */
export const briefLevels = [3, 4, undefined] as const;

/** The columns of `tally` that say what is counted. */
const columns = tallyFields.map(columnOf);
const rowColumns = ['period', ...columns].join(', ');

export class TallyJob {
  constructor(
    private readonly database: PostgresDatabase,
    private readonly limits: SharedTallyLimits = sharedTallyLimits,
  ) {}

  /**
   * Folds some deltas if many wait, or if any does with `force`; says whether it did. Another replica may be about it: then
   * it does nothing. Whatever ends it, nothing is lost or counted twice.
   */
  async step(force = false): Promise<boolean> {
    const { database } = this;
    return database.transaction(
      async (client) => {
        const [held] = await client.query<{ held: boolean }>(
          'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS held',
          [this.lock],
        );
        if (!held!.held) return false;
        const [waiting] = await client.query<{ deltas: number; last: number | null }>(
          `SELECT count(*) AS deltas, max(id) AS last FROM (
             SELECT id FROM ${database.table('tally_delta')} ORDER BY id LIMIT ${mostDeltas}) d`,
        );
        const { deltas, last } = waiting!;
        if (last === null || (deltas < deltasOfStep && !force)) return false;
        await this.fold(client, last);
        return true;
      },
      // All statements see the same deltas. One that is shipped meanwhile may have a lower id, and stays.
      { snapshot: true },
    );
  }

  /**
   * Gives back the space of folded deltas, if it is much and was not tried a moment ago; says whether it did. It keeps nobody
   * waiting who ships or asks. Autovacuum does the same, but later, and not where it is off.
   */
  async tidy(): Promise<boolean> {
    const { database } = this;
    const table = database.table('tally_delta');
    const [due] = await database.query<{ due: boolean }>(
      `SELECT pg_has_role(relowner, 'USAGE') AND bytes > ${tidiedBytes}
         AND coalesce(now() > vacuumed + interval '1 second' * (${tidyEverySeconds} + bytes * ${tidySecondsOfByte}), true) AS due
       FROM (SELECT relowner, pg_relation_size(oid) AS bytes,
           greatest(pg_stat_get_last_vacuum_time(oid), pg_stat_get_last_autovacuum_time(oid)) AS vacuumed
         FROM pg_class WHERE oid = $1::regclass) t`,
      [table],
    );
    if (!due!.due) return false;
    // It may take longer than a statement of the pool, and cannot run in a transaction.
    const client = await database.connect({ answerTimeoutMs: 0 });
    try {
      await client.query(`VACUUM (SKIP_LOCKED) ${table}`);
    } finally {
      await client.close();
    }
    return true;
  }

  /**
   * Forgets what was counted before a UTC day (since 1970), some at a time: after the day's partitions were dropped. After
   * a crash the next call does what is left.
   *
   * @param held days before it that stay
   */
  async forget(day: number, held: readonly number[] = []): Promise<void> {
    const { database } = this;
    const table = database.table('tally');
    const exclusively = (statement: string, parameters: readonly (number | readonly number[])[]) =>
      database.transaction(async (client) => {
        await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [this.lock]);
        return client.write(statement, parameters);
      });
    await exclusively(
      `DELETE FROM ${database.table('tally_delta')} WHERE minute < $1 AND minute / ${dayMinutes} <> ALL ($2::int8[])`,
      [day * dayMinutes, held],
    );
    const levels = [...levelMinutes.keys(), ...briefLevels.filter((level) => level !== undefined)];
    for (const level of levels) {
      const before = (day * dayMinutes) / minutesOf(level);
      for (;;) {
        const deleted = await exclusively(
          `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM ${table} WHERE level = $1 AND period < $2
               AND period / ${dayMinutes / minutesOf(level)} <> ALL ($3::int8[]) LIMIT ${rowsForgotten}))`,
          [level, before, held],
        );
        if (deleted < rowsForgotten) break;
      }
    }
  }

  /**
   * Counts the decisions of callers who are erased under another name, as far as their orders go; says whether there were any. A
   * period in which an order was made counts as a whole.
   *
   * @param erased the other name
   * @param index what hides names; left out where none is hidden
   */
  async erase(standing: StandingOrders, erased: string, index?: KeyedIndex): Promise<boolean> {
    const { database } = this;
    const table = (name: string) => database.table(name);
    return database.transaction(async (client) => {
      await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [this.lock]);
      const callers = await client.query<{ name: string }>(
        `SELECT name FROM ${table('tally_name')} WHERE field = 'caller' UNION SELECT caller FROM ${table('tally_delta')}`,
      );
      let found = false;
      for (const { name } of callers) {
        const shown = index?.showName(nameOf(name)) ?? nameOf(name);
        const order = standing.latestAbout(shown);
        if (order === undefined) continue;
        const marker = inJson(index !== undefined && shown !== nameOf(name) ? index.hideName(erased) : erased);
        found = true;
        const last = Math.floor(order.time / 60_000);
        await client.write(`UPDATE ${table('tally_delta')} SET caller = $1 WHERE caller = $2 AND minute <= $3`, [
          marker,
          name,
          last,
        ]);
        await this.rename(client, 'caller', name, marker, last);
      }
      return found;
    });
  }

  /** Hides the names that were counted in clear. */
  async hideNames(index: KeyedIndex): Promise<void> {
    const { database } = this;
    await database.transaction(async (client) => {
      await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [this.lock]);
      for (const field of namedFields) {
        const column = columnOf(field);
        const names = await client.query<{ name: string }>(
          `SELECT name FROM ${database.table('tally_name')} WHERE field = $1
           UNION SELECT ${column} FROM ${database.table('tally_delta')}`,
          [field],
        );
        for (const { name } of names) {
          const plain = nameOf(name);
          if (index.showName(plain) !== plain) continue;
          const hidden = inJson(index.hideName(plain));
          await client.write(`UPDATE ${database.table('tally_delta')} SET ${column} = $1 WHERE ${column} = $2`, [
            hidden,
            name,
          ]);
          await this.rename(client, field, name, hidden, Number.MAX_SAFE_INTEGER);
        }
      }
    });
  }

  /** @param last the last minute (since 1970) */
  private async rename(
    client: PostgresClient,
    field: TallyField,
    name: string,
    marker: string,
    last: number,
  ): Promise<void> {
    const column = columnOf(field);
    const table = (each: string) => this.database.table(each);
    const [before] = await client.query<{ id: number }>(
      `SELECT id FROM ${table('tally_name')} WHERE field = $1 AND name = $2`,
      [field, name],
    );
    if (before === undefined) return;
    const isAll = last === Number.MAX_SAFE_INTEGER;
    if (isAll && (await this.renameAll(client, field, before.id, marker))) return;
    await client.write(
      `INSERT INTO ${table('tally_name')} (field, digest, name) VALUES ($2, ${digestSql('$1::text')}, $1)
       ON CONFLICT (field, digest) DO NOTHING`,
      [marker, field],
    );
    const others = ['level', 'period', ...columns.filter((each) => each !== column)].join(', ');
    const levels = [...levelMinutes.keys(), ...briefLevels.filter((level) => level !== undefined)];
    for (const level of levels) {
      await client.write(
        `WITH moved AS (
           DELETE FROM ${table('tally')} WHERE level = $1 AND ${column} = $2 AND period <= $3 RETURNING ${others}, count)
         INSERT INTO ${table('tally')} AS t (${others}, ${column}, count)
         SELECT ${others}, (SELECT id FROM ${table('tally_name')} WHERE field = $5 AND name = $4), count FROM moved
         ON CONFLICT (level, ${rowColumns}) DO UPDATE SET count = t.count + excluded.count`,
        [level, before.id, isAll ? 2 ** 31 - 1 : Math.floor(last / minutesOf(level)), marker, field],
      );
    }
    await client.write(
      `DELETE FROM ${table('tally_name')} WHERE id = $1 AND NOT EXISTS (SELECT FROM ${table('tally')} WHERE ${column} = $1)`,
      [before.id],
    );
  }

  /** Gives a name another text where nothing was counted under that; says whether it did. */
  private async renameAll(client: PostgresClient, field: TallyField, id: number, marker: string): Promise<boolean> {
    const table = this.database.table('tally_name');
    const renamed = await client.write(
      `UPDATE ${table} SET name = $2, digest = ${digestSql('$2::text')} WHERE id = $1
         AND NOT EXISTS (SELECT FROM ${table} n WHERE n.field = $3 AND n.digest = ${digestSql('$2::text')})`,
      [id, marker, field],
    );
    return renamed > 0;
  }

  private get lock(): string {
    return `verdict tallies of ${this.database.schema}`;
  }

  private async fold(client: PostgresClient, last: number): Promise<void> {
    let { rows, unknown } = await this.rowsOf(client, last);
    if (unknown.length > 0) {
      for (const field of unknown) await this.addNames(client, field, last);
      ({ rows } = await this.rowsOf(client, last));
    }
    for (const level of levelMinutes.keys()) await this.addLevel(client, level, rows);
    for (const level of briefLevels) if (level !== undefined) await this.addBriefLevel(client, level, rows);
    await client.write(`DELETE FROM ${this.database.table('tally_delta')} WHERE id <= $1`, [last]);
  }

  /** The most frequent first, so that a crowd of names that come once does not displace them. */
  private async addNames(client: PostgresClient, field: TallyField, last: number): Promise<void> {
    const table = this.database.table('tally_name');
    const known = `SELECT FROM ${table} n WHERE n.field = '${field}'`;
    const left = openFields.includes(field)
      ? `(SELECT greatest(0, ${this.limits.names} - count(*)) FROM ${table} n WHERE n.field = '${field}')`
      : 'ALL';
    await client.write(
      `INSERT INTO ${table} (field, digest, name)
       SELECT '${field}', ${digestSql('name')}, name FROM (
         SELECT ${columnOf(field)} AS name, sum(count) AS total
         FROM ${this.database.table('tally_delta')} WHERE id <= $1 GROUP BY 1) d
       WHERE NOT EXISTS (${known} AND n.name = d.name)
       ORDER BY total DESC, name COLLATE "C" LIMIT ${left}`,
      [last],
    );
  }

  /**
   * The deltas by minute and ids: a text for each column, which goes back to the database as it came. `unknown`: the
   * fields that have values without an id.
   */
  private async rowsOf(
    client: PostgresClient,
    last: number,
  ): Promise<{ readonly rows: readonly string[]; readonly unknown: readonly TallyField[] }> {
    const { database } = this;
    const names = tallyFields.map((field) => {
      const name = `${columnOf(field)}_name`;
      return `LEFT JOIN ${database.table('tally_name')} ${name}
        ON ${name}.field = '${field}' AND ${name}.name = d.${columnOf(field)}`;
    });
    const ids = columns.map((column) => `coalesce(${column}_name.id, 0) AS ${column}`);
    const texts = ['minute', ...columns, 'count'].map((column) => `array_agg(${column})::text AS ${column}`);
    const unknown = columns.map((column) => `bool_or(${column} = 0) AS has_unknown_${column}`);
    const [row] = await client.query<Record<string, string | boolean>>(
      `SELECT ${[...texts, ...unknown].join(', ')} FROM (
         SELECT d.minute, ${ids.join(', ')}, sum(d.count) AS count FROM ${database.table('tally_delta')} d ${names.join(' ')}
         WHERE d.id <= $1 GROUP BY ${ordinals(1 + columns.length)}) r`,
      [last],
    );
    return {
      rows: ['minute', ...columns, 'count'].map((column) => String(row![column])),
      unknown: tallyFields.filter((field) => row![`has_unknown_${columnOf(field)}`] === true),
    };
  }

  /** Adds to a level whose rows tell sets and decisions apart and nothing else. */
  private async addBriefLevel(client: PostgresClient, level: number, rows: readonly string[]): Promise<void> {
    await client.write(
      `WITH r AS (SELECT minute / ${minutesOf(level)} AS period, ${columns.join(', ')}, count FROM ${unnestedRows})
       INSERT INTO ${this.database.table('tally')} AS t (level, ${rowColumns}, count)
       SELECT ${level}, f.* FROM (${folded(openFields)} FROM r GROUP BY ${ordinals(1 + columns.length)}) f
       ON CONFLICT (level, ${rowColumns}) DO UPDATE SET count = t.count + excluded.count`,
      rows,
    );
  }

  /** Adds to a level: in full while the period has room, then without the caller, then by set and decision. */
  private async addLevel(client: PostgresClient, level: number, rows: readonly string[]): Promise<void> {
    const table = this.database.table('tally');
    const limit = this.limits.rows[level]!;
    const sameRow = ['period', ...columns].map((column) => `t.${column} = i.${column}`).join(' AND ');
    // LATERAL, since a look-up for each row is faster than any other plan, and does not depend on what is known of the table.
    const known = (from: string) =>
      `SELECT i.*, t.there IS NOT NULL AS is_known FROM ${from} i LEFT JOIN LATERAL (
         SELECT true AS there FROM ${table} t WHERE t.level = ${level} AND ${sameRow} LIMIT 1) t ON true`;
    const order = `ORDER BY count DESC, ${columns.join(', ')}`;
    const place = `row_number() OVER (PARTITION BY k.period, is_known ${order})`;
    const groups = ordinals(1 + columns.length);
    await client.write(
      `WITH incoming AS MATERIALIZED (
         SELECT minute / ${levelMinutes[level]} AS period, ${columns.join(', ')}, sum(count) AS count
         FROM ${unnestedRows} GROUP BY ${groups}),
       known AS (${known('incoming')}),
       present AS MATERIALIZED (
         SELECT period, (SELECT count(*) FROM ${table} t WHERE t.level = ${level} AND t.period = k.period) AS rows
         FROM (SELECT DISTINCT period FROM incoming) k),
       placed AS MATERIALIZED (SELECT k.*, p.rows + ${place} AS place FROM known k JOIN present p USING (period)),
       new_rows AS (
         SELECT period, count(*) AS rows FROM placed WHERE NOT is_known AND place <= ${limit} GROUP BY period),
       callerless AS MATERIALIZED (
         ${folded(['caller'])} FROM placed WHERE NOT is_known AND place > ${limit} GROUP BY ${groups}),
       known_callerless AS (${known('callerless')}),
       placed_callerless AS MATERIALIZED (
         SELECT k.*, p.rows + coalesce(n.rows, 0) + ${place} AS place
         FROM known_callerless k JOIN present p USING (period) LEFT JOIN new_rows n USING (period)),
       added AS (
         SELECT ${rowColumns}, count FROM placed WHERE is_known OR place <= ${limit}
         UNION ALL
         SELECT ${rowColumns}, count FROM placed_callerless WHERE is_known OR place <= ${2 * limit}
         UNION ALL
         ${folded(openFields)} FROM placed_callerless WHERE NOT is_known AND place > ${2 * limit} GROUP BY ${groups})
       INSERT INTO ${table} AS t (level, ${rowColumns}, count)
       SELECT ${level}, ${rowColumns}, sum(count) FROM added GROUP BY ${rowColumns}
       ON CONFLICT (level, ${rowColumns}) DO UPDATE SET count = t.count + excluded.count`,
      rows,
    );
  }
}

/** The number of decisions of each UTC day (since 1970) that the log counts, oldest first. */
export async function decisionsByDay(
  client: PostgresStatements,
  table: (name: string) => string,
): Promise<{ readonly day: number; readonly count: number }[]> {
  return client.query(
    `SELECT day::int, sum(count)::int8 AS count FROM (
       SELECT period AS day, count FROM ${table('tally')} WHERE level = ${levelMinutes.length - 1}
       UNION ALL
       SELECT minute / ${dayMinutes}, count FROM ${table('tally_delta')}) d
     GROUP BY day ORDER BY day`,
  );
}

/** What `UNIQUE (field, digest)` compares. */
function digestSql(name: string): string {
  return `sha256(convert_to(${name}, 'UTF8'))`;
}

/** The rows that `rowsOf` gave, as the parameters of a statement. */
const unnestedRows = `unnest($1::int[], ${columns.map((_, i) => `$${i + 2}::int[]`).join(', ')}, $${columns.length + 2}::int8[])
  AS d(minute, ${columns.join(', ')}, count)`;

/** Length of the periods of a level, in minutes. */
function minutesOf(level: number): number {
  return levelMinutes[level] ?? levelMinutes[briefLevels.indexOf(level as 3)]!;
}

/** Rows whose values of the fields are forgotten: those that agree in the others become one. */
function folded(fields: readonly TallyField[]): string {
  const kept = tallyFields.map((field) => `${fields.includes(field) ? '0' : columnOf(field)} AS ${columnOf(field)}`);
  return `SELECT period, ${kept.join(', ')}, sum(count) AS count`;
}

/** `1, 2, 3`: the first columns of a result. */
function ordinals(count: number): string {
  return Array.from({ length: count }, (_, i) => i + 1).join(', ');
}
