import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/**
 * `erasure`: the orders to erase persons, as the table in SQLite has them (sqlite/migrations). `shared`: when the rows of the shared log were
 * rewritten, in milliseconds since 1970. `erasure_key`: the one key of their digests. `erasure_done`: the writers that have carried an
 * order out in their own journal, each with the time.
 *
 * `decision_writer.orders`: how many orders a writer must know before it ships another row. Each order counts it on in its own
 * transaction, which so waits for the batches that are under way: what is shipped later has been erased, what was shipped before is
 * rewritten.
 */
export const erasures1764400000005: PostgresMigration = {
  name: '1764400000005-erasures',
  worksSince: '1764400000003-key-pages',
  up: async (client, table) => {
    await client.query(`ALTER TABLE ${table('decision_writer')} ADD orders int8 NOT NULL DEFAULT 0`);
    await client.query(`CREATE TABLE ${table('erasure')} (
      id text PRIMARY KEY,
      kind text NOT NULL,
      digest text NOT NULL,
      reason text NOT NULL,
      ordered_by text NOT NULL,
      time int8 NOT NULL,
      shared int8,
      about int8 NOT NULL DEFAULT 0,
      named int8 NOT NULL DEFAULT 0,
      held int8 NOT NULL DEFAULT 0,
      unreadable int8 NOT NULL DEFAULT 0
    )`);
    await client.query(`CREATE TABLE ${table('erasure_key')} (
      single boolean PRIMARY KEY DEFAULT true CHECK (single),
      key bytea NOT NULL
    )`);
    await client.query(`CREATE TABLE ${table('erasure_done')} (
      erasure text NOT NULL,
      writer int NOT NULL,
      time int8 NOT NULL,
      PRIMARY KEY (erasure, writer)
    )`);
  },
};
