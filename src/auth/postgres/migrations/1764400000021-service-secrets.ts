import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/** Random keys that the service makes for itself, for all replicas. */
export const serviceSecretTable: PostgresMigration = {
  name: '1764400000021-service-secrets',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('service_secret')} (
      name text PRIMARY KEY,       -- what it is for
      value bytea NOT NULL         -- 32 random bytes
    )`);
  },
};
