import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/**
 * Versions with live data: files that are kept as another version, and the revision of the data, whose changes are kept
 * beside them.
 */
export const dataVersionColumns: PostgresMigration = {
  name: '1764400000012-data-versions',
  async up(client, table) {
    await client.query(`ALTER TABLE ${table('policy_version')}
      ADD COLUMN files_version text,               -- the version of the files; null: the version is of files alone
      ADD COLUMN data_revision int8,
      ADD COLUMN alone bool NOT NULL DEFAULT true  -- false: these files have only ever served with live data
    `);
  },
};
