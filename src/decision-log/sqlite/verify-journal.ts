import { basename } from 'node:path';
import { isDamaged } from '../../database/sqlite/sqlite-connection.js';
import { MissingEncryptionKey, WrongWrappedKey } from '../../encryption/encryption-keys.js';
import type { GroupCoding } from '../group-coding.js';
import { Frontier, WrongFrontier } from '../proof/merkle-tree.js';
import type { ProofSink, ProvenRecords, ReadOptions, StoredProofGap, StoredProofGroup } from '../proof/proof-sink.js';
import type { StoredCheckpoint } from '../proof/stored-checkpoint.js';
import { encryptedFormat, isProven, readBeginning, readLast } from './journal-format.js';
import { readAnchor } from './journal-tree.js';
import { readSigningKeys } from './journal-trees.js';
import { closedFiles, closedPathOf } from './log-files.js';
import type { LogView, UnitView } from './log-view.js';

/** Rows that are read at once where nobody decides meanwhile. */
const manyRows = 256;

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

/** What a reading of the whole journal shares. */
interface Reading extends Required<ReadOptions> {
  readonly view: LogView;
  readonly viewNow: () => Promise<LogView>;
  /** The first sequences of the closed files. */
  readonly closed: ReadonlySet<number>;
  readonly sink: ProofSink;
  readonly placeOf: (unit: UnitView) => string;
  /** Sequence of the last record that is read of the file that was open; undefined: as the view says. */
  lastOfOpen?: number;
  /** Whether the retention removed records meanwhile. */
  isShortened: boolean;
}

/**
 * The journal as it is now with what proves it, the oldest file first, also while a service writes it.
 *
 * @param viewNow asked again where a file is gone: its anchors say what the retention removed meanwhile
 * @param path of the file that is open
 */
export async function provenJournal(viewNow: () => Promise<LogView>, path: string): Promise<ProvenRecords> {
  // What is closed before the view is taken does not change any more.
  const closed = new Set(closedFiles(path));
  const view = await viewNow();
  const placeOf = ({ first }: UnitView) => basename(closed.has(first) ? closedPathOf(path, first) : path);
  return {
    keys: await readSigningKeys(view),
    locked: await missingKeyOf(view),
    read: async (sink, { withTexts, rowsAtOnce = manyRows }) => {
      const reading: Reading = { view, viewNow, closed, sink, placeOf, withTexts, rowsAtOnce, isShortened: false };
      const units = view.units.toReversed();
      for (const unit of units.filter(({ format }) => isProven(format))) await readNotes(reading, unit);
      for (const unit of units) {
        if (!isProven(unit.format)) {
          sink.unprovedRecords(unit.last - unit.first + 1);
          continue;
        }
        try {
          await readFile(reading, unit);
        } catch (error) {
          const isUnreadable = error instanceof WrongFrontier || error instanceof WrongWrappedKey;
          if (!isDamaged(error) && !isUnreadable) throw error;
          sink.unreadable(placeOf(unit), unit.first, unit.last);
        }
      }
    },
  };
}

async function readNotes(reading: Reading, unit: UnitView): Promise<void> {
  const { view, sink, placeOf } = reading;
  const notes = await view.read(unit, (connection) =>
    connection.query<Pick<StoredCheckpoint, 'entries' | 'sequence' | 'time' | 'note'>>(
      'SELECT entries, sequence, time, note FROM journal.checkpoint',
    ),
  );
  for (const { note, ...beside } of notes ?? []) await sink.checkpoint(note, placeOf(unit), beside);
  await giveAnchors(reading, view, unit);
  if (reading.closed.has(unit.first)) return;
  // A note that was just read can sign records that are newer than the view.
  const last = await view.read(unit, (connection) => readLast(connection, unit.first, 'journal'));
  reading.lastOfOpen = Math.max(unit.last, last ?? 0);
}

async function giveAnchors({ sink, placeOf }: Reading, view: LogView, unit: UnitView): Promise<void> {
  const anchors = await view.read(unit, (connection) =>
    connection.query<{ note: string }>('SELECT note FROM journal.anchor WHERE note IS NOT NULL'),
  );
  for (const { note } of anchors ?? []) await sink.checkpoint(note, placeOf(unit));
}

async function readFile(reading: Reading, unit: UnitView): Promise<void> {
  const { view, sink } = reading;
  const place = reading.placeOf(unit);
  const last = reading.closed.has(unit.first) ? unit.last : (reading.lastOfOpen ?? unit.last);
  const beginning = await view.read(unit, (connection) => readBeginning(connection, unit.format, 'journal'));
  if (beginning?.tree === undefined) {
    reading.isShortened ||= beginning === undefined;
    return;
  }
  if (reading.isShortened) {
    reading.isShortened = false;
    const now = await reading.viewNow();
    for (const each of now.units.filter(({ format }) => isProven(format))) await giveAnchors(reading, now, each);
  }
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
    const rows = await readRows(reading, unit, after, last);
    reading.isShortened ||= rows === undefined;
    if (!isBegun) {
      const start = begun.size > tree.frontier.size ? (rows?.[0]?.first ?? last + 1) : beginning.start;
      sink.begin({ journal: beginning.name, tree: tree.name, place, begun, start, writer });
      isBegun = true;
    }
    for (const { since, until, idSince, idUntil, keys, maskKeys, ...group } of rows ?? []) {
      while (waiting[0] !== undefined && (waiting[0].entry ?? 0) < (group.entry ?? 0)) await sink.gap(waiting.shift()!);
      await sink.group({
        ...group,
        beside: { since, until, idSince, idUntil, keys, ...(maskKeys && { maskKeys }) },
      });
      after = group.first + Math.max(1, group.count) - 1;
    }
    // Nothing of a file that was removed is read on.
    if (rows === undefined) return;
    if (rows.length < reading.rowsAtOnce) break;
  }
  for (const gap of waiting) await sink.gap(gap);
  await readEnd(reading, unit, place);
}

/** Behind the last record of a closed file nothing was ever written, and nobody reads it. */
async function readEnd({ view, sink, closed }: Reading, unit: UnitView, place: string): Promise<void> {
  // The file that is open goes on.
  if (!closed.has(unit.first)) return;
  const [row] =
    (await view.read(unit, (connection) =>
      connection.query<{ first: number; last: number }>(
        `SELECT first, (SELECT max(first + count) - 1 FROM journal.journal) AS last FROM journal.journal
         WHERE first > ? ORDER BY first LIMIT 1`,
        [unit.last],
      ),
    )) ?? [];
  if (row !== undefined) sink.misplaced(place, 'records were added behind its end', row.first, row.last);
}

/** The rows behind a sequence; undefined where the file was removed meanwhile. */
async function readRows(
  { view, withTexts, rowsAtOnce }: Reading,
  unit: UnitView,
  after: number,
  last: number,
): Promise<readonly Row[] | undefined> {
  const columns = `first, count, since, until, idSince, idUntil, keys, entry, node, leaves, salts${withTexts ? ', records' : ''}`;
  const read = (from: number, atMost: number) =>
    view.read(unit, async (connection, coding) => {
      const rows = await connection.query<StoredRow>(
        `SELECT ${columns} FROM journal.journal WHERE first > ? AND first <= ? ORDER BY first LIMIT ${atMost}`,
        [from, last],
      );
      return rows.map((row) => decoded(row, coding));
    });
  try {
    return await read(after, rowsAtOnce);
  } catch (error) {
    if (!isDamaged(error)) throw error;
  }
  // What can be read around the damaged page.
  const rows: Row[] = [];
  for (let from = after; from < last && rows.length < rowsAtOnce; ) {
    const found = await read(from, 1).catch((error: unknown) => {
      if (!isDamaged(error)) throw error;
      return 'damaged' as const;
    });
    if (found === 'damaged') from++;
    else if (found === undefined || found.length === 0) return rows;
    else {
      rows.push(found[0]!);
      from = found[0]!.first + found[0]!.count - 1;
    }
  }
  return rows;
}

/** Why some file's records cannot be decrypted for want of a key; undefined where all can. */
async function missingKeyOf(view: LogView): Promise<MissingEncryptionKey | undefined> {
  for (const unit of view.units.filter(({ format }) => format === encryptedFormat)) {
    const locked = await view.read(unit, async (_, coding) => coding.locked);
    if (locked instanceof MissingEncryptionKey) return locked;
  }
  return undefined;
}
