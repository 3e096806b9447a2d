import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/** The candidates of policy sets, what is counted of each on all replicas, and the decisions that differ. */
export const candidateTables: PostgresMigration = {
  name: '1764900000000-candidates',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('policy_candidate')} (
      policy_set text PRIMARY KEY,
      id text NOT NULL,
      version text NOT NULL,       -- of its files
      semantics int4 NOT NULL,     -- number of the defaults that they are read with
      origin text NOT NULL,        -- files, version
      base text NOT NULL,          -- version of the files that served when it was set
      settings text NOT NULL,      -- mode, shares and gates, JSON
      set_by text NOT NULL,
      set_at int8 NOT NULL,        -- ms since the epoch
      state text NOT NULL,         -- running, promoting, held, withdrawn
      since int8 NOT NULL,         -- ms since the epoch
      reason text,
      detail text,
      content bytea NOT NULL       -- its files, tests included: an archive, gzip
    )`);
    // It is compressed already.
    await client.query(`ALTER TABLE ${table('policy_candidate')} ALTER content SET STORAGE EXTERNAL`);
    await client.query(`CREATE TABLE ${table('policy_candidate_count')} (
      policy_set text NOT NULL,
      candidate text NOT NULL,
      kind text NOT NULL,
      n int8 NOT NULL,
      PRIMARY KEY (policy_set, candidate, kind)
    )`);
    await client.query(`CREATE TABLE ${table('policy_candidate_difference')} (
      policy_set text NOT NULL,
      candidate text NOT NULL,
      digest text NOT NULL,        -- of its kind, subject, action and resource
      kind text NOT NULL,
      clock int8 NOT NULL,         -- ms since the epoch
      content text NOT NULL,       -- JSON
      PRIMARY KEY (policy_set, candidate, digest)
    )`);
  },
};
