// Encrypts the files of a journal anew, again and again, until it is killed.
import { rewriteJournal } from '../../../dist/decision-log/sqlite/rotate-keys.js';
import { EncryptionKeys } from '../../../dist/encryption/encryption-keys.js';

const [path, keys] = process.argv.slice(2);
process.stdout.write('begun\n');
for (;;) await rewriteJournal(path, EncryptionKeys.of(keys));
