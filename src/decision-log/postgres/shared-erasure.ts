import type { PostgresClient } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { Turns } from '../../turns/turns.js';
import { ErasureCounts, eraseFromGroup, withoutSalts } from '../erasure/erase-group.js';
import { erasedValue } from '../erasure/erase-record.js';
import { signErasure } from '../erasure/erasure-signature.js';
import type { ErasingOrders } from '../erasure/erasures.js';
import { groupOfText } from '../journal-group.js';
import type { NoteSigner } from '../proof/signed-note.js';
import { utcDayOf } from '../utc-day.js';
import { type DayPartitions, dayName } from './day-partitions.js';
import type { IndexJob, RowName } from './index-job.js';
import type { TallyJob } from './shared-tally.js';

/** Rows that one transaction reads, and rewrites where they name somebody. */
const rowsAtOnce = 64;

interface ErasedRow extends RowName {
  readonly since: number;
  readonly tree: string | null;
  readonly salts: Buffer | null;
  readonly records: string;
}

export interface SharedErasureOptions {
  readonly database: PostgresDatabase;
  readonly partitions: DayPartitions;
  readonly index: IndexJob;
  readonly tally: TallyJob;
}

/** Erases persons from the rows that replicas share. One replica at a time is about it, with others it does nothing. */
export class SharedErasure {
  constructor(private readonly options: SharedErasureOptions) {}

  /**
   * Rewrites all rows, pages and counts that name somebody; returns what became of records, and whether that is all: not where another
   * replica is about it. Pages are made anew of all rows that say that an order was carried out in them, by this replica or another.
   *
   * @param signer signs what is left; without it nothing is rewritten, and it is only counted
   */
  async pass(
    orders: ErasingOrders,
    signer: NoteSigner | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly counts: ErasureCounts; readonly isDone: boolean }> {
    const { database, partitions } = this.options;
    const counts = new ErasureCounts();
    const lastDay = utcDayOf(Math.min(orders.standing.latest, Date.now())) + 1;
    const touched: string[] = [];
    for (const day of await database.transaction((client) => partitions.days(client))) {
      if (day > lastDay) break;
      const rows = await this.passDay(dayName(day), orders, signer, counts, signal);
      if (rows === undefined) return { counts, isDone: false };
      if (signer === undefined || rows.length === 0) continue;
      await this.options.index.rebuild(dayName(day), rows);
      touched.push(
        `decision_group_${dayName(day).replaceAll('-', '')}`,
        `key_page_${dayName(day).replaceAll('-', '')}`,
      );
    }
    if (signer === undefined) return { counts, isDone: true };
    if (await this.options.tally.erase(orders.standing, erasedValue))
      touched.push('tally', 'tally_delta', 'tally_name');
    if (touched.length > 0) await this.vacuum([...touched, 'key_segment']);
    return { counts, isDone: true };
  }

  /** The rows that were rewritten, now or before; undefined where another replica is about it. */
  private async passDay(
    day: string,
    orders: ErasingOrders,
    signer: NoteSigner | undefined,
    counts: ErasureCounts,
    signal: AbortSignal,
  ): Promise<RowName[] | undefined> {
    const rewritten: RowName[] = [];
    let after: RowName = { writer: 0, first: 0 };
    for (;;) {
      signal.throwIfAborted();
      const from = after;
      const rewrite = () => this.options.database.transaction((client) => this.step(client, day, from, orders, signer));
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
    orders: ErasingOrders,
    signer: NoteSigner | undefined,
  ): Promise<{ counts: ErasureCounts; rewritten: RowName[]; last: RowName | undefined } | undefined> {
    const { database } = this.options;
    if (signer !== undefined) {
      const [held] = await client.query<{ held: boolean }>(
        'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS held',
        [`verdict erasures of ${database.schema}`],
      );
      if (!held!.held) return undefined;
    }
    const rows = await client.query<ErasedRow>(
      `SELECT g.writer, g.first, g.since, g.salts, g.records, CASE WHEN g.entry IS NULL THEN NULL ELSE (
         SELECT t.tree FROM ${database.table('decision_tree')} t
         WHERE t.writer = g.writer AND t.first <= g.first ORDER BY t.first DESC LIMIT 1) END AS tree
       FROM ${database.table('decision_group')} g
       WHERE g.day = $1::date AND (g.writer, g.first) > ($2::int, $3::int8) ORDER BY g.writer, g.first LIMIT ${rowsAtOnce}`,
      [day, after.writer, after.first],
    );
    const counts = new ErasureCounts();
    const rewritten: RowName[] = [];
    const turns = new Turns();
    for (const row of rows) {
      if (row.since > orders.standing.latest) continue;
      if (turns.isOver) await turns.next();
      const { writer, first, tree } = row;
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
      await client.write(
        `UPDATE ${database.table('decision_group')} SET records = $4, keys = $5, salts = $6
         WHERE day = $1::date AND writer = $2 AND first = $3`,
        [
          day,
          writer,
          first,
          text,
          groupOfText(first, text).entries,
          row.salts === null ? null : withoutSalts(row.salts, places),
        ],
      );
      rewritten.push({ writer, first });
    }
    return { counts, rewritten, last: rows.length < rowsAtOnce ? undefined : rows.at(-1) };
  }

  /** Frees what was rewritten, where this role owns the tables; else autovacuum does. */
  private async vacuum(tables: readonly string[]): Promise<void> {
    const { database } = this.options;
    const owned = await database.query<{ name: string }>(
      `SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = $1 AND c.relname = ANY ($2::text[]) AND pg_has_role(c.relowner, 'USAGE')`,
      [database.schema, tables],
    );
    // It cannot run in a transaction, and may take long.
    const client = await database.connect({ answerTimeoutMs: 0 });
    try {
      for (const { name } of owned) await client.query(`VACUUM ${database.table(name)}`);
    } finally {
      await client.close();
    }
  }
}
