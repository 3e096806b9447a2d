import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The data key of the archive, wrapped by one of the operator's (encryption/encryption-keys.ts). The table is made by the first start
 * with such a key; from then on the contents of new files are encrypted (../../archive-cipher.ts).
 */
export class ArchiveKey1764800000013 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE archive_key (id INTEGER PRIMARY KEY CHECK (id = 1), wrapped BLOB NOT NULL)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE archive_key');
  }
}
