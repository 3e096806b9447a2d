import { DatabaseError } from '../../database/database-error.js';
import type { PostgresClient } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { dayMs } from '../../query/time-zone.js';

/** Longest wait for a lock on a table that was detached, in milliseconds. */
const lockTimeoutMs = 200;
/** Days that are made in advance. */
const daysAhead = 2;
/** A clock may be wrong, but not without end: days that are not between the oldest kept one and `daysAhead`. */
const strangeDays = 64;

/** Tables with a partition for each UTC day. */
export const tablesByDay = ['decision_group', 'key_page'] as const;

/** A day has too many strange ones beside it to get a partition. */
export class StrangeDay extends Error {
  override readonly name = 'StrangeDay';
}

/**
 * The partitions of the shared log: one for each UTC day, of each table in `tablesByDay`. Making and dropping them waits
 * for nobody who reads: a new one is made beside the table and attached, an old one detached concurrently and dropped
 * (anything else waits for every open export, and all others wait behind it). There is no default partition: with one,
 * none can be detached concurrently.
 */
export class DayPartitions {
  private readonly known = new Set<number>();

  constructor(private readonly database: PostgresDatabase) {}

  /** Makes partitions for these days (since 1970), where they are not there, and for today and the next two. */
  async ensure(client: PostgresClient, days: Iterable<number>): Promise<void> {
    const today = Math.floor(Date.now() / dayMs);
    const needed = new Set(days);
    const wanted = new Set([...needed, ...Array.from({ length: daysAhead + 1 }, (_, i) => today + i)]);
    const missing = [...wanted].filter((day) => !this.known.has(day));
    if (missing.length === 0) return;
    const there = await this.days(client);
    for (const day of await this.wholeDays(client)) this.known.add(day);
    for (const day of missing.filter((each) => !this.known.has(each)).sort((a, b) => a - b)) {
      const isStrange = (each: number) => each > today + daysAhead || each < today - 1;
      if (isStrange(day) && there.filter((each) => each > today + daysAhead).length >= strangeDays) {
        throw new StrangeDay(
          `the log has ${strangeDays} days in the future; one more, ${dayName(day)}, is not made: look at the clocks`,
        );
      }
      if (await this.make(client, day, needed.has(day))) this.known.add(day);
    }
  }

  /** A day is not there, although it was. */
  forget(): void {
    this.known.clear();
  }

  /** The days that have a partition, oldest first. */
  async days(client: Pick<PostgresClient, 'query'>): Promise<number[]> {
    const rows = await this.partitions(client);
    return [...new Set(rows.filter(({ state }) => state === 'attached').map(({ day }) => day))].sort((a, b) => a - b);
  }

  /** The days that have a partition of each table: a replica that made one may have ended before it made the next. */
  private async wholeDays(client: Pick<PostgresClient, 'query'>): Promise<number[]> {
    const rows = await this.partitions(client);
    const counts = new Map<number, number>();
    for (const { day, state } of rows) if (state === 'attached') counts.set(day, (counts.get(day) ?? 0) + 1);
    return [...counts].filter(([, count]) => count === tablesByDay.length).map(([day]) => day);
  }

  /**
   * Drops all partitions of a day, and ends what an earlier drop that was killed began. Says whether it could: it cannot
   * while somebody reads them for longer than the lock is waited for; then it is to be tried again.
   */
  async drop(client: PostgresClient, day: number): Promise<boolean> {
    for (const partition of await this.partitions(client)) {
      if (partition.state === 'attached' && partition.day !== day) continue;
      try {
        await this.dropOne(client, partition);
      } catch (error) {
        if (error instanceof DatabaseError && isBusy(error)) return false;
        throw error;
      }
    }
    this.known.delete(day);
    return true;
  }

  /** Says whether it could: a role that may not make tables ships into the partitions that others made ahead. */
  private async make(client: PostgresClient, day: number, isNeeded: boolean): Promise<boolean> {
    for (const parent of tablesByDay) {
      try {
        await client.transaction(() => this.makeOne(client, parent, day), { lockTimeoutMs: 10_000 });
      } catch (error) {
        if (!isNeeded && error instanceof DatabaseError && error.code === '42501') return false;
        throw error;
      }
    }
    return true;
  }

  private async makeOne(client: PostgresClient, parent: string, day: number): Promise<void> {
    const { database } = this;
    const name = `${parent}${suffixOf(day)}`;
    const table = database.table(name);
    await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`${database.schema} ${parent}`]);
    const there = (await this.partitions(client)).find((each) => each.name === name);
    if (there !== undefined && there.state !== 'detached') return;
    // Its records were to go, and are in nobody's way but of this one.
    if (there !== undefined) await client.query(`DROP TABLE ${table}`);
    // With the same indexes and a check of the days, attaching it looks at nothing.
    const range = [day, day + 1].map((each) => `'${dayName(each)}'`);
    await client.query(
      `CREATE TABLE ${table} (LIKE ${database.table(parent)} INCLUDING ALL,
         CHECK (day >= ${range[0]} AND day < ${range[1]}))`,
    );
    await client.query(
      `ALTER TABLE ${database.table(parent)} ATTACH PARTITION ${table} FOR VALUES FROM (${range[0]}) TO (${range[1]})`,
    );
  }

  private async dropOne(client: PostgresClient, { parent, name, state }: Partition): Promise<void> {
    const { database } = this;
    const table = database.table(name);
    if (state !== 'detached') {
      // It waits for those who read the partition now, and nobody waits for it. It runs in no transaction, so the longest
      // wait is the driver's; what is then left half detached is finished by the next attempt.
      await client.query(
        `ALTER TABLE ${database.table(parent)} DETACH PARTITION ${table} ${state === 'pending' ? 'FINALIZE' : 'CONCURRENTLY'}`,
      );
    }
    await client.transaction(() => client.query(`DROP TABLE ${table}`), { lockTimeoutMs });
  }

  private async partitions(client: Pick<PostgresClient, 'query'>): Promise<Partition[]> {
    const rows = await client.query<{ parent: string; name: string; pending: boolean | null }>(
      `SELECT p.name AS parent, c.relname AS name, i.inhdetachpending AS pending
       FROM unnest($2::text[]) AS p(name)
         JOIN pg_namespace n ON n.nspname = $1
         JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r' AND c.relname ~ ('^' || p.name || '_[0-9]{8}$')
         LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
       ORDER BY c.relname`,
      [this.database.schema, tablesByDay],
    );
    return rows.map(({ parent, name, pending }) => {
      const state = pending === null ? 'detached' : pending ? 'pending' : 'attached';
      return { parent, name, day: dayOfName(name.slice(-8)), state };
    });
  }
}

interface Partition {
  readonly parent: string;
  readonly name: string;
  readonly day: number;
  /** `pending`: it was being detached when that was interrupted; `detached`: it was to be dropped when that was. */
  readonly state: 'attached' | 'pending' | 'detached';
}

/** `_20260303` */
function suffixOf(day: number): string {
  return `_${dayName(day).replaceAll('-', '')}`;
}

/** `2026-03-03` */
export function dayName(day: number): string {
  return new Date(day * dayMs).toISOString().slice(0, 10);
}

function dayOfName(name: string): number {
  return Date.UTC(Number(name.slice(0, 4)), Number(name.slice(4, 6)) - 1, Number(name.slice(6))) / dayMs;
}

/** A lock was not to be had in time, or another replica is about the same partition. */
function isBusy({ code }: DatabaseError): boolean {
  return code === '55P03' || code === '55000' || code === '57014' || code === '42P01';
}
