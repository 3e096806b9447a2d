/** The key that the archive in PostgreSQL is encrypted with: making it, reading it, wrapping it anew. */

import type { PostgresClient, PostgresStatements } from '../../../database/postgres/postgres-client.js';
import type { PostgresDatabase } from '../../../database/postgres/postgres-database.js';
import { EncryptionKeys, newKey } from '../../../encryption/encryption-keys.js';
import { ArchiveCipher, archiveKeyUse, isSealed } from '../archive-cipher.js';

/** Contents that one transaction encrypts. */
const contentsAtOnce = 64;

const what = 'the archive of policy versions in PostgreSQL';

/** The qualified name of a table. */
type TableName = (name: string) => string;

async function wrappedKey(client: PostgresStatements, table: TableName): Promise<Buffer | undefined> {
  const [row] = await client.query<{ wrapped: Buffer }>(`SELECT wrapped FROM ${table('archive_key')}`);
  return row?.wrapped;
}

/**
 * What decrypts the archive; undefined where it has no key.
 *
 * @throws MissingEncryptionKey
 */
export async function sharedArchiveCipher(
  client: PostgresStatements,
  table: TableName,
  keys: EncryptionKeys = EncryptionKeys.none,
): Promise<ArchiveCipher | undefined> {
  const wrapped = await wrappedKey(client, table);
  return wrapped && new ArchiveCipher(keys.unwrap(wrapped, archiveKeyUse, what));
}

/** The same for an archive that is to be encrypted: one that has no key gets one. */
export async function makeSharedArchiveCipher(
  client: PostgresClient,
  table: TableName,
  keys: EncryptionKeys,
): Promise<ArchiveCipher> {
  // Several replicas may begin at once: the first key counts.
  if ((await wrappedKey(client, table)) === undefined) {
    await client.write(`INSERT INTO ${table('archive_key')} (wrapped) VALUES ($1) ON CONFLICT DO NOTHING`, [
      keys.wrap(newKey(), archiveKeyUse),
    ]);
  }
  return (await sharedArchiveCipher(client, table, keys))!;
}

/** Says what became of the archive: its key was wrapped anew, was already, or there is none. */
export async function rewrapSharedArchive(
  database: PostgresDatabase,
  keys: EncryptionKeys,
): Promise<'changed' | 'current' | 'plain'> {
  if (!(await database.hasTable('archive_key'))) return 'plain';
  const table = (name: string) => database.table(name);
  return database.transaction(async (client) => {
    const wrapped = await wrappedKey(client, table);
    if (wrapped === undefined) return 'plain';
    if (keys.isNewest(wrapped)) return 'current';
    const anew = keys.wrap(keys.unwrap(wrapped, archiveKeyUse, what), archiveKeyUse);
    await client.write(`UPDATE ${table('archive_key')} SET wrapped = $1`, [anew]);
    return 'changed';
  });
}

/**
 * Encrypts the contents that are in clear under the archive's key, which is wrapped anew. Replicas may serve meanwhile. The tables of
 * the archive are there.
 */
export async function rewriteSharedArchive(database: PostgresDatabase, keys: EncryptionKeys): Promise<'changed'> {
  const table = (name: string) => database.table(name);
  const cipher = await database.transaction((client) => makeSharedArchiveCipher(client, table, keys));
  for (let after = ''; ; ) {
    const from = after;
    const rows = await database.transaction(async (client) => {
      const found = await client.query<{ digest: string; content: Buffer }>(
        `SELECT digest, content FROM ${table('policy_file')} WHERE digest COLLATE "C" > $1
         ORDER BY digest COLLATE "C" LIMIT ${contentsAtOnce}`,
        [from],
      );
      for (const { digest, content } of found.filter((row) => !isSealed(row.content))) {
        await client.write(`UPDATE ${table('policy_file')} SET content = $2 WHERE digest = $1`, [
          digest,
          cipher.seal(digest, content),
        ]);
      }
      return found;
    });
    if (rows.length === 0) break;
    after = rows.at(-1)!.digest;
  }
  await rewrapSharedArchive(database, keys);
  return 'changed';
}
