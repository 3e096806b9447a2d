import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/**
 * Counts of decisions. A replica that ships records adds their counts to `tally_delta`, in the transaction of the records;
 * it only ever adds rows, so replicas never wait for each other. `minute` counts minutes since 1970. Texts are written as
 * in JSON, without the quotes, since a PostgreSQL text holds no NUL. One replica at a time folds them into `tally`, in one
 * transaction with deleting them: each decision is in one of the two.
 *
 * `tally` has a row for what agrees in all fields in a period: a minute, a quarter of an hour, a day (UTC) at the levels 0,
 * 1 and 2; `period` counts these since 1970. A quarter of an hour, since hours and days of every time zone in use consist
 * of quarters of UTC. The levels 3 and 4 have minutes and quarters again, by policy set and decision alone: most questions
 * ask for no more, and a minute has ten times as many rows in full. A decision is in a row of each level. The fields are ids of `tally_name`; 0 stands for every value
 * that is not kept apart, since there are names enough or the period has rows enough (shared-tally.ts). `policy_set` and
 * `decision` are never 0; at the levels 3 and 4 all others are.
 *
 * A question reads all of `tally_delta`, so it is vacuumed soon after many rows were folded. `digest` is the SHA-256 of the name, which may be longer than an index takes.
 */
export const sharedTally1764400000002: PostgresMigration = {
  name: '1764400000002-shared-tally',
  up: async (client, table) => {
    await client.query(`CREATE TABLE ${table('tally_delta')} (
      id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      minute int NOT NULL,
      count int NOT NULL,
      policy_set text NOT NULL,
      policy_version text NOT NULL,
      decision text NOT NULL,
      reason text NOT NULL,
      caller text NOT NULL
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)`);
    await client.query(`CREATE TABLE ${table('tally_name')} (
      id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      field text NOT NULL,
      digest bytea NOT NULL,
      name text NOT NULL,
      UNIQUE (field, digest)
    )`);
    await client.query(`CREATE TABLE ${table('tally')} (
      count int8 NOT NULL,
      period int NOT NULL,
      policy_set int NOT NULL,
      policy_version int NOT NULL,
      decision int NOT NULL,
      reason int NOT NULL,
      caller int NOT NULL,
      level int2 NOT NULL,
      PRIMARY KEY (level, period, policy_set, policy_version, decision, reason, caller)
    ) WITH (fillfactor = 90)`);
  },
};
