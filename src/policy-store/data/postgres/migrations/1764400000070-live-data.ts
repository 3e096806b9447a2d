import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/** Live data of policy sets and its changes. */
export const liveDataTables: PostgresMigration = {
  name: '1764400000070-live-data',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('data_head')} (
      name text PRIMARY KEY,
      revision int8 NOT NULL       -- rises by one with every change
    )`);
    await client.query(`CREATE TABLE ${table('data_role')} (
      policy_set text NOT NULL,
      definition text COLLATE "C" NOT NULL,
      has_domain bool NOT NULL,    -- whether the definition has domains
      domain text COLLATE "C" NOT NULL, -- '' where it has none
      name text COLLATE "C" NOT NULL,
      role text COLLATE "C" NOT NULL,
      revision int8 NOT NULL,      -- that added it
      added int8 NOT NULL,         -- ms since the epoch
      added_by text NOT NULL,
      PRIMARY KEY (policy_set, definition, domain, name, role)
    )`);
    await client.query(`CREATE TABLE ${table('data_entity')} (
      policy_set text NOT NULL,
      type text COLLATE "C" NOT NULL,
      id text COLLATE "C" NOT NULL,
      attributes text NOT NULL,    -- JSON; as text, since jsonb takes no U+0000
      revision int8 NOT NULL,
      added int8 NOT NULL,
      added_by text NOT NULL,
      PRIMARY KEY (policy_set, type, id)
    )`);
    await client.query(`CREATE TABLE ${table('data_change')} (
      policy_set text NOT NULL,
      revision int8 NOT NULL,      -- that the change led to
      changed int8 NOT NULL,
      changed_by text NOT NULL,
      version text NOT NULL,       -- of the set with the change, where it was checked
      content bytea NOT NULL,      -- what was added and removed: JSON, gzip where it is long
      PRIMARY KEY (policy_set, revision)
    )`);
    await client.query(`CREATE TABLE ${table('data_answer')} (
      policy_set text NOT NULL,
      key text NOT NULL,           -- the caller's, for a request that is sent again
      digest text NOT NULL,        -- of what was asked for
      revision int8 NOT NULL,
      version text NOT NULL,
      answered int8 NOT NULL,
      PRIMARY KEY (policy_set, key)
    )`);
  },
};
