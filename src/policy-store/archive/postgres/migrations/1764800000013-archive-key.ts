import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/**
 * The data key of the archive, wrapped by one of the operator's (encryption/encryption-keys.ts). It is made by the first replica with
 * such a key; from then on such replicas encrypt the contents of new files (../../archive-cipher.ts).
 */
export const archiveKeyTable: PostgresMigration = {
  name: '1764800000013-archive-key',
  worksSince: '1764400000012-data-versions',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('archive_key')} (
      single boolean PRIMARY KEY DEFAULT true CHECK (single),
      wrapped bytea NOT NULL
    )`);
  },
};
