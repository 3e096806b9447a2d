import type { PostgresClient } from '../../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../../database/postgres/postgres-database.js';
import { PostgresTables } from '../../../database/postgres/postgres-tables.js';
import {
  type ClaimOutcome,
  forgottenMs,
  instanceSilentMs,
  LocalInstances,
  mostInstances,
  type NewClaim,
  type OpenClaim,
  type Settlement,
  type SilentInstance,
} from '../local-instances.js';
import type { LogPlace } from '../log-place.js';
import { claimOn, firstClaim, type InstanceRow, mostAtOnce, openClaimOf, silentClaim } from '../stored-instance.js';
import { localInstanceTable } from './migrations/1765000000000-local-instances.js';

/** The instances of all replicas, in PostgreSQL. */
export class PostgresLocalInstances extends LocalInstances {
  private readonly table: string;

  private constructor(
    private readonly tables: PostgresTables,
    private readonly most: number,
  ) {
    super();
    this.table = tables.name('local_instance');
  }

  /**
   * The table is made when it is not there; while the server is away, when it is back.
   *
   * @param most instances of a caller
   */
  static async open(database: PostgresDatabase, most = mostInstances): Promise<PostgresLocalInstances> {
    const tables = new PostgresTables(database, 'local', [localInstanceTable]);
    await tables.prepare();
    return new PostgresLocalInstances(tables, most);
  }

  claim(claim: NewClaim): Promise<ClaimOutcome> {
    const { instance, caller, authentication, place, now } = claim;
    return this.tables.transaction(async (client): Promise<ClaimOutcome> => {
      const row = await this.locked(client, claim);
      if (row === 'missing' || row === 'full') return row === 'full' ? { kind: 'full' } : { kind: 'missing', next: 1 };
      const outcome = row === undefined ? firstClaim(claim) : claimOn(row, claim);
      if (outcome.kind !== 'claimed') return outcome;
      await client.write(
        `UPDATE ${this.table} SET claim = $1, writer = $2, sequence = $3, seen = greatest(seen, $4), told = false
         WHERE instance = $5 AND caller = $6 AND authentication = $7`,
        [outcome.claim, place?.writer ?? null, place?.sequence ?? null, now, instance, caller, authentication],
      );
      return outcome;
    });
  }

  /** The row of an instance, which nobody else changes until the transaction ends. One that is not known is made. */
  private async locked(client: PostgresClient, claim: NewClaim): Promise<InstanceRow | 'missing' | 'full'> {
    const { instance, caller, authentication, first, now } = claim;
    const find = async () => {
      const [row] = await client.query<InstanceRow>(`SELECT * FROM ${this.table} WHERE instance = $1 FOR UPDATE`, [
        instance,
      ]);
      return row;
    };
    const known = await find();
    if (known !== undefined) return known;
    if (first > 1) return 'missing';
    if (!(await this.hasRoom(client, claim))) return 'full';
    await client.write(
      `INSERT INTO ${this.table} (instance, caller, authentication, next, taken, seen, ended, told)
       VALUES ($1, $2, $3, 1, '', $4, false, false) ON CONFLICT DO NOTHING`,
      [instance, caller, authentication, now],
    );
    return (await find())!;
  }

  /** Those that were not heard of for a day make room, of which those that ended are the first. */
  private async hasRoom(client: PostgresClient, { caller, authentication, now }: NewClaim): Promise<boolean> {
    const count = async () => {
      const [row] = await client.query<{ n: number }>(
        `SELECT count(*)::int4 AS n FROM ${this.table} WHERE caller = $1 AND authentication = $2`,
        [caller, authentication],
      );
      return row!.n;
    };
    if ((await count()) < this.most) return true;
    await client.write(
      `DELETE FROM ${this.table} WHERE instance IN (SELECT instance FROM ${this.table}
         WHERE caller = $1 AND authentication = $2 AND claim IS NULL AND seen < $3
         ORDER BY ended DESC, seen LIMIT $4 FOR UPDATE SKIP LOCKED)`,
      [caller, authentication, now - instanceSilentMs, mostAtOnce],
    );
    return (await count()) < this.most;
  }

  async settle({ instance, claim, next, taken, owed, ended }: Settlement): Promise<boolean> {
    const changed = await this.tables.write(
      `UPDATE ${this.table} SET next = $3, taken = $4, owed = $5, claim = CASE WHEN $5::text IS NULL THEN NULL ELSE claim END,
         ended = coalesce($6::boolean, ended)
       WHERE instance = $1 AND claim = $2`,
      [instance, claim, next, `${taken}`, owed === undefined ? null : JSON.stringify(owed), ended ?? null],
    );
    return changed > 0;
  }

  async openClaims(writer: number | undefined): Promise<readonly OpenClaim[]> {
    const rows = await this.tables.query<InstanceRow>(
      `SELECT * FROM ${this.table} WHERE claim IS NOT NULL AND writer IS NOT DISTINCT FROM $1::int4 ORDER BY seen LIMIT $2`,
      [writer ?? null, mostAtOnce],
    );
    return rows.map(openClaimOf);
  }

  silent(now: number, place: LogPlace | undefined): Promise<readonly SilentInstance[]> {
    return this.tables.transaction(async (client) => {
      const rows = await client.query<InstanceRow>(
        `SELECT * FROM ${this.table} WHERE seen < $1 AND NOT ended AND NOT told AND claim IS NULL
         ORDER BY seen LIMIT $2 FOR UPDATE SKIP LOCKED`,
        [now - instanceSilentMs, mostAtOnce],
      );
      const silent = rows.map((row) => silentClaim(row, place));
      for (const { instance, claim, owed } of silent)
        await client.write(
          `UPDATE ${this.table} SET told = true, claim = $1, writer = $2, sequence = $3, owed = $4 WHERE instance = $5`,
          [claim, place?.writer ?? null, place?.sequence ?? null, JSON.stringify(owed), instance],
        );
      return silent;
    });
  }

  async forget(now: number): Promise<void> {
    await this.tables.write(`DELETE FROM ${this.table} WHERE claim IS NULL AND seen < $1`, [now - forgottenMs]);
  }

  /** The database is closed by its owner. */
  async close(): Promise<void> {}
}
