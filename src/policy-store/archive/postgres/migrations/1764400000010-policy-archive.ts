import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/** Every version that served on any replica. */
export const policyArchiveTables: PostgresMigration = {
  name: '1764400000010-policy-archive',
  async up(client, table) {
    // Content-addressed: a file that did not change between two versions, or is the same in two sets, is kept once.
    await client.query(`CREATE TABLE ${table('policy_file')} (
      digest text PRIMARY KEY,    -- SHA-256 of the content, in hexadecimal
      size int8 NOT NULL,         -- of the content, in bytes
      content bytea NOT NULL      -- gzip
    )`);
    // It is compressed already.
    await client.query(`ALTER TABLE ${table('policy_file')} ALTER content SET STORAGE EXTERNAL`);
    await client.query(`CREATE TABLE ${table('policy_version')} (
      policy_set text NOT NULL,
      version text NOT NULL,
      files json NOT NULL,          -- [{path, digest, size}], in the order of their paths
      git_commit text,              -- that was checked out when the version was read
      semantics int4 NOT NULL,      -- the number of the defaults that it served under last
      first_served int8 NOT NULL,   -- ms since the epoch
      last_served int8 NOT NULL,    -- when a replica last put it into service
      PRIMARY KEY (policy_set, version)
    )`);
    await client.query(`CREATE TABLE ${table('policy_set')} (
      name text PRIMARY KEY,
      version text NOT NULL,       -- that serves
      pinned_over text,            -- the folder's version that "version" was pinned over, '' when it was not known; null: no pin
      removed int8                 -- when its folder disappeared, ms since the epoch; null: it is there
    )`);
  },
};
