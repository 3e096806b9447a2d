import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/** The policy sets that are written into the database. */
export const policyHeadTable: PostgresMigration = {
  name: '1764400000060-policy-heads',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('policy_head')} (
      name text PRIMARY KEY,
      revision int8 NOT NULL,      -- rises by one with every change, also over a removal
      version text,                -- of the files; null: the set was removed
      digest text,                 -- of the archive of the files, tests included
      pinned text,                 -- the version that is to be served in place of the files
      git_commit text,
      changed int8 NOT NULL,       -- ms since the epoch
      changed_by text NOT NULL,
      content bytea                -- the archive of the files, gzip
    )`);
    // It is compressed already.
    await client.query(`ALTER TABLE ${table('policy_head')} ALTER content SET STORAGE EXTERNAL`);
  },
};
