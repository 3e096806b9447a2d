import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/** Managed API keys. A key is a name with its permissions; its secrets, by digest alone, come and go by rotation. */
export const apiKeyTables: PostgresMigration = {
  name: '1764400000020-api-keys',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('api_key')} (
      name text PRIMARY KEY,
      owner text,
      scopes text[] NOT NULL,      -- {decide:invoices, …}
      policy_sets text[],          -- null: all
      addresses text[],            -- null: any
      daily_quota int8,
      expires int8,                -- ms since the epoch; null: never
      created int8 NOT NULL,
      created_by text NOT NULL,
      revoked int8                 -- when; null: it is good. A revoked name is never given out again.
    )`);
    // Names that differ in the case of letters alone would be mistaken for each other. Of letters, C knows A to Z.
    await client.query(`CREATE UNIQUE INDEX ON ${table('api_key')} (lower(name COLLATE "C"))`);
    await client.query(`CREATE TABLE ${table('api_key_secret')} (
      place int8 GENERATED ALWAYS AS IDENTITY,  -- the order in which they were made
      digest text PRIMARY KEY,     -- SHA-256 of the key's text, in hexadecimal
      key_name text NOT NULL REFERENCES ${table('api_key')} (name),
      created int8 NOT NULL,
      expires int8,                -- set when a rotation replaces it
      last_used int8               -- to the minute
    )`);
    await client.query(`CREATE INDEX ON ${table('api_key_secret')} (key_name)`);
  },
};
