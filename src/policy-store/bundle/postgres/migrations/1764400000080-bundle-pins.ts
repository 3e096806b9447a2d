import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/** What sets of bundles were rolled back to. */
export const bundlePinTable: PostgresMigration = {
  name: '1764400000080-bundle-pins',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('bundle_pin')} (
      name text PRIMARY KEY,
      bundle text NOT NULL,        -- the entry of an index that named it, JSON
      digest text NOT NULL,        -- of the archive
      semantics int4 NOT NULL,     -- number of the defaults that it served under
      over text NOT NULL,          -- digest of the bundle that the index named at the rollback
      number int8 NOT NULL,        -- of that index
      ended int8,                  -- number of the index that ended it; null: it holds
      changed int8 NOT NULL,       -- ms since the epoch
      changed_by text NOT NULL,
      content bytea NOT NULL,      -- the archive, gzip
      signature text               -- its detached JWS; null where none is asked for
    )`);
    // It is compressed already.
    await client.query(`ALTER TABLE ${table('bundle_pin')} ALTER content SET STORAGE EXTERNAL`);
  },
};
