import type { ChangeFeed } from '../../database/postgres/change-feed.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { PostgresTables } from '../../database/postgres/postgres-tables.js';
import { burstPeriods } from '../limit-use.js';
import { type ChargedUses, type LimitCharge, LimitUses } from '../limit-uses.js';
import { authTables } from './auth-tables.js';

/** Longest wait for a row that another replica writes, in milliseconds: less than what a look for changes may take. */
const lockMs = 200;
/** Most rows that one statement removes. */
const mostPruned = 20_000;

interface UseRow {
  readonly counter: string;
  readonly period: number;
  readonly used: number;
  readonly beyond: number;
  readonly asked: number;
  readonly asked_before: number;
  readonly now: number;
}

/**
 * The uses of limits in PostgreSQL: a row a limit and caller. Charges are small and often, so they go by the connection that
 * looks for changes, where no search and no export is before them.
 */
export class PostgresLimitUses extends LimitUses {
  private readonly tables: PostgresTables;
  private readonly table: string;
  private readonly charging: string;
  private isReady = false;

  constructor(
    database: PostgresDatabase,
    private readonly feed: ChangeFeed,
  ) {
    super();
    this.tables = authTables(database);
    this.table = this.tables.name('limit_use');
    this.charging = chargingInto(this.table);
  }

  async prepare(): Promise<void> {
    await this.tables.prepare().catch(() => undefined);
  }

  async charge(charges: readonly LimitCharge[]): Promise<ChargedUses> {
    if (!this.isReady) await this.tables.prepare();
    const counters = charges.map(({ counter }) => counter);
    const rows = await this.feed.query<UseRow>(this.charging, [
      counters.map(({ id }) => id),
      counters.map(({ kind }) => kind),
      charges.map(({ points }) => points),
      charges.map(({ asked }) => asked),
      counters.map(({ rate }) => rate.points),
      counters.map(({ rate }) => rate.burst),
      counters.map(({ rate }) => rate.seconds * 1000),
      counters.map(({ phaseMs }) => phaseMs),
    ]);
    this.isReady = true;
    const uses = rows.map(
      ({ counter, period, used, beyond, asked, asked_before: askedBefore }) =>
        [counter, { period, used, beyond, asked, askedBefore }] as const,
    );
    return { now: rows[0]!.now, uses: new Map(uses) };
  }

  async prune(): Promise<ReadonlyMap<string, number>> {
    // Rows that another replica writes or removes are left to it.
    await this.tables.write(
      `DELETE FROM ${this.table} WHERE counter IN (
         SELECT counter FROM ${this.table} WHERE ends < extract(epoch FROM clock_timestamp()) * 1000
         LIMIT ${mostPruned} FOR UPDATE SKIP LOCKED)`,
    );
    const rows = await this.tables.query<{ kind: string; count: number }>(
      `SELECT kind, count(*) AS count FROM ${this.table} GROUP BY kind`,
    );
    return new Map(rows.map(({ kind, count }) => [kind, count]));
  }
}

/**
 * The statement that counts charges. A row goes on to the period of now as `inPeriod` says; one that another replica has taken
 * on to the next period a moment before stays there, and one of a later time, since the clock was set back, begins again.
 *
 * A new row whose first charge gives points back holds less than nothing, which is read as nothing: the row that is proposed is
 * also what an update adds, so it cannot be cut off there.
 *
 * Rows are locked in the order of their keys, so that statements of replicas do not wait for each other in a circle. What a
 * crash of PostgreSQL loses of the last moment is not worth a write to the disk for each statement.
 */
function chargingInto(table: string): string {
  const ten = (period: string) => `(${period} / ${burstPeriods})`;
  return `WITH set AS MATERIALIZED (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8 AS now,
      set_config('synchronous_commit', 'off', true), set_config('lock_timeout', '${lockMs}', true)
  ), charge AS (
    SELECT given.*, (set.now + phase) / length AS period
    FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int8[])
      AS given (counter, kind, used, asked, points, burst, length, phase), set
  )
  INSERT INTO ${table} AS use (counter, kind, period, points, burst, used, beyond, asked, asked_before, ends)
  SELECT counter, kind, period, points, burst, used, 0, asked, 0,
    greatest(period + 2, CASE WHEN burst > points THEN (${ten('period')} + 1) * ${burstPeriods} ELSE 0 END) * length - phase
  FROM charge ORDER BY counter COLLATE "C"
  ON CONFLICT (counter) DO UPDATE SET (period, points, burst, used, beyond, asked, asked_before, ends) = (
    SELECT CASE WHEN stays THEN use.period ELSE excluded.period END,
      excluded.points,
      excluded.burst,
      greatest(0, excluded.used + CASE WHEN stays THEN greatest(0, use.used)
        WHEN steps = 1 THEN least(use.points, greatest(0, gone - most)) ELSE 0 END),
      CASE WHEN stays THEN use.beyond
        WHEN steps > 0 AND ${ten('excluded.period')} = ${ten('use.period')} THEN least(gone, most) ELSE 0 END,
      greatest(0, excluded.asked + CASE WHEN stays THEN greatest(0, use.asked) ELSE 0 END),
      CASE WHEN stays THEN use.asked_before WHEN steps = 1 THEN greatest(0, use.asked) ELSE 0 END,
      excluded.ends
    FROM (SELECT excluded.period - use.period AS steps,
      excluded.period - use.period IN (0, -1) AS stays,
      use.beyond + greatest(0, use.used - use.points) AS gone,
      use.burst - use.points AS most) AS before
  )
  RETURNING counter, period, greatest(0, used) AS used, beyond, greatest(0, asked) AS asked, asked_before,
    (SELECT now FROM set) AS now`;
}
