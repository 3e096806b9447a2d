import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/** Sessions of browsers, of all replicas. There are 10,000 at most. */
export const sessionTable: PostgresMigration = {
  name: '1764400000022-sessions',
  worksSince: '1764400000021-service-secrets',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('session')} (
      digest text PRIMARY KEY,     -- SHA-256 of the token in the cookie, in hexadecimal
      place int8 GENERATED ALWAYS AS IDENTITY,  -- the order in which they began
      key_digest text NOT NULL,    -- of the API key that it is a session of, which may be declared in a file
      csrf_token text NOT NULL,
      ends int8 NOT NULL,          -- ms since the epoch
      last_used int8 NOT NULL      -- to the minute
    )`);
  },
};
