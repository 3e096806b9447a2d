import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { EncryptionKeys, MissingEncryptionKey, newKey, WrongWrappedKey } from '../../encryption/encryption-keys.js';
import { EncryptedCoding } from '../encrypted-coding.js';
import { type GroupCoding, lockedCoding, plainCoding } from '../group-coding.js';
import { encryptedFormat, journalFormat } from './journal-format.js';

type Schema = 'main' | 'journal';

/** What the wrapped keys of a file are for: the `use` that EncryptionKeys wants. */
export const keyUses = {
  text: (tree: string): string => `text of ${tree}`,
  index: (): string => 'index of a decision log',
} as const;
export type KeyUse = keyof typeof keyUses;

/** A row of `data_key`. */
export interface DataKeyRow {
  readonly use: KeyUse;
  readonly wrapped: Buffer;
}

/**
 * How the file on a connection writes down its groups. It is locked where the file is encrypted and its key is not among
 * `keys`, or was changed.
 *
 * @param what the file, for errors
 */
export async function codingOf(
  connection: SqliteConnection,
  keys: EncryptionKeys | undefined,
  schema: Schema,
  what: string,
): Promise<GroupCoding> {
  const [version] = await connection.query<{ user_version: number }>(`PRAGMA ${schema}.user_version`);
  if (journalFormat(version!.user_version) !== encryptedFormat) return plainCoding;
  const [log] = await connection.query<{ tree: string }>(`SELECT tree FROM ${schema}.log`);
  const rows = await connection.query<DataKeyRow>(`SELECT use, wrapped FROM ${schema}.data_key`);
  const unwrap = (use: KeyUse): Buffer => {
    const row = rows.find((each) => each.use === use);
    if (log === undefined || row === undefined) throw new WrongWrappedKey(what);
    return (keys ?? EncryptionKeys.none).unwrap(row.wrapped, keyUses[use](log.tree), what);
  };
  try {
    return new EncryptedCoding(log?.tree ?? '', unwrap('text'), unwrap('index'));
  } catch (error) {
    if (error instanceof MissingEncryptionKey || error instanceof WrongWrappedKey) return lockedCoding(error);
    throw error;
  }
}

/** Gives an empty file its keys. `indexKey`: that of the log's other files; a new one where there is none. */
export async function makeDataKeys(
  connection: SqliteConnection,
  tree: string,
  keys: EncryptionKeys,
  indexKey: Buffer = newKey(),
): Promise<void> {
  await connection.query('INSERT OR REPLACE INTO data_key (use, wrapped) VALUES (?, ?), (?, ?)', [
    'text',
    keys.wrap(newKey(), keyUses.text(tree)),
    'index',
    keys.wrap(indexKey, keyUses.index()),
  ]);
}

/**
 * Gives a copy of a closed file the wrapped keys that the file has now, and calls `place`, which puts the copy in its place. Nobody
 * wraps the keys anew meanwhile.
 */
export async function carryDataKeys(path: string, copy: string, place: () => void): Promise<void> {
  const file = await SqliteConnection.open({ path, wal: false, busyTimeoutMs: 10_000 });
  try {
    await file.query('BEGIN IMMEDIATE');
    const rows = await file.query<DataKeyRow>('SELECT use, wrapped FROM data_key');
    const made = await SqliteConnection.open({
      path: copy,
      wal: false,
      setup: ['PRAGMA journal_mode = MEMORY', 'PRAGMA synchronous = FULL'],
      busyTimeoutMs: 0,
    });
    try {
      for (const { use, wrapped } of rows)
        await made.query('INSERT OR REPLACE INTO data_key (use, wrapped) VALUES (?, ?)', [use, wrapped]);
    } finally {
      await made.close();
    }
    place();
    await file.query('ROLLBACK');
  } finally {
    await file.close();
  }
}

/** The codings of the files that are read, each found out once for a connection. */
export class FileCodings {
  private readonly found = new WeakMap<SqliteConnection, Promise<GroupCoding>>();

  constructor(private readonly keys: EncryptionKeys | undefined) {}

  /**
   * @param isEncrypted whether the file was when it was looked at last
   * @param what the file, for errors
   */
  of(connection: SqliteConnection, isEncrypted: boolean, what: string): Promise<GroupCoding> | GroupCoding {
    if (this.keys === undefined && !isEncrypted) return plainCoding;
    let coding = this.found.get(connection);
    if (coding === undefined) {
      coding = codingOf(connection, this.keys, 'journal', what);
      this.found.set(connection, coding);
      // Who uses it hears of a failure; the next one tries again.
      coding.catch(() => this.found.delete(connection));
    }
    return coding;
  }
}
