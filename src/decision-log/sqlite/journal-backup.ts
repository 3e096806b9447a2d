import { constants, existsSync } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { leaveWal, SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { readBeginning, readFormat } from './journal-format.js';
import { closedFiles, closedIndexPathOf, closedPathOf } from './log-files.js';

/** Rows that one statement copies: some megabytes, in tens of milliseconds. */
const rowsAtOnce = 128;

/**
 * Copies the journal into a folder, also while a service writes it; returns the files. The closed files are copied as
 * they are, with their indexes. Of the open one the rows are copied that are committed when this begins, a few at a time:
 * a reader that keeps one snapshot of it for as long as that takes would let its WAL grow.
 *
 * The open file comes first. If it is closed meanwhile, what it held is in the copy of it, and it is not copied again.
 */
export async function backUpJournal(path: string, folder: string): Promise<string[]> {
  const copies: string[] = [];
  let start = Number.MAX_SAFE_INTEGER;
  if (existsSync(path)) {
    const to = join(folder, basename(path));
    start = await copyOpenFile(path, to);
    copies.push(to);
  }
  for (const first of closedFiles(path).filter((closed) => closed < start)) {
    for (const from of [closedPathOf(path, first), closedIndexPathOf(path, first)]) {
      const to = join(folder, basename(from));
      if (await copyClosedFile(from, to)) copies.push(to);
    }
  }
  return copies;
}

/** Says whether the file was there: retention may have removed it, and an index can be missing. */
async function copyClosedFile(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  await makePrivate(to);
  return true;
}

async function makePrivate(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.chmod(0o600);
  await file.sync();
  await file.close();
}

/** Returns the sequence with which the file begins. */
async function copyOpenFile(from: string, to: string): Promise<number> {
  const connection = await SqliteConnection.open({
    path: to,
    attached: { journal: from },
    busyTimeoutMs: 10_000,
  });
  try {
    const format = await readFormat(connection, from, 'journal');
    const beginning = format && (await readBeginning(connection, format, 'journal'));
    if (beginning === undefined) throw new Error(`${from} is not a decision log`);
    const objects = await connection.query<{ type: string; name: string; sql: string }>(
      `SELECT type, name, sql FROM journal.sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
       ORDER BY type DESC`,
    );
    for (const { sql } of objects) await connection.query(sql);
    await connection.query(`PRAGMA main.user_version = ${format === 1 ? 0 : format}`);
    await copyRows(connection);
    for (const { type, name } of objects) {
      if (type !== 'table' || name === 'journal') continue;
      const within = conditions[name] ?? '';
      await connection.query(`INSERT INTO main."${name}" SELECT * FROM journal."${name}" ${within}`);
    }
    await connection.query('DETACH DATABASE journal');
    await leaveWal(connection);
    return beginning.start;
  } finally {
    await connection.close();
    await makePrivate(to);
  }
}

/** What is about rows that are not in the copy stays out of it: it would say that they are missing. */
const copiedEntries = '(SELECT coalesce(max(entry) + 1, (SELECT entries FROM journal.log)) FROM main.journal)';
const conditions: { readonly [table: string]: string } = {
  span: 'WHERE last <= (SELECT max(first) FROM main.journal)',
  checkpoint: `WHERE entries <= ${copiedEntries}`,
};

async function copyRows(connection: SqliteConnection): Promise<void> {
  const [end] = await connection.query<{ first: number | null }>('SELECT max(first) AS first FROM journal.journal');
  const last = end?.first ?? 0;
  for (let copied = 0; copied < last; ) {
    const [next] = await connection.query<{ first: number | null }>(
      `SELECT max(first) AS first FROM (
         SELECT first FROM journal.journal WHERE first > ? AND first <= ? ORDER BY first LIMIT ${rowsAtOnce})`,
      [copied, last],
    );
    if (next?.first == null) return;
    await connection.query('INSERT INTO main.journal SELECT * FROM journal.journal WHERE first > ? AND first <= ?', [
      copied,
      next.first,
    ]);
    copied = next.first;
  }
}
