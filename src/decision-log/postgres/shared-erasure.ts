import type { PostgresClient } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import type { MissingEncryptionKey } from '../../encryption/encryption-keys.js';
import { Turns } from '../../turns/turns.js';
import { ErasureCounts, eraseFromGroup, withoutSalts } from '../erasure/erase-group.js';
import { erasedValue } from '../erasure/erase-record.js';
import { signErasure } from '../erasure/erasure-signature.js';
import type { ErasingOrders } from '../erasure/erasures.js';
import { groupOfText } from '../journal-group.js';
import type { KeyedIndex } from '../keyed-index.js';
import type { NoteSigner } from '../proof/signed-note.js';
import { utcDayOf } from '../utc-day.js';
import { type DayPartitions, dayName } from './day-partitions.js';
import type { IndexJob, RowName } from './index-job.js';
import { type CodedText, SharedKeys } from './shared-keys.js';
import type { TallyJob } from './shared-tally.js';
import { vacuumTables } from './vacuum-tables.js';

/** Rows that one transaction reads, and rewrites where they name somebody. */
const rowsAtOnce = 64;

interface ErasedRow extends CodedText {
  readonly since: number;
  readonly tree: string | null;
  readonly salts: Buffer | null;
}

export interface SharedErasureOptions {
  readonly database: PostgresDatabase;
  readonly partitions: DayPartitions;
  readonly index: IndexJob;
  readonly tally: TallyJob;
  /** What decrypts texts; left out where none is encrypted. */
  readonly keys?: SharedKeys;
}

/** What became of a pass. */
interface ErasurePass {
  readonly counts: ErasureCounts;
  /** False where another replica is about it, or rows could not be read. */
  readonly isDone: boolean;
  /** Why rows could not be read: they count as unreadable. */
  readonly missing: MissingEncryptionKey | undefined;
}

interface PassWork {
  readonly orders: ErasingOrders;
  readonly signer: NoteSigner | undefined;
  readonly onMissing: (error: MissingEncryptionKey) => void;
}

/** The name of the advisory lock of who rewrites rows. */
export function erasureLock({ schema }: Pick<PostgresDatabase, 'schema'>): string {
  return `verdict erasures of ${schema}`;
}

/** Erases persons from the rows that replicas share. One replica at a time is about it, with others it does nothing. */
export class SharedErasure {
  private readonly keys: SharedKeys;

  constructor(private readonly options: SharedErasureOptions) {
    this.keys = options.keys ?? SharedKeys.none;
  }

  private readonly table = (name: string): string => this.options.database.table(name);

  /**
   * Rewrites all rows, pages and counts that name somebody; returns what became of records, and whether that is all: not where another
   * replica is about it, or the key of rows is not there; all others are done then. Pages are made anew of all rows that say that an order was carried out in them, by this replica or another.
   *
   * @param signer signs what is left; without it nothing is rewritten, and it is only counted
   */
  async pass(orders: ErasingOrders, signer: NoteSigner | undefined, signal: AbortSignal): Promise<ErasurePass> {
    const { database, partitions } = this.options;
    const counts = new ErasureCounts();
    const lastDay = utcDayOf(Math.min(orders.standing.latest, Date.now())) + 1;
    const touched: string[] = [];
    let missing: MissingEncryptionKey | undefined;
    const onMissing = (error: MissingEncryptionKey) => {
      missing ??= error;
    };
    for (const day of await database.transaction((client) => partitions.days(client))) {
      if (day > lastDay) break;
      const rows = await this.passDay(dayName(day), { orders, signer, onMissing }, counts, signal);
      if (rows === undefined) return { counts, isDone: false, missing };
      if (signer === undefined || rows.length === 0) continue;
      await this.options.index.rebuild(dayName(day), rows);
      touched.push(
        `decision_group_${dayName(day).replaceAll('-', '')}`,
        `key_page_${dayName(day).replaceAll('-', '')}`,
      );
    }
    if (signer === undefined) return { counts, isDone: true, missing };
    const index = await database.transaction((client) => this.keys.indexOf({ client, table: this.table }));
    if (await this.options.tally.erase(orders.standing, erasedValue, index))
      touched.push('tally', 'tally_delta', 'tally_name');
    if (touched.length > 0) await vacuumTables(database, [...touched, 'key_segment']);
    return { counts, isDone: missing === undefined, missing };
  }

  /** The rows that were rewritten, now or before; undefined where another replica is about it. */
  private async passDay(
    day: string,
    work: PassWork,
    counts: ErasureCounts,
    signal: AbortSignal,
  ): Promise<RowName[] | undefined> {
    const { orders, signer } = work;
    const rewritten: RowName[] = [];
    let after: RowName = { writer: 0, first: 0 };
    for (;;) {
      signal.throwIfAborted();
      const from = after;
      const rewrite = () => this.options.database.transaction((client) => this.step(client, day, from, work));
      const step = await (signer === undefined || orders.place === undefined ? rewrite() : orders.place(rewrite));
      if (step === undefined) return undefined;
      counts.add(step.counts);
      rewritten.push(...step.rewritten);
      if (step.last === undefined) return rewritten;
      after = step.last;
    }
  }

  private async step(
    client: PostgresClient,
    day: string,
    after: RowName,
    { orders, signer, onMissing }: PassWork,
  ): Promise<{ counts: ErasureCounts; rewritten: RowName[]; last: RowName | undefined } | undefined> {
    const { database } = this.options;
    if (signer !== undefined) {
      const [held] = await client.query<{ held: boolean }>(
        'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS held',
        [erasureLock(database)],
      );
      if (!held!.held) return undefined;
    }
    const coded = await client.query<ErasedRow>(
      `SELECT g.writer, g.first, g.count, g.since, g.salts, g.records, g.sealed, g.data_key, CASE WHEN g.entry IS NULL THEN NULL ELSE (
         SELECT t.tree FROM ${database.table('decision_tree')} t
         WHERE t.writer = g.writer AND t.first <= g.first ORDER BY t.first DESC LIMIT 1) END AS tree
       FROM ${database.table('decision_group')} g
       WHERE g.day = $1::date AND (g.writer, g.first) > ($2::int, $3::int8) ORDER BY g.writer, g.first LIMIT ${rowsAtOnce}`,
      [day, after.writer, after.first],
    );
    const counts = new ErasureCounts();
    const rewritten: RowName[] = [];
    const turns = new Turns();
    const reading = { client, table: this.table };
    let index: Promise<KeyedIndex | undefined> | undefined;
    // Read when the first row is rewritten, for all of the step.
    const indexOf = () => (index ??= this.keys.indexOf(reading));
    for (const row of await this.keys.decoded(reading, coded, onMissing)) {
      if (row.since > orders.standing.latest) continue;
      if (turns.isOver) await turns.next();
      const { writer, first, tree } = row;
      if (row.isUndecryptable) {
        counts.unreadable += row.count;
        continue;
      }
      const sign =
        signer === undefined || tree === null
          ? undefined
          : (sequence: number, whole: string) => signErasure(tree, sequence, whole, signer);
      const { text, places, counts: more } = eraseFromGroup(first, row.records, { ...orders, sign });
      counts.add(more);
      if (signer === undefined) continue;
      if (places.length === 0) {
        if (orders.standing.isCarriedOutIn(row.records)) rewritten.push({ writer, first });
        continue;
      }
      const salts = row.salts === null ? null : withoutSalts(row.salts, places);
      await this.rewrite(client, day, row, text, salts, indexOf);
      rewritten.push({ writer, first });
    }
    return { counts, rewritten, last: coded.length < rowsAtOnce ? undefined : coded.at(-1) };
  }

  /** Writes a row anew, under its key where it is encrypted. */
  private async rewrite(
    client: PostgresClient,
    day: string,
    row: Pick<ErasedRow, 'writer' | 'first' | 'count' | 'data_key'>,
    text: string,
    salts: Buffer | null,
    indexOf: () => Promise<KeyedIndex | undefined>,
  ): Promise<void> {
    const { writer, first, count } = row;
    const reading = { client, table: this.table };
    const { entries } = groupOfText(first, text);
    const where = `WHERE day = $1::date AND writer = $2 AND first = $3`;
    if (row.data_key === null) {
      await client.write(`UPDATE ${this.table('decision_group')} SET records = $4, keys = $5, salts = $6 ${where}`, [
        day,
        writer,
        first,
        text,
        entries,
        salts,
      ]);
      return;
    }
    const sealer = await this.keys.sealerOf(reading, row);
    const index = await indexOf();
    await client.write(`UPDATE ${this.table('decision_group')} SET sealed = $4, keys = $5 ${where}`, [
      day,
      writer,
      first,
      sealer.seal(first, text, salts, count),
      index!.maskEntries(entries),
    ]);
  }
}
