import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/** Processes in which clients decide themselves (local-instances.ts). Times in milliseconds since 1970. */
export const localInstanceTable: PostgresMigration = {
  name: '1765000000000-local-instances',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('local_instance')} (
      instance text PRIMARY KEY,
      caller text NOT NULL,
      authentication text NOT NULL,
      next int8 NOT NULL,          -- all numbers below are recorded, or are a gap
      taken text NOT NULL,         -- those above that are: 54-60,63
      claim text,                  -- the name of the claim that is open; null: none is
      writer int4,                 -- where its records lie behind; null: nothing was recorded under it
      sequence int8,
      owed text,                   -- JSON: the gaps that are to be noted before it is settled
      seen int8 NOT NULL,          -- when it was heard of last
      ended boolean NOT NULL,      -- it said that nothing follows
      told boolean NOT NULL        -- it was said of it that it is silent
    )`);
    await client.query(`CREATE INDEX ON ${table('local_instance')} (caller, authentication, seen)`);
    await client.query(`CREATE INDEX ON ${table('local_instance')} (seen)`);
    await client.query(`CREATE INDEX ON ${table('local_instance')} (writer) WHERE claim IS NOT NULL`);
  },
};
