import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/**
 * `decision_log`, one row: the name of the log that the replicas share, 128 random bits. Cursors carry it, since a place in
 * one log means nothing in another.
 */
export const logName1764400000001: PostgresMigration = {
  name: '1764400000001-log-name',
  up: async (client, table) => {
    await client.query(`CREATE TABLE ${table('decision_log')} (
      single boolean PRIMARY KEY DEFAULT true CHECK (single),
      name text NOT NULL
    )`);
    await client.query(
      `INSERT INTO ${table('decision_log')} (name) VALUES (replace(gen_random_uuid()::text, '-', ''))`,
    );
  },
};
