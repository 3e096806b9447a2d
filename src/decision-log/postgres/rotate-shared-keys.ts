/**
 * Wraps the keys of the shared log anew, under the newest of the operator's keys, and encrypts its rows anew. Replicas may serve
 * meanwhile; each step is a transaction, and a run that is killed is gone on with by the next one.
 */
import type { PostgresClient } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { type EncryptionKeys, MissingEncryptionKey, WrongWrappedKey } from '../../encryption/encryption-keys.js';
import { Turns } from '../../turns/turns.js';
import type { KeyedIndex } from '../keyed-index.js';
import { DayPartitions, dayName } from './day-partitions.js';
import { IndexJob } from './index-job.js';
import { erasureLock } from './shared-erasure.js';
import {
  beginKeyEpoch,
  type CodedText,
  type RowSealer,
  readSharedKeys,
  SharedKeys,
  textColumns,
  useOfKey,
} from './shared-keys.js';
import { TallyJob } from './shared-tally.js';
import { vacuumTables } from './vacuum-tables.js';

/** What became of the keys of the log. */
export interface RotatedSharedKeys {
  /** Keys that were wrapped anew. */
  readonly changed: number;
  /** Keys that the newest key had wrapped already. */
  readonly current: number;
  /** Why keys stay as they are, each once. */
  readonly failed: readonly string[];
}

/** Wraps all keys of the log under the newest key; no row is read. Replicas go on with the keys that they have unwrapped. */
export async function rewrapSharedLog(database: PostgresDatabase, keys: EncryptionKeys): Promise<RotatedSharedKeys> {
  const table = (name: string) => database.table(name);
  const failed = new Set<string>();
  let changed = 0;
  let current = 0;
  for (const { id, wrapped, log, ...row } of await readSharedKeys({ client: database, table }, 'true', [])) {
    if (keys.isNewest(wrapped)) {
      current++;
      continue;
    }
    try {
      const use = useOfKey(log, row);
      const anew = keys.wrap(keys.unwrap(wrapped, use, 'the decision log in PostgreSQL'), use);
      // Another command may have done so meanwhile, or the retention removed it.
      changed += await database.transaction((client) =>
        client.write(`UPDATE ${table('decision_data_key')} SET wrapped = $2 WHERE id = $1 AND wrapped = $3`, [
          id,
          anew,
          wrapped,
        ]),
      );
    } catch (error) {
      if (!(error instanceof MissingEncryptionKey) && !(error instanceof WrongWrappedKey)) throw error;
      failed.add(error.message);
    }
  }
  return { changed, current, failed: [...failed] };
}

/** What was encrypted anew. */
export interface RewrittenSharedLog {
  readonly records: number;
  /** Records that cannot be decrypted and stay as they are. */
  readonly undecryptable: number;
}

/** Rows that one transaction encrypts. */
const rowsAtOnce = 64;

/**
 * Encrypts all rows anew under data keys that nobody had before, those too that were shipped in clear, with their pages and the
 * names in the counts. The keys from before are removed.
 *
 * @throws MissingEncryptionKey before anything is changed
 */
export async function rewriteSharedLog(
  database: PostgresDatabase,
  encryption: EncryptionKeys,
): Promise<RewrittenSharedLog> {
  const rewriting = new Rewriting(database, encryption);
  return rewriting.run();
}

class Rewriting {
  private readonly keys: SharedKeys;
  private readonly index: IndexJob;

  constructor(
    private readonly database: PostgresDatabase,
    private readonly encryption: EncryptionKeys,
  ) {
    this.keys = new SharedKeys(encryption);
    this.index = new IndexJob(database);
  }

  async run(): Promise<RewrittenSharedLog> {
    const { database, keys } = this;
    const index = await database.transaction(async (client) => {
      const missing = await keys.missing(this.reading(client));
      if (missing !== undefined) throw missing;
      // With a key there is one.
      return (await keys.beginShipping(this.reading(client)))!;
    });
    await this.retire();
    const days = await database.transaction((client) => new DayPartitions(database).days(client));
    let records = 0;
    let undecryptable = 0;
    for (const day of days.map(dayName)) {
      const rewritten = await this.rewriteDay(day, index);
      records += rewritten.records;
      undecryptable += rewritten.undecryptable;
      // Also what a run made that was killed before it came to the pages.
      await this.index.rebuildDay(day);
      const suffix = day.replaceAll('-', '');
      if (rewritten.records > 0) await vacuumTables(database, [`decision_group_${suffix}`, `key_page_${suffix}`]);
    }
    await new TallyJob(database).hideNames(index);
    await this.removeRetired();
    await rewrapSharedLog(database, this.encryption);
    await vacuumTables(database, ['key_segment', 'tally', 'tally_delta', 'tally_name', 'decision_data_key']);
    return { records, undecryptable };
  }

  private reading(client: PostgresClient) {
    return { client, table: (name: string) => this.database.table(name) };
  }

  /**
   * Nothing is shipped under the keys of now any more: batches that are under way end before. Rows of a run that was killed are
   * encrypted once more, since others may have been shipped since under keys that are as old.
   */
  private retire(): Promise<void> {
    const { database } = this;
    return database.transaction(async (client) => {
      await beginKeyEpoch(this.reading(client));
      await client.write(`UPDATE ${database.table('decision_data_key')} SET retired = true WHERE use = 'text'`);
    });
  }

  private async rewriteDay(day: string, index: KeyedIndex): Promise<RewrittenSharedLog> {
    let after = { writer: 0, first: 0 };
    let records = 0;
    let undecryptable = 0;
    const sealers = new Map<number, RowSealer>();
    for (;;) {
      const from = after;
      const step = await this.database.transaction((client) => this.step(client, day, from, index, sealers));
      records += step.records;
      undecryptable += step.undecryptable;
      if (step.last === undefined) return { records, undecryptable };
      after = step.last;
    }
  }

  private async step(
    client: PostgresClient,
    day: string,
    after: Pick<CodedText, 'writer' | 'first'>,
    index: KeyedIndex,
    sealers: Map<number, RowSealer>,
  ) {
    const { database, keys } = this;
    const reading = this.reading(client);
    // An erasure rewrites rows, too.
    await client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [erasureLock(database)]);
    const coded = await client.query<CodedText & { readonly keys: Buffer; readonly salts: Buffer | null }>(
      `SELECT ${textColumns}, salts, keys FROM ${reading.table('decision_group')}
       WHERE day = $1::date AND (writer, first) > ($2::int, $3::int8) AND (data_key IS NULL OR data_key IN (
         SELECT id FROM ${reading.table('decision_data_key')} WHERE retired))
       ORDER BY writer, first LIMIT ${rowsAtOnce}`,
      [day, after.writer, after.first],
    );
    let records = 0;
    let undecryptable = 0;
    const turns = new Turns();
    for (const row of await keys.decoded(reading, coded)) {
      if (turns.isOver) await turns.next();
      const { writer, first, count, salts } = row;
      if (row.isUndecryptable) {
        undecryptable += count;
        continue;
      }
      const sealer = sealers.get(writer) ?? (await keys.sealer(reading, writer, day));
      sealers.set(writer, sealer!);
      await client.write(
        `UPDATE ${reading.table('decision_group')} SET sealed = $4, data_key = $5, keys = $6, records = '', salts = NULL
         WHERE day = $1::date AND writer = $2 AND first = $3`,
        [
          day,
          writer,
          first,
          sealer!.seal(first, row.records, salts, count),
          sealer!.id,
          row.data_key === null ? index.maskEntries(row.keys) : row.keys,
        ],
      );
      records += count;
    }
    return { records, undecryptable, last: coded.length < rowsAtOnce ? undefined : coded.at(-1) };
  }

  /** Those of rows that stay as they are, since they cannot be decrypted, are kept. Day by day: one statement may not take long. */
  private async removeRetired(): Promise<void> {
    const { database } = this;
    const [keys, groups] = [database.table('decision_data_key'), database.table('decision_group')];
    const days = await database.query<{ day: string }>(
      `SELECT DISTINCT day::text AS day FROM ${keys} WHERE retired ORDER BY day`,
    );
    for (const { day } of days) {
      await database.transaction(async (client) => {
        await client.write(
          `DELETE FROM ${keys} WHERE retired AND day = $1::date AND id NOT IN (
             SELECT data_key FROM ${groups} WHERE day = $1::date AND data_key IS NOT NULL)`,
          [day],
        );
        await client.write(`UPDATE ${keys} SET retired = false WHERE retired AND day = $1::date`, [day]);
      });
    }
  }
}
