// Encrypts the rows of a shared log anew, again and again, until it is killed.
import { parsePostgresUrl } from '../../../dist/config/postgres-url.js';
import { PostgresDatabase } from '../../../dist/database/postgres/postgres-database.js';
import { rewriteSharedLog } from '../../../dist/decision-log/postgres/rotate-shared-keys.js';
import { EncryptionKeys } from '../../../dist/encryption/encryption-keys.js';

const [url, keys] = process.argv.slice(2);
const database = new PostgresDatabase({
  url: parsePostgresUrl(url),
  instance: 'rewriting',
  onProblem: () => undefined,
});
process.stdout.write('begun\n');
for (;;) await rewriteSharedLog(database, EncryptionKeys.of(keys));
