import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { isDamaged } from '../../database/sqlite/sqlite-connection.js';
import { MissingEncryptionKey, WrongWrappedKey } from '../../encryption/encryption-keys.js';
import type { GroupCoding } from '../group-coding.js';
import { Frontier, WrongFrontier } from '../proof/merkle-tree.js';
import type { ProofSink, StoredProofGap, StoredProofGroup } from '../proof/proof-sink.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import { encryptedFormat, isProven, readBeginning } from './journal-format.js';
import { readAnchor } from './journal-tree.js';
import type { LogView, UnitView } from './log-view.js';

/** Rows that are read at once. */
const rowsAtOnce = 256;

type Row = Omit<StoredProofGroup, 'beside'> & NonNullable<StoredProofGroup['beside']>;

/** As it is stored; without `records` where the texts are not asked for. */
type StoredRow = Omit<Row, 'text' | 'maskKeys' | 'salts'> & {
  readonly salts: Buffer | null;
  readonly records?: string | Buffer;
};

function decoded({ records, ...stored }: StoredRow, coding: GroupCoding): Row {
  const row = { ...stored, ...(!coding.isPlain && { maskKeys: (keys: Buffer) => coding.maskKeys(keys) }) };
  if (records === undefined) return coding.isPlain ? row : { ...row, salts: undefined };
  const { records: text, salts } = coding.decode({ ...stored, records });
  if (!coding.isPlain && salts === null) return { ...row, salts: undefined, isUndecryptable: true };
  return { ...row, text, salts };
}

/**
 * Verifies the files of a journal, the oldest first, also while a service writes them: what is committed later is not looked
 * at.
 *
 * @param nameOf how a file is called, by its first sequence
 */
export async function verifyJournal(
  view: LogView,
  verification: ProofSink,
  withTexts: boolean,
  nameOf: (unit: UnitView) => string,
): Promise<void> {
  const units = view.units.toReversed();
  for (const unit of units.filter(({ format }) => isProven(format))) {
    for (const { note, ...beside } of (await view.read(unit, readNotes)) ?? [])
      verification.checkpoint(note, nameOf(unit), beside.entries === null ? undefined : beside);
  }
  for (const unit of units) {
    if (isProven(unit.format)) {
      try {
        await verifyFile(view, unit, verification, withTexts, nameOf(unit));
      } catch (error) {
        const isUnreadable = error instanceof WrongFrontier || error instanceof WrongWrappedKey;
        if (!isDamaged(error) && !isUnreadable) throw error;
        verification.unreadable(nameOf(unit), unit.first, unit.last);
      }
    } else verification.unprovedRecords(unit.last - unit.first + 1);
  }
}

function readNotes(
  connection: SqliteConnection,
): Promise<Pick<StoredCheckpoint, 'entries' | 'sequence' | 'time' | 'note'>[]> {
  return connection.query(
    `SELECT entries, sequence, time, note FROM journal.checkpoint
     UNION ALL SELECT NULL, NULL, NULL, note FROM journal.anchor WHERE note IS NOT NULL`,
  );
}

async function verifyFile(
  view: LogView,
  unit: UnitView,
  verification: ProofSink,
  withTexts: boolean,
  place: string,
): Promise<void> {
  const beginning = await view.read(unit, (connection) => readBeginning(connection, unit.format, 'journal'));
  if (beginning?.tree === undefined) return;
  const { tree, writer } = beginning;
  const begun = (await view.read(unit, (connection) => readAnchor(connection, tree, 'journal'))) ?? Frontier.empty;
  const gaps =
    (await view.read(unit, (connection) =>
      connection.query<StoredProofGap>(
        `SELECT after, lost, since, until, cause, entry, node FROM journal.gap ORDER BY coalesce(entry, 0), id`,
      ),
    )) ?? [];
  // Notes of gaps stay when the retention deletes the rows around them.
  const waiting = gaps.filter(({ entry }) => entry === null || entry >= begun.size);
  let after = unit.first - 1;
  let isBegun = false;
  for (;;) {
    const rows = await readRows(view, unit, after, withTexts);
    if (!isBegun) {
      const start = begun.size > tree.frontier.size ? (rows[0]?.first ?? unit.last + 1) : beginning.start;
      verification.begin({ journal: beginning.name, tree: tree.name, place, begun, start, writer });
      isBegun = true;
    }
    for (const { since, until, idSince, idUntil, keys, maskKeys, ...group } of rows) {
      while (waiting[0] !== undefined && (waiting[0].entry ?? 0) < (group.entry ?? 0))
        verification.gap(waiting.shift()!);
      await verification.group({
        ...group,
        beside: { since, until, idSince, idUntil, keys, ...(maskKeys && { maskKeys }) },
      });
      after = group.first + Math.max(1, group.count) - 1;
    }
    if (rows.length < rowsAtOnce) break;
  }
  for (const gap of waiting) verification.gap(gap);
  await verifyEnd(view, unit, verification, place);
}

/** Behind the last record of a closed file nothing was ever written, and nobody reads it. */
async function verifyEnd(view: LogView, unit: UnitView, verification: ProofSink, place: string): Promise<void> {
  // The file that is open goes on.
  if (unit === view.units[0]) return;
  const [row] =
    (await view.read(unit, (connection) =>
      connection.query<{ first: number; last: number }>(
        `SELECT first, (SELECT max(first + count) - 1 FROM journal.journal) AS last FROM journal.journal
         WHERE first > ? ORDER BY first LIMIT 1`,
        [unit.last],
      ),
    )) ?? [];
  if (row !== undefined) verification.beyond(place, row.first, row.last);
}

async function readRows(view: LogView, unit: UnitView, after: number, withTexts: boolean): Promise<readonly Row[]> {
  const columns = `first, count, since, until, idSince, idUntil, keys, entry, node, leaves, salts${withTexts ? ', records' : ''}`;
  const read = (atMost: number) =>
    view.read(unit, async (connection, coding) => {
      const rows = await connection.query<StoredRow>(
        `SELECT ${columns} FROM journal.journal WHERE first > ? AND first <= ? ORDER BY first LIMIT ${atMost}`,
        [after, unit.last],
      );
      return rows.map((row) => decoded(row, coding));
    });
  try {
    return (await read(rowsAtOnce)) ?? [];
  } catch (error) {
    if (!isDamaged(error)) throw error;
    // What can be read before the damaged page; what is behind it is missing.
    const rows: Row[] = [];
    for (let from = after; ; ) {
      const next = await readOne(view, unit, from, columns);
      if (next === undefined) return rows;
      rows.push(next);
      from = next.first + next.count - 1;
      if (rows.length === rowsAtOnce) return rows;
    }
  }
}

async function readOne(view: LogView, unit: UnitView, after: number, columns: string): Promise<Row | undefined> {
  for (let from = after; from < unit.last; from++) {
    try {
      return await view.read(unit, async (connection, coding) => {
        const [row] = await connection.query<StoredRow>(
          `SELECT ${columns} FROM journal.journal WHERE first > ? AND first <= ? ORDER BY first LIMIT 1`,
          [from, unit.last],
        );
        return row && decoded(row, coding);
      });
    } catch (error) {
      if (!isDamaged(error)) throw error;
    }
  }
  return undefined;
}

/** Why some file's records cannot be decrypted for want of a key; undefined where all can. */
export async function missingKeyOf(view: LogView): Promise<MissingEncryptionKey | undefined> {
  for (const unit of view.units.filter(({ format }) => format === encryptedFormat)) {
    const locked = await view.read(unit, async (_, coding) => coding.locked);
    if (locked instanceof MissingEncryptionKey) return locked;
  }
  return undefined;
}
