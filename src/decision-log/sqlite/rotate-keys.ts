/**
 * Wraps the keys of a journal's files anew, under the newest of the operator's keys, and encrypts files anew. Neither reads a
 * decision for longer than it writes it again, and what a crash leaves is as it was before.
 */
import { existsSync, rmSync, statSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { makeSafe } from '../../database/sqlite/database-watch.js';
import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { type EncryptionKeys, MissingEncryptionKey, WrongWrappedKey } from '../../encryption/encryption-keys.js';
import { Turns } from '../../turns/turns.js';
import { type CodedRow, type GroupCoding, plainCoding } from '../group-coding.js';
import { encodeKeys } from '../record-keys.js';
import { Catalog } from './catalog.js';
import { codingOf, type DataKeyRow, keyUses, makeDataKeys } from './file-coding.js';
import { migrationsOf } from './journal.js';
import { JournalFiles } from './journal-files.js';
import { encryptedFormat, isProven, type JournalFormat, readBeginning, readFormat } from './journal-format.js';
import {
  catalogPathOf,
  closedFiles,
  closedPathOf,
  erasureDraftsOf,
  removeClosedIndex,
  removeErasureDrafts,
  renameDurably,
} from './log-files.js';
import { keysOfText } from './stored-group.js';

/** What became of the files. */
export interface RotatedKeys {
  /** Files whose keys were wrapped anew, or that were encrypted anew. */
  readonly changed: readonly string[];
  /** Encrypted files whose keys the newest key had wrapped already. */
  readonly current: readonly string[];
  /** Files that are not encrypted. */
  readonly plain: readonly string[];
  /** Files that stay as they are, since they cannot be decrypted, and why. */
  readonly failed: readonly { readonly path: string; readonly why: string }[];
}

type Outcome = 'changed' | 'current' | 'plain';

/** Rows of a copy that one transaction encrypts. */
const rowsAtOnce = 64;

/**
 * Wraps the keys of all files under the newest key. A service may be writing the log: what it has opened goes on with the
 * keys that it has unwrapped. Nothing but some bytes of each file changes, by one statement.
 *
 * @param path the open file
 */
export async function rewrapJournal(path: string, keys: EncryptionKeys): Promise<RotatedKeys> {
  return forEachFile(path, async (file) => {
    for (;;) {
      const inode = inodeOf(file);
      try {
        return await rewrapFile(file, file === path, keys);
      } catch (error) {
        // SQLite writes into no file that an erasure has put another in the place of.
        if (inode === undefined || inode === inodeOf(file)) throw error;
      }
    }
  });
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

async function rewrapFile(file: string, isOpen: boolean, keys: EncryptionKeys): Promise<Outcome> {
  const connection = await SqliteConnection.open({ path: file, wal: isOpen, busyTimeoutMs: 10_000 });
  try {
    return await rewrap(connection, file, keys);
  } finally {
    await connection.close();
    // The retention removed it in the moment before it was opened, which made an empty one.
    if (!isOpen && statSync(file, { throwIfNoEntry: false })?.size === 0) rmSync(file);
  }
}

async function rewrap(connection: SqliteConnection, path: string, keys: EncryptionKeys): Promise<Outcome> {
  if ((await readFormat(connection, path)) !== encryptedFormat) return 'plain';
  const tree = (await readBeginning(connection, encryptedFormat))?.tree?.name ?? '';
  const rows = await connection.query<DataKeyRow>('SELECT use, wrapped FROM data_key');
  const outdated = rows.filter(({ wrapped }) => !keys.isNewest(wrapped));
  if (outdated.length === 0) return 'current';
  const wrapped = outdated.map((row) => {
    const use = keyUses[row.use](tree);
    return [row.use, keys.wrap(keys.unwrap(row.wrapped, use, path), use)] as const;
  });
  await connection.query(
    `INSERT OR REPLACE INTO data_key (use, wrapped) VALUES ${wrapped.map(() => '(?, ?)').join(', ')}`,
    wrapped.flat(),
  );
  return 'changed';
}

/**
 * Encrypts all files anew, each under a data key that nobody had before; those too that were written without a key. No
 * service may use the log meanwhile. Their indexes and key filters are removed, and made anew by the next start.
 *
 * Files of formats 1 and 2, which earlier releases wrote, stay as they are.
 *
 * @param path the open file; it is closed first
 */
export async function rewriteJournal(path: string, keys: EncryptionKeys): Promise<RotatedKeys> {
  const indexKey = await closeOpenFile(path, keys);
  if (closedFiles(path).length === 0) return noFiles;
  const catalog = await Catalog.open(catalogPathOf(path));
  try {
    const rotated = await forEachFile(path, async (file, first) => {
      // The open one was begun just now.
      if (first === undefined) return 'current';
      removeErasureDrafts(file);
      try {
        const made = await encryptedCopy(file, keys, indexKey);
        if (made === undefined) return 'plain';
        // The catalog first, then the index: whatever a crash leaves is read from the file itself, in either form.
        await catalog.remove(first);
        removeClosedIndex(path, first);
        renameDurably(made, file);
        return 'changed';
      } finally {
        removeErasureDrafts(file);
      }
    });
    return { ...rotated, current: [] };
  } finally {
    await catalog.close();
  }
}

const noFiles: RotatedKeys = { changed: [], current: [], plain: [], failed: [] };

/** Begins another file, so that the newest records are encrypted anew, too; returns the index key of the log. */
async function closeOpenFile(path: string, encryption: EncryptionKeys): Promise<Buffer> {
  const problems: string[] = [];
  const files = await JournalFiles.open({
    path,
    durability: 'FULL',
    limits: {
      bytes: Number.MAX_SAFE_INTEGER,
      records: Number.MAX_SAFE_INTEGER,
      spanMs: Number.MAX_SAFE_INTEGER,
      walBytes: Number.MAX_SAFE_INTEGER,
    },
    encryption,
    onProblem: (what) => problems.push(what),
  });
  try {
    if (!files.journal.isEmpty && !(await files.turn())) throw new Error(`${path} is open in another process`);
    return files.journal.indexKey!;
  } finally {
    await files.close();
  }
}

/** A copy of a closed file, encrypted under another data key; undefined for one of a format that cannot be. */
async function encryptedCopy(path: string, keys: EncryptionKeys, indexKey: Buffer): Promise<string | undefined> {
  const { work, made } = erasureDraftsOf(path);
  const format = await formatOf(path);
  if (format === undefined || !isProven(format)) return undefined;
  await copyFile(path, work);
  const connection = await SqliteConnection.open({
    path: work,
    wal: false,
    migrations: migrationsOf[encryptedFormat],
    // What a crash leaves of it is removed.
    setup: ['PRAGMA journal_mode = OFF', 'PRAGMA synchronous = OFF'],
    busyTimeoutMs: 0,
  });
  try {
    const tree = (await readBeginning(connection, encryptedFormat))!.tree!.name;
    const before = format === encryptedFormat ? await codingOf(connection, keys, 'main', path) : plainCoding;
    if (before.locked !== undefined) throw before.locked;
    await makeDataKeys(connection, tree, keys, indexKey);
    const after = await codingOf(connection, keys, 'main', path);
    await encryptRows(connection, before, after, path);
    // Copied once more, so that no free page has a byte of what was there.
    await connection.query(`VACUUM INTO '${made.replaceAll("'", "''")}'`);
    await makeSafe(made);
    return made;
  } finally {
    await connection.close();
    rmSync(work, { force: true });
  }
}

async function encryptRows(
  connection: SqliteConnection,
  before: GroupCoding,
  after: GroupCoding,
  path: string,
): Promise<void> {
  const turns = new Turns();
  for (let from = 0; ; ) {
    const rows = await connection.query<CodedRow & { readonly keys: Buffer }>(
      `SELECT first, count, records, salts, keys FROM journal WHERE first > ? ORDER BY first LIMIT ${rowsAtOnce}`,
      [from],
    );
    if (rows.length === 0) return;
    await connection.query('BEGIN');
    for (const row of rows) {
      if (turns.isOver) await turns.next();
      const { records: text, salts } = before.decode(row);
      if (!before.isPlain && salts === null) throw new UndecryptableGroup(path, row.first);
      const coded = after.encode(row.first, text, salts ?? undefined, row.count);
      await connection.query('UPDATE journal SET records = ?, salts = ?, keys = ?, shipping = NULL WHERE first = ?', [
        coded.records,
        coded.salts,
        keysAnew(row.keys, text, before, after),
        row.first,
      ]);
    }
    await connection.query('COMMIT');
    from = rows.at(-1)!.first;
  }
}

function keysAnew(keys: Buffer, text: string, before: GroupCoding, after: GroupCoding): Buffer {
  if (before.keyedBy === after.keyedBy) return keys;
  if (before.isPlain) return after.maskKeys(keys);
  // What masked them cannot be undone.
  const made = keysOfText(text);
  return after.maskKeys(encodeKeys(made.keys(), made.size));
}

/** A group that was changed: the file that holds it is not written anew, so that what proves the change stays. */
class UndecryptableGroup extends Error {
  override readonly name = 'UndecryptableGroup';

  constructor(path: string, first: number) {
    super(`${path}: the records from sequence ${first} on cannot be decrypted; \`verdict log verify\` says more`);
  }
}

/** Undefined where there is no journal in it. */
async function formatOf(path: string): Promise<JournalFormat | undefined> {
  const connection = await SqliteConnection.open({
    path: ':memory:',
    immutable: true,
    attached: { journal: path },
    busyTimeoutMs: 0,
  });
  try {
    return await readFormat(connection, path, 'journal');
  } finally {
    await connection.close();
  }
}

/**
 * Does something with each file, the open one last; `first` is undefined for that one. A file that was closed meanwhile is not
 * left out.
 */
async function forEachFile(
  path: string,
  work: (file: string, first: number | undefined) => Promise<Outcome>,
): Promise<RotatedKeys> {
  const found = { changed: [] as string[], current: [] as string[], plain: [] as string[] };
  const failed: { path: string; why: string }[] = [];
  const done = new Set<number>();
  const attempt = async (file: string, first?: number): Promise<void> => {
    try {
      found[await work(file, first)].push(file);
    } catch (error) {
      const isTold = [MissingEncryptionKey, WrongWrappedKey, UndecryptableGroup].some((kind) => error instanceof kind);
      if (!isTold) throw error;
      failed.push({ path: file, why: (error as Error).message });
    }
  };
  const closed = async (): Promise<void> => {
    for (const first of closedFiles(path).filter((each) => !done.has(each))) {
      done.add(first);
      const file = closedPathOf(path, first);
      if (existsSync(file)) await attempt(file, first);
    }
  };
  await closed();
  if (existsSync(path)) await attempt(path);
  await closed();
  return { ...found, failed };
}
