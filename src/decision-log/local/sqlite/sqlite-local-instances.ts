import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { SqliteTurns } from '../../../database/sqlite/sqlite-turns.js';
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
import { LocalInstances1765000000000 } from './migrations/1765000000000-local-instances.js';

/** The instances in the service's SQLite database. */
export class SqliteLocalInstances extends LocalInstances {
  /** While a transaction lasts, no other process writes to the database either. */
  private readonly turns: SqliteTurns;

  private constructor(
    readonly connection: SqliteConnection,
    private readonly most: number,
  ) {
    super();
    this.turns = new SqliteTurns(connection);
  }

  /**
   * The table is made when it is not there.
   *
   * @param path the file of the database
   * @param isHardened whether what is noted survives a loss of power, as the records do in mode `fsync`
   * @param most instances of a caller
   */
  static async open(path: string, isHardened: boolean, most = mostInstances): Promise<SqliteLocalInstances> {
    return new SqliteLocalInstances(
      await SqliteConnection.open({
        path,
        migrations: [LocalInstances1765000000000],
        setup: [`PRAGMA synchronous = ${isHardened ? 'FULL' : 'NORMAL'}`],
        busyTimeoutMs: 10_000,
      }),
      most,
    );
  }

  claim(claim: NewClaim): Promise<ClaimOutcome> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const { instance, caller, authentication, place, now } = claim;
      const [row] = await this.connection.query<InstanceRow>('SELECT * FROM local_instance WHERE instance = ?', [
        instance,
      ]);
      const outcome = row === undefined ? firstClaim(claim) : claimOn(row, claim);
      if (outcome.kind !== 'claimed') return outcome;
      const open = [outcome.claim, place?.writer ?? null, place?.sequence ?? null, now];
      if (row !== undefined) {
        await this.connection.query(
          'UPDATE local_instance SET claim = ?, writer = ?, sequence = ?, seen = ?, told = 0 WHERE instance = ?',
          [...open, instance],
        );
        return outcome;
      }
      if (!(await this.hasRoom(claim))) return { kind: 'full' };
      await this.connection.query(
        `INSERT INTO local_instance (claim, writer, sequence, seen, instance, caller, authentication, next, taken, ended, told)
         VALUES (?, ?, ?, ?, ?, ?, ?, 1, '', 0, 0)`,
        [...open, instance, caller, authentication],
      );
      return outcome;
    });
  }

  /** Those that were not heard of for a day make room, of which those that ended are the first. */
  private async hasRoom({ caller, authentication, now }: NewClaim): Promise<boolean> {
    const count = async () => {
      const [row] = await this.connection.query<{ n: number }>(
        'SELECT count(*) AS n FROM local_instance WHERE caller = ? AND authentication = ?',
        [caller, authentication],
      );
      return row!.n;
    };
    if ((await count()) < this.most) return true;
    await this.connection.query(
      `DELETE FROM local_instance WHERE instance IN (SELECT instance FROM local_instance
         WHERE caller = ? AND authentication = ? AND claim IS NULL AND seen < ? ORDER BY ended DESC, seen LIMIT ?)`,
      [caller, authentication, now - instanceSilentMs, mostAtOnce],
    );
    return (await count()) < this.most;
  }

  settle({ instance, claim, next, taken, owed, ended }: Settlement): Promise<boolean> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const open = await this.connection.query('SELECT 1 FROM local_instance WHERE instance = ? AND claim = ?', [
        instance,
        claim,
      ]);
      if (open.length === 0) return false;
      await this.connection.query(
        `UPDATE local_instance SET next = ?, taken = ?, owed = ?, claim = iif(?, claim, NULL), ended = coalesce(?, ended)
         WHERE instance = ?`,
        [
          next,
          `${taken}`,
          owed === undefined ? null : JSON.stringify(owed),
          owed === undefined ? 0 : 1,
          ended === undefined ? null : Number(ended),
          instance,
        ],
      );
      return true;
    });
  }

  async openClaims(writer: number | undefined): Promise<readonly OpenClaim[]> {
    const rows = await this.connection.query<InstanceRow>(
      'SELECT * FROM local_instance WHERE claim IS NOT NULL AND writer IS ? ORDER BY seen LIMIT ?',
      [writer ?? null, mostAtOnce],
    );
    return rows.map(openClaimOf);
  }

  silent(now: number, place: LogPlace | undefined): Promise<readonly SilentInstance[]> {
    return this.turns.transaction('BEGIN IMMEDIATE', async () => {
      const rows = await this.connection.query<InstanceRow>(
        `SELECT * FROM local_instance WHERE seen < ? AND ended = 0 AND told = 0 AND claim IS NULL ORDER BY seen LIMIT ?`,
        [now - instanceSilentMs, mostAtOnce],
      );
      const silent = rows.map((row) => silentClaim(row, place));
      for (const { instance, claim, owed } of silent)
        await this.connection.query(
          'UPDATE local_instance SET told = 1, claim = ?, writer = ?, sequence = ?, owed = ? WHERE instance = ?',
          [claim, place?.writer ?? null, place?.sequence ?? null, JSON.stringify(owed), instance],
        );
      return silent;
    });
  }

  async forget(now: number): Promise<void> {
    await this.turns.transaction('BEGIN IMMEDIATE', () =>
      this.connection.query('DELETE FROM local_instance WHERE claim IS NULL AND seen < ?', [now - forgottenMs]),
    );
  }

  close(): Promise<void> {
    return this.turns.inTurn(() => this.connection.close());
  }
}
