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
    const wanted = new Set([...days, ...Array.from({ length: daysAhead + 1 }, (_, i) => today + i)]);
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
      await this.make(client, day);
      this.known.add(day);
    }
  }

  /** A day is not there, although it was. */
  forget(): void {
    this.known.clear();
  }

  /** The days that have a partition, oldest first. */
  async days(client: Pick<PostgresClient, 'query'>): Promise<number[]> {
    const rows = await this.partitions(client);
    return [...new Set(rows.filter(({ pending }) => !pending).map(({ day }) => day))].sort((a, b) => a - b);
  }

  /** The days that have a partition of each table: a replica that made one may have ended before it made the next. */
  private async wholeDays(client: Pick<PostgresClient, 'query'>): Promise<number[]> {
    const rows = await this.partitions(client);
    const counts = new Map<number, number>();
    for (const { day, pending } of rows) if (!pending) counts.set(day, (counts.get(day) ?? 0) + 1);
    return [...counts].filter(([, count]) => count === tablesByDay.length).map(([day]) => day);
  }

  /**
   * Drops all partitions of a day, and ends what an earlier drop that was killed began. Says whether it could: it cannot
   * while somebody reads them for longer than the lock is waited for; then it is to be tried again.
   */
  async drop(client: PostgresClient, day: number): Promise<boolean> {
    for (const { parent, name, pending } of await this.partitions(client)) {
      if (!pending && !name.endsWith(suffixOf(day))) continue;
      try {
        await this.dropOne(client, parent, name, pending);
      } catch (error) {
        if (error instanceof DatabaseError && isBusy(error)) return false;
        throw error;
      }
    }
    this.known.delete(day);
    return true;
  }

  private async make(client: PostgresClient, day: number): Promise<void> {
    const { database } = this;
    for (const parent of tablesByDay) {
      const name = database.table(`${parent}${suffixOf(day)}`);
      await client.transaction(
        async () => {
          await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`${database.schema} ${parent}`]);
          const [there] = await client.query('SELECT FROM pg_class WHERE oid = to_regclass($1)', [name]);
          if (there !== undefined) return;
          // With the same indexes and a check of the days, attaching it looks at nothing.
          const range = [day, day + 1].map((each) => `'${dayName(each)}'`);
          await client.query(
            `CREATE TABLE ${name} (LIKE ${database.table(parent)} INCLUDING ALL,
               CHECK (day >= ${range[0]} AND day < ${range[1]}))`,
          );
          await client.query(
            `ALTER TABLE ${database.table(parent)} ATTACH PARTITION ${name} FOR VALUES FROM (${range[0]}) TO (${range[1]})`,
          );
        },
        { lockTimeoutMs: 10_000 },
      );
    }
  }

  private async dropOne(client: PostgresClient, parent: string, name: string, pending: boolean): Promise<void> {
    const { database } = this;
    const table = database.table(name);
    // It waits for those who read the partition now, and nobody waits for it. It runs in no transaction, so the longest
    // wait is the driver's; what is then left half detached is finished by the next attempt.
    await client.query(
      `ALTER TABLE ${database.table(parent)} DETACH PARTITION ${table} ${pending ? 'FINALIZE' : 'CONCURRENTLY'}`,
    );
    await client.transaction(() => client.query(`DROP TABLE ${table}`), { lockTimeoutMs });
  }

  private async partitions(client: Pick<PostgresClient, 'query'>): Promise<Partition[]> {
    const rows = await client.query<{ parent: string; name: string; pending: boolean }>(
      `SELECT p.relname AS parent, c.relname AS name, i.inhdetachpending AS pending
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
         JOIN pg_namespace n ON n.oid = p.relnamespace
       WHERE n.nspname = $1 AND p.relname = ANY ($2) ORDER BY c.relname`,
      [this.database.schema, tablesByDay],
    );
    return rows.map((row) => ({ ...row, day: dayOfName(row.name.slice(-8)) }));
  }
}

interface Partition {
  readonly parent: string;
  readonly name: string;
  readonly day: number;
  /** True if it was being detached when that was interrupted. */
  readonly pending: boolean;
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
