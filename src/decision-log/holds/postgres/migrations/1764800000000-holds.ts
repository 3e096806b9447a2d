import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/** Holds on records of the decision log, released ones too. Times in milliseconds since 1970. */
export const holdTable: PostgresMigration = {
  name: '1764800000000-holds',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('decision_hold')} (
      place int8 GENERATED ALWAYS AS IDENTITY,  -- the order in which they were made
      id text PRIMARY KEY,
      reason text NOT NULL,
      policy_sets text,            -- JSON: ["invoices", …]; null: all
      from_time int8,              -- records from this time on; null: from the oldest
      to_time int8,                -- records before this time; null: those to come, too
      created int8 NOT NULL,
      created_by text NOT NULL,
      released int8,               -- when; null: it is in force
      released_by text
    )`);
    await client.query(`CREATE INDEX ON ${table('decision_hold')} (place) WHERE released IS NULL`);
  },
};
