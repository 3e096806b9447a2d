import type { PostgresClient } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { dayMs } from '../../query/time-zone.js';
import type { Retention } from '../decision-log-options.js';
import type { NoteSigner } from '../proof/signed-note.js';
import { type DayPartitions, dayName } from './day-partitions.js';
import { keepEntries } from './dropped-entries.js';

/**
 * Removes old records from the shared log: whole UTC days, by dropping their partitions. So at most a day more is kept than
 * was asked for, and nothing less. Every replica does it; the ones that find the lock taken have nothing to do.
 */
export class SharedRetention {
  /** Numbers of records of days that are over. */
  private readonly counts = new Map<number, number>();
  private first: number | undefined;

  constructor(
    private readonly database: PostgresDatabase,
    private readonly partitions: DayPartitions,
    private readonly retention: Pick<Retention, 'maxAgeMs' | 'maxRecords'>,
    /** Signs what is removed; undefined: nobody here can. */
    private readonly signer: () => NoteSigner | undefined = () => undefined,
  ) {}

  /** The first day (since 1970) that is kept, as far as this replica knows; undefined: all are. */
  get firstDay(): number | undefined {
    return this.first;
  }

  /** Drops the days that are not kept at `nowMs`. Those that are read just now are left for the next time. */
  async prune(client: PostgresClient, nowMs: number): Promise<void> {
    const first = await this.firstKept(client, nowMs);
    if (first === undefined) return;
    this.first = Math.max(this.first ?? 0, first);
    for (const day of await this.partitions.days(client)) {
      if (day >= this.first) break;
      await keepEntries(this.database, client, day, this.signer());
      if (!(await this.partitions.drop(client, day))) break;
      this.counts.delete(day);
    }
    await client.transaction(() =>
      client.query(
        // A gap that is still an entry of a tree stays.
        `DELETE FROM ${this.database.table('decision_gap')} g WHERE until < $1 AND (entry IS NULL OR NOT EXISTS (
           SELECT FROM ${this.database.table('decision_tree')} t WHERE t.writer = g.writer AND t.entries <= g.entry))`,
        [this.first! * dayMs],
      ),
    );
  }

  private async firstKept(client: PostgresClient, nowMs: number): Promise<number | undefined> {
    const { maxAgeMs, maxRecords } = this.retention;
    const byAge = maxAgeMs === undefined ? undefined : Math.floor((nowMs - maxAgeMs) / dayMs);
    const byCount = maxRecords === undefined ? undefined : await this.firstOfNewest(client, maxRecords);
    return byAge === undefined || byCount === undefined ? (byAge ?? byCount) : Math.max(byAge, byCount);
  }

  /** The day from which on there are at least this many records. */
  private async firstOfNewest(client: PostgresClient, records: number): Promise<number | undefined> {
    let sum = 0;
    for (const day of (await this.partitions.days(client)).reverse()) {
      sum += await this.countOf(client, day);
      if (sum >= records) return day;
    }
    return undefined;
  }

  private async countOf(client: PostgresClient, day: number): Promise<number> {
    const known = this.counts.get(day);
    if (known !== undefined) return known;
    const [row] = await client.query<{ records: number }>(
      `SELECT coalesce(sum(count), 0)::int8 AS records FROM ${this.database.table('decision_group')} WHERE day = $1::date`,
      [dayName(day)],
    );
    // Replicas that were away still ship records of the last days.
    if (day < Math.floor(Date.now() / dayMs) - 1) this.counts.set(day, row!.records);
    return row!.records;
  }
}
