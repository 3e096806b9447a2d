/** The key that the archive in PostgreSQL is encrypted with: making it, reading it, wrapping it anew. */
import type { PostgresClient, PostgresStatements } from '../../../database/postgres/postgres-client.js';
import { EncryptionKeys, newKey } from '../../../encryption/encryption-keys.js';
import { ArchiveCipher, archiveKeyUse } from '../archive-cipher.js';

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
