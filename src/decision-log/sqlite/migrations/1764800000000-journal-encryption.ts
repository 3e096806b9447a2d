import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A file of the journal whose texts are encrypted: format 4 (`user_version`). Only new files get it, while they are empty;
 * docs/encryption.md says what is encrypted and how.
 *
 * `data_key`: the keys of the file, each wrapped by one of the operator's (encryption/encryption-keys.ts). `use` is `text` for
 * the one that no other file has, `index` for the one that all files of the log have in common.
 *
 * `journal`, as in format 3 (1764700000000-journal-proof.ts), but `records` is a BLOB, `salts` is null, `keys` are masked, and
 * `shipping`, which would name what is counted, is null.
 */
export class JournalEncryption1764800000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE data_key (use TEXT PRIMARY KEY, wrapped BLOB NOT NULL)');
    await runner.query('PRAGMA user_version = 4');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE data_key');
    await runner.query('PRAGMA user_version = 3');
  }
}
