/**
 * Erases persons from a closed file of the journal. The file itself is never written: a copy is rewritten, copied once more so that no
 * free page has a byte of what was there, and takes the file's place when it is whole. Until then a stop, a crash or a reader meets the
 * file as it was.
 */
import { rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { makeSafe } from '../../database/sqlite/database-watch.js';
import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { Turns } from '../../turns/turns.js';
import { ErasureCounts } from '../erasure/erase-group.js';
import { signErasure } from '../erasure/erasure-signature.js';
import type { ErasingOrders } from '../erasure/erasures.js';
import type { GroupCoding } from '../group-coding.js';
import type { NoteSigner } from '../proof/signed-note.js';
import { type JournalFormat, readBeginning } from './journal-format.js';
import { KeyIndex } from './key-index.js';
import { erasureDraftsOf, removeErasureDrafts } from './log-files.js';
import type { UnitWork } from './log-view.js';
import { eraseFromRow, readStoredGroups, type StoredGroupRow, storedColumns, writeErasedRow } from './stored-group.js';

export interface JournalEraser extends ErasingOrders {
  /** The key of the log. */
  readonly signer: NoteSigner;
}

/** How a file of the journal is written. */
export interface JournalFileForm {
  readonly format: JournalFormat;
  readonly coding: GroupCoding;
}

/** Rows that are read at once: some hundred kilobytes, as a rule. */
const rowsAtOnce = 64;
/** Rows of a copy that one transaction rewrites. */
const rowsAtOnceWritten = 256;

/** Of a file, what an erasure has to do in it. */
export interface FileScan {
  /** The `first` of each row that is to be rewritten. */
  readonly rows: readonly number[];
  /** The `first` of the last row that was looked at. */
  readonly to: number;
  /** True if the retention has deleted rows from it, of which free pages may keep something. */
  readonly hasRemains: boolean;
  /** What a rewriting would come to. */
  readonly counts: ErasureCounts;
  /** False for a file that is not at its place. */
  readonly isThere: boolean;
}

/** Reads the rows of a unit from after `after` on; undefined where the file is gone. */
export type ReadUnit = <T>(work: UnitWork<T>) => Promise<T | undefined>;

/**
 * Looks which rows of a file name a person, in turns.
 *
 * @param unitFirst the sequence with which the file began
 * @param after the sequence behind which it looks
 * @param signal ends it early; then it rejects
 */
export async function scanFile(
  unitFirst: number,
  read: ReadUnit,
  eraser: ErasingOrders,
  after: number,
  signal: AbortSignal,
): Promise<FileScan> {
  const rows: number[] = [];
  const counts = new ErasureCounts();
  const { standing, isHeld } = eraser;
  const turns = new Turns();
  const file = await read(async (connection, coding) => ({
    coding,
    columns: await storedColumns(connection, 'journal'),
    hasRemains: await hasRemains(connection, unitFirst),
  }));
  let from = after;
  let isThere = file !== undefined;
  while (file !== undefined) {
    signal.throwIfAborted();
    const found = await read((connection) => readStoredGroups(connection, 'journal', file.columns, from, rowsAtOnce));
    for (const row of found ?? []) {
      if (turns.isOver) await turns.next();
      // Nothing is signed that is not written.
      const { changes, counts: more } = eraseFromRow(row, file.coding, { standing, isHeld });
      if (changes !== undefined) rows.push(row.first);
      counts.add(more);
      from = row.first;
    }
    isThere = found !== undefined;
    if (found === undefined || found.length < rowsAtOnce) break;
  }
  return { rows, to: from, hasRemains: file?.hasRemains ?? false, counts, isThere };
}

/** Says in a file, as its `application_id`, that no page of it keeps anything of deleted rows. */
const withoutRemains = 0x76657261;

async function hasRemains(connection: SqliteConnection, unitFirst: number): Promise<boolean> {
  const [row] = await connection.query<{ first: number | null }>('SELECT min(first) AS first FROM journal.journal');
  if ((row?.first ?? Number.MAX_SAFE_INTEGER) <= unitFirst) return false;
  const [mark] = await connection.query<{ application_id: number }>('PRAGMA journal.application_id');
  return mark?.application_id !== withoutRemains;
}

/**
 * Makes the file that is to take the place of a closed one; returns its path.
 *
 * @param path the closed file
 * @param rows those to be rewritten, as `scanFile` found them
 */
export async function eraseFile(
  path: string,
  form: JournalFileForm,
  rows: readonly number[],
  eraser: JournalEraser,
  signal: AbortSignal,
): Promise<string> {
  removeErasureDrafts(path);
  const { work, made } = erasureDraftsOf(path);
  await copyFile(path, work);
  const connection = await SqliteConnection.open({
    path: work,
    wal: false,
    // What a crash leaves of it is removed.
    setup: ['PRAGMA journal_mode = OFF', 'PRAGMA synchronous = OFF', 'PRAGMA secure_delete = ON'],
    busyTimeoutMs: 0,
  });
  try {
    await rewriteRows(connection, form, rows, eraser, signal);
    await connection.query(`PRAGMA application_id = ${withoutRemains}`);
    await connection.query(`VACUUM INTO '${made.replaceAll("'", "''")}'`);
    await makeSafe(made);
    return made;
  } finally {
    await connection.close();
    rmSync(work, { force: true });
  }
}

async function rewriteRows(
  connection: SqliteConnection,
  { format, coding }: JournalFileForm,
  rows: readonly number[],
  { standing, isHeld, signer }: JournalEraser,
  signal: AbortSignal,
): Promise<void> {
  const turns = new Turns();
  const tree = (await readBeginning(connection, format))?.tree?.name;
  const sign = (sequence: number, whole: string) => signErasure(tree!, sequence, whole, signer);
  const columns = await storedColumns(connection, 'main');
  for (let at = 0; at < rows.length; at += rowsAtOnceWritten) {
    signal.throwIfAborted();
    await connection.query('BEGIN');
    for (const first of rows.slice(at, at + rowsAtOnceWritten)) {
      const [row] = await connection.query<StoredGroupRow>(`SELECT ${columns} FROM journal WHERE first = ?`, [first]);
      if (row === undefined) continue;
      if (turns.isOver) await turns.next();
      const { changes } = eraseFromRow(row, coding, {
        standing,
        isHeld,
        ...(tree !== undefined && { sign }),
      });
      if (changes !== undefined) await writeErasedRow(connection, first, changes);
    }
    await connection.query('COMMIT');
  }
}

/** Makes the index of the file that `eraseFile` made; returns its path. */
export async function indexErasedFile(
  made: string,
  coding: GroupCoding,
  indexPath: string,
  last: number,
  signal: AbortSignal,
): Promise<string> {
  removeErasureDrafts(indexPath);
  const path = erasureDraftsOf(indexPath).made;
  const writer = await writerOf(made);
  const index = await KeyIndex.open(path, made, writer, last, coding);
  try {
    for (let more = true; more; ) {
      signal.throwIfAborted();
      more = (await index.catchUpStep(last)) || (await index.mergeAllStep());
    }
    await index.leaveWal();
  } finally {
    await index.close();
  }
  await makeSafe(path);
  return path;
}

async function writerOf(path: string): Promise<number> {
  const connection = await SqliteConnection.open({
    path: ':memory:',
    immutable: true,
    attached: { journal: path },
    busyTimeoutMs: 0,
  });
  try {
    const [log] = await connection.query<{ writer: number }>('SELECT writer FROM journal.log');
    return log!.writer;
  } finally {
    await connection.close();
  }
}
