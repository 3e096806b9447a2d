import type { PostgresClient } from '../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../database/postgres/postgres-database.js';
import { recordsOf } from '../group-text.js';
import type { JournalPosition, ShippedJournal } from '../shipped-journal.js';
import type { LogTransaction } from './row-walk.js';
import { type CodedText, SharedKeys, textColumns } from './shared-keys.js';

/** How far a journal is in the shared log. */
export interface WriterState {
  /** Its short number. */
  readonly writer: number;
  readonly journal: string;
  /** Every record up to this sequence is in the shared log. */
  readonly shipped: number;
  /** The id of that record, null where there is none; it proves that the log has this journal and not another. */
  readonly shippedId: string | null;
  /** Counts how often its keys were retired or removed (1764400000006-encryption.ts). */
  readonly keyEpoch: number;
}

/** Whose journal it is. */
export interface JournalName extends Pick<JournalPosition, 'journal' | 'idWriter' | 'end'> {
  /** The name of the replica. */
  readonly instance: string;
}

interface WriterRow {
  readonly writer: number;
  readonly fork: number;
  readonly shipped: number;
  readonly shipped_id: string | null;
  readonly key_epoch: number;
}

/**
 * Finds out how far a journal is in the shared log, and gives it a number if it is new.
 *
 * A journal whose name is known may still be another one: of a cloned volume, or of a machine that lost power and with it
 * the newest records, whose sequences it gives out again. The log then has, under its last sequence, the id of a record
 * that this journal does not have. Such a journal becomes a writer of its own, from the last record on that both have.
 *
 * @param forked hears what is to be said of it
 * @param keys what decrypts the records that the log has
 */
export async function findWriter(
  database: PostgresDatabase,
  client: PostgresClient,
  name: JournalName,
  own: ShippedJournal,
  forked: (what: string) => void,
  keys = SharedKeys.none,
): Promise<WriterState> {
  const { journal } = name;
  const rows = await client.query<WriterRow>(
    `SELECT writer, fork, shipped, shipped_id, key_epoch FROM ${database.table('decision_writer')}
     WHERE journal = $1 ORDER BY fork DESC`,
    [journal],
  );
  for (const row of rows) {
    if (await isSame(row, own)) {
      await client.transaction(async () => {
        await client.query(
          `UPDATE ${database.table('decision_writer')} SET state = 'running', beat = now(), instance = $2 WHERE writer = $1`,
          [row.writer, name.instance],
        );
        // It was given up, and is back.
        await client.query(
          `DELETE FROM ${database.table('decision_gap')} WHERE writer = $1 AND after = $2 AND cause = 'retired'`,
          [row.writer, row.shipped],
        );
      });
      return stateOf(row, journal);
    }
  }
  const [newest] = rows;
  if (newest === undefined) return addWriter(database, client, name, 0, 0, null);
  const common = await lastCommon({ client, table: (name) => database.table(name), keys }, newest, own);
  const shippedId = common === 0 ? null : ((await own.idAt(common)) ?? null);
  const added = await addWriter(database, client, name, newest.fork + 1, common, shippedId);
  forked(
    `the shared decision log has other records of the journal ${journal} than this replica behind sequence ${common}: ` +
      `a volume was copied, or the newest records were lost with the power; what this replica has is shipped as writer ` +
      `${added.writer} instead of ${newest.writer}`,
  );
  return added;
}

function stateOf({ writer, shipped, shipped_id, key_epoch }: WriterRow, journal: string): WriterState {
  return { writer, journal, shipped, shippedId: shipped_id, keyEpoch: key_epoch };
}

/** Whether the log's last record of the writer is one of this journal. */
async function isSame({ shipped, shipped_id }: WriterRow, own: ShippedJournal): Promise<boolean> {
  if (shipped === 0) return true;
  const id = await own.idAt(shipped);
  // The record is damaged here, as it was when the log was told of it.
  if (id === undefined && shipped_id === null) return true;
  if (id !== undefined) return id === shipped_id;
  // The retention deleted it here, as it does with what was shipped: then this journal goes on behind it.
  return (await own.first()) > shipped;
}

/** The last sequence under which the log and the journal have the same record: both begin alike, so it is found by halves. */
async function lastCommon(transaction: LogTransaction, row: WriterRow, own: ShippedJournal): Promise<number> {
  let low = 0;
  let high = row.shipped + 1;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const id = await own.idAt(middle);
    const theirs = id === undefined ? undefined : await sharedIdAt(transaction, row.writer, middle);
    if (id !== undefined && id === theirs) low = middle;
    else if (id === undefined && middle < (await own.first())) low = middle;
    else high = middle;
  }
  return low;
}

async function sharedIdAt(transaction: LogTransaction, writer: number, sequence: number): Promise<string | undefined> {
  const { client, table, keys } = transaction;
  const rows = await client.query<CodedText>(
    `SELECT ${textColumns} FROM ${table('decision_group')}
     WHERE writer = $1 AND first <= $2 AND first + count > $2`,
    [writer, sequence],
  );
  const [group] = await keys.decoded(transaction, rows);
  if (group === undefined) return undefined;
  for (const record of recordsOf(group, [], () => undefined)) if (record.sequence === sequence) return record.id;
  return undefined;
}

async function addWriter(
  database: PostgresDatabase,
  client: PostgresClient,
  { journal, idWriter, end, instance }: JournalName,
  fork: number,
  shipped: number,
  shippedId: string | null,
): Promise<WriterState> {
  const table = database.table('decision_writer');
  return client.transaction(async () => {
    await client.query(
      `INSERT INTO ${table} (journal, fork, id_writer, instance, shipped, shipped_id, indexed, decided)
       VALUES ($1, $2, $3, $4, $5, $6, $5, $7) ON CONFLICT (journal, fork) DO NOTHING`,
      [journal, fork, idWriter, instance, shipped, shippedId, end],
    );
    const [row] = await client.query<WriterRow>(
      `SELECT writer, fork, shipped, shipped_id, key_epoch FROM ${table} WHERE journal = $1 AND fork = $2`,
      [journal, fork],
    );
    return stateOf(row!, journal);
  });
}
