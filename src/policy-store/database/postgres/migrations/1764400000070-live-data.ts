import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/**
 * An entry of an index takes 2,704 bytes, and a name alone may have 4,096. So rows are found by the SHA-256 of what
 * identifies them, and listed by the first 256 characters of it, which an index keeps in order. No name holds a control
 * character: between columns one stands for their end, and comes before whatever a name goes on with.
 */
const listed = (...columns: string[]) => `left(${columns.join(" || E'\\x01' || ")}, 256)`;

/** Expressions of the indexes for lists. */
export const placeOfRole = listed('definition', 'domain', 'name', 'role');
export const placeOfEntity = listed('type', 'id');

/** Live data of policy sets and its changes. */
export const liveDataTables: PostgresMigration = {
  name: '1764400000070-live-data',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('data_kept')} (
      policy_set text PRIMARY KEY,
      revision int8 NOT NULL       -- changes up to it are not kept any more
    )`);
    await client.query(`CREATE TABLE ${table('data_role')} (
      policy_set text NOT NULL,
      digest bytea NOT NULL,       -- SHA-256 of ["definition","domain","name","role"]
      definition text COLLATE "C" NOT NULL,
      has_domain bool NOT NULL,    -- whether the definition has domains
      domain text COLLATE "C" NOT NULL, -- '' where it has none
      name text COLLATE "C" NOT NULL,
      role text COLLATE "C" NOT NULL,
      revision int8 NOT NULL,      -- that added it
      added int8 NOT NULL,         -- ms since the epoch
      added_by text NOT NULL,
      PRIMARY KEY (policy_set, digest)
    )`);
    await client.query(`CREATE INDEX ON ${table('data_role')} (policy_set, (${placeOfRole}))`);
    await client.query(`CREATE TABLE ${table('data_entity')} (
      policy_set text NOT NULL,
      digest bytea NOT NULL,       -- SHA-256 of ["type","id"]
      type text COLLATE "C" NOT NULL,
      id text COLLATE "C" NOT NULL,
      attributes text NOT NULL,    -- JSON; as text, since jsonb takes no U+0000
      revision int8 NOT NULL,
      added int8 NOT NULL,
      added_by text NOT NULL,
      PRIMARY KEY (policy_set, digest)
    )`);
    await client.query(`CREATE INDEX ON ${table('data_entity')} (policy_set, (${placeOfEntity}))`);
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
      key bytea NOT NULL,          -- SHA-256 of the caller's, for a request that is sent again
      digest text NOT NULL,        -- of what was asked for
      revision int8 NOT NULL,
      version text NOT NULL,
      answered int8 NOT NULL,
      PRIMARY KEY (policy_set, key)
    )`);
    await client.query(`CREATE INDEX ON ${table('data_answer')} (answered)`);
  },
};
