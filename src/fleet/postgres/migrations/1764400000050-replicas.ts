import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/** Who serves what. A replica writes its row once a second, those of its sets when they change. */
export const replicaTables: PostgresMigration = {
  name: '1764400000050-replicas',
  async up(client, table) {
    // With room in its page, a row that is written each second needs no new entry in the index.
    await client.query(`CREATE TABLE ${table('replica')} (
      id text PRIMARY KEY,         -- by chance; one process
      instance text NOT NULL,
      build text NOT NULL,
      started text NOT NULL,       -- RFC 3339, as all times by the replica's clock
      beat timestamptz NOT NULL,   -- by the clock of PostgreSQL
      health text NOT NULL,        -- ok, degraded
      health_since text NOT NULL,
      problems text[] NOT NULL,
      source_confirmed text,
      unshipped int8 NOT NULL,
      log_lag_seconds int8 NOT NULL
    ) WITH (fillfactor = 20)`);
    await client.query(`CREATE TABLE ${table('replica_set')} (
      replica text NOT NULL REFERENCES ${table('replica')} (id) ON DELETE CASCADE,
      policy_set text NOT NULL,
      state text NOT NULL,         -- active, stale, failed
      since text NOT NULL,
      version text,
      served_since text,
      pinned boolean NOT NULL,
      PRIMARY KEY (replica, policy_set)
    )`);
  },
};
