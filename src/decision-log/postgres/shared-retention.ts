import type { PostgresClient, PostgresStatements } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { MissingEncryptionKey } from '../../encryption/encryption-keys.js';
import { dayMs } from '../../query/time-zone.js';
import type { Retention } from '../decision-log-options.js';
import { type Hold, overlaps } from '../holds/hold.js';
import type { HoldGuard } from '../holds/holds.js';
import type { NoteSigner } from '../proof/signed-note.js';
import { encodeKey } from '../record-keys.js';
import { type DayPartitions, dayName } from './day-partitions.js';
import { keepEntries } from './dropped-entries.js';
import { LostIndexKey, type SharedKeys } from './shared-keys.js';

export interface SharedRetentionOptions {
  readonly database: PostgresDatabase;
  readonly partitions: DayPartitions;
  readonly retention: Pick<Retention, 'maxAgeMs' | 'maxRecords'>;
  readonly holds: HoldGuard;
  readonly keys: SharedKeys;
  /** Signs what is removed; undefined: nobody here can. */
  readonly signer: () => NoteSigner | undefined;
}

/**
 * Removes old records from the shared log: whole UTC days, by dropping their partitions. So at most a day more is kept than
 * was asked for, and nothing less; a day with a record that a hold keeps stays whole. Every replica does it; the ones that find
 * the lock taken have nothing to do.
 */
export class SharedRetention {
  /** Numbers of records of days that are over. */
  private readonly counts = new Map<number, number>();
  private first: number | undefined;
  private held: readonly number[] = [];
  /** By hold and day, that the hold keeps a record of the day. */
  private readonly knownHeld = new Set<string>();

  constructor(private readonly options: SharedRetentionOptions) {}

  /** The first day (since 1970) that the retention keeps, as far as this replica knows; undefined: all are. */
  get firstDay(): number | undefined {
    return this.first;
  }

  /** Days before it that a hold alone keeps, as the last look at the retention found. */
  get heldDays(): readonly number[] {
    return this.held;
  }

  /**
   * Of these days those whose records are not kept any more: before the first that is, and in the range of no hold. A row that
   * spans midnight is in the later day.
   */
  async expired(days: ReadonlySet<number>): Promise<ReadonlySet<number>> {
    const first = this.first ?? 0;
    const old = [...days].filter((day) => day < first);
    if (old.length === 0) return new Set();
    const inForce = await this.options.holds.inForce();
    return new Set(
      old.filter((day) => !inForce.some((hold) => overlaps(hold, (day - 1) * dayMs, (day + 1) * dayMs - 1))),
    );
  }

  /** Drops the days that are not kept at `nowMs`. Those that are read just now are left for the next time. */
  async prune(client: PostgresClient, nowMs: number): Promise<void> {
    const { database, partitions } = this.options;
    const first = await this.firstKept(client, nowMs);
    if (first === undefined) return;
    this.first = Math.max(this.first ?? 0, first);
    const held: number[] = [];
    for (const day of await partitions.days(client)) {
      if (day >= this.first) break;
      const outcome = await this.dropUnlessHeld(client, day, held);
      if (outcome === 'read') break;
      if (outcome === 'held') held.push(day);
      else this.counts.delete(day);
    }
    this.held = held;
    await client.transaction(() =>
      client.query(
        // A gap that is still an entry of a tree stays.
        `DELETE FROM ${database.table('decision_gap')} g WHERE until < $1 AND (entry IS NULL OR NOT EXISTS (
           SELECT FROM ${database.table('decision_tree')} t WHERE t.writer = g.writer AND t.entries <= g.entry))`,
        [this.first! * dayMs],
      ),
    );
  }

  /**
   * Whether a day was dropped, is held, or is being read.
   *
   * @param before days before it that are held
   */
  private async dropUnlessHeld(
    client: PostgresClient,
    day: number,
    before: readonly number[],
  ): Promise<'dropped' | 'held' | 'read'> {
    const { database, partitions, holds, signer } = this.options;
    // To look through a day can take a while, in which nobody has to wait for it.
    if (await this.isHeld(client, day, await holds.inForce())) return 'held';
    return holds.guard(async (inForce) => {
      if (await this.isHeld(client, day, inForce)) return 'held';
      await keepEntries(database, client, day, before, signer());
      return (await partitions.drop(client, day)) ? 'dropped' : 'read';
    });
  }

  private async isHeld(client: PostgresStatements, day: number, holds: readonly Hold[]): Promise<boolean> {
    for (const hold of holds) {
      const key = `${hold.id} ${day}`;
      if (!this.knownHeld.has(key) && !(await this.keeps(client, hold, day))) continue;
      this.knownHeld.add(key);
      return true;
    }
    return false;
  }

  /** Whether a hold keeps a record of a day, by the keys of its rows; where they cannot be asked, it does. */
  private async keeps(client: PostgresStatements, { policySets, from, to }: Hold, day: number): Promise<boolean> {
    const keys = await this.keysOf(client, policySets ?? []);
    if (keys === undefined) return true;
    const hasSet =
      keys.length === 0 ? '' : `AND (${keys.map((_, i) => `position($${i + 4} in keys) > 0`).join(' OR ')})`;
    const [row] = await client.query<{ held: boolean }>(
      `SELECT EXISTS (SELECT FROM ${this.options.database.table('decision_group')}
         WHERE day = $1::date AND until >= $2::int8 AND since < $3::int8 ${hasSet}) AS held`,
      [dayName(day), from ?? 0, to ?? Number.MAX_SAFE_INTEGER, ...keys],
    );
    return row!.held;
  }

  /** The keys that rows with records of these sets have, in clear and masked; undefined where the key for that is not there. */
  private async keysOf(client: PostgresStatements, policySets: readonly string[]): Promise<Buffer[] | undefined> {
    const { database, keys } = this.options;
    const clear = policySets.map((set) => encodeKey('policySet', set));
    if (clear.length === 0) return clear;
    try {
      const index = await keys.indexOf({ client, table: (name) => database.table(name) });
      return index === undefined ? clear : [...clear, ...clear.map((key) => index.maskKeys(key))];
    } catch (error) {
      if (error instanceof MissingEncryptionKey || error instanceof LostIndexKey) return undefined;
      throw error;
    }
  }

  private async firstKept(client: PostgresClient, nowMs: number): Promise<number | undefined> {
    const { maxAgeMs, maxRecords } = this.options.retention;
    const byAge = maxAgeMs === undefined ? undefined : Math.floor((nowMs - maxAgeMs) / dayMs);
    const byCount = maxRecords === undefined ? undefined : await this.firstOfNewest(client, maxRecords);
    return byAge === undefined || byCount === undefined ? (byAge ?? byCount) : Math.max(byAge, byCount);
  }

  /** The day from which on there are at least this many records. */
  private async firstOfNewest(client: PostgresClient, records: number): Promise<number | undefined> {
    let sum = 0;
    for (const day of (await this.options.partitions.days(client)).reverse()) {
      sum += await this.countOf(client, day);
      if (sum >= records) return day;
    }
    return undefined;
  }

  private async countOf(client: PostgresClient, day: number): Promise<number> {
    const known = this.counts.get(day);
    if (known !== undefined) return known;
    const [row] = await client.query<{ records: number }>(
      `SELECT coalesce(sum(count), 0)::int8 AS records FROM ${this.options.database.table('decision_group')} WHERE day = $1::date`,
      [dayName(day)],
    );
    // Replicas that were away still ship records of the last days.
    if (day < Math.floor(Date.now() / dayMs) - 1) this.counts.set(day, row!.records);
    return row!.records;
  }
}
