/** The key that the archive in an SQLite database is encrypted with: making it, reading it, wrapping it anew. */
import { SqliteConnection } from '../../../database/sqlite/sqlite-connection.js';
import { EncryptionKeys, newKey } from '../../../encryption/encryption-keys.js';
import { ArchiveCipher, archiveKeyUse, isSealed } from '../archive-cipher.js';
import { archiveMigrations } from './archive-migrations.js';
import { ArchiveKey1764800000013 } from './migrations/1764800000013-archive-key.js';

/** Contents that one transaction encrypts. */
const contentsAtOnce = 64;

/** The migrations of an archive that is encrypted from now on. */
export const encryptedArchiveMigrations = [...archiveMigrations, ArchiveKey1764800000013];

/** The archive's key as it is stored; undefined where it has none. */
async function wrappedKey(connection: SqliteConnection): Promise<Buffer | undefined> {
  const tables = await connection.query("SELECT 1 FROM sqlite_master WHERE name = 'archive_key'");
  if (tables.length === 0) return undefined;
  const [row] = await connection.query<{ wrapped: Buffer }>('SELECT wrapped FROM archive_key');
  return row?.wrapped;
}

/**
 * What decrypts the archive; undefined where it has no key.
 *
 * @param path for errors
 * @throws MissingEncryptionKey
 */
export async function archiveCipher(
  connection: SqliteConnection,
  keys: EncryptionKeys = EncryptionKeys.none,
  path: string,
): Promise<ArchiveCipher | undefined> {
  const wrapped = await wrappedKey(connection);
  return wrapped && new ArchiveCipher(keys.unwrap(wrapped, archiveKeyUse, path));
}

/** The same for an archive that is to be encrypted: one that has no key gets one. Its table is there. */
export async function makeArchiveCipher(
  connection: SqliteConnection,
  keys: EncryptionKeys,
  path: string,
): Promise<ArchiveCipher> {
  // Two processes may begin at once: the first key counts.
  if ((await wrappedKey(connection)) === undefined) {
    await connection.query('INSERT OR IGNORE INTO archive_key (id, wrapped) VALUES (1, ?)', [
      keys.wrap(newKey(), archiveKeyUse),
    ]);
  }
  return (await archiveCipher(connection, keys, path))!;
}

/** Says what became of the archive: its key was wrapped anew, was already, or there is none. */
export async function rewrapArchive(path: string, keys: EncryptionKeys): Promise<'changed' | 'current' | 'plain'> {
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 10_000 });
  try {
    const wrapped = await wrappedKey(connection);
    if (wrapped === undefined) return 'plain';
    if (keys.isNewest(wrapped)) return 'current';
    const anew = keys.wrap(keys.unwrap(wrapped, archiveKeyUse, path), archiveKeyUse);
    await connection.query('UPDATE archive_key SET wrapped = ?', [anew]);
    return 'changed';
  } finally {
    await connection.close();
  }
}

/**
 * Encrypts all contents under the archive's key, also those from before it had one; nothing is left of these in the file's free
 * pages and its WAL. Its key is wrapped anew. No service may use the database meanwhile.
 */
export async function rewriteArchive(path: string, keys: EncryptionKeys): Promise<'changed'> {
  const connection = await SqliteConnection.open({
    path,
    migrations: encryptedArchiveMigrations,
    setup: ['PRAGMA secure_delete = ON'],
    busyTimeoutMs: 10_000,
  });
  try {
    const cipher = await makeArchiveCipher(connection, keys, path);
    for (let after = ''; ; ) {
      const rows = await connection.query<{ digest: string; content: Buffer }>(
        `SELECT digest, content FROM policy_file WHERE digest > ? ORDER BY digest LIMIT ${contentsAtOnce}`,
        [after],
      );
      if (rows.length === 0) break;
      for (const { digest, content } of rows.filter((row) => !isSealed(row.content))) {
        await connection.query('UPDATE policy_file SET content = ? WHERE digest = ?', [
          cipher.seal(digest, content),
          digest,
        ]);
      }
      after = rows.at(-1)!.digest;
    }
    // Also what was freed before.
    await connection.query('VACUUM');
    await connection.query('PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    await connection.close();
  }
  await rewrapArchive(path, keys);
  return 'changed';
}
