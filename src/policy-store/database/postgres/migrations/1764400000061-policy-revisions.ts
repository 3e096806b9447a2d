import type { PostgresMigration } from '../../../../database/postgres/migrations.js';

/** One row of numbers for each set, whether its files come from the database or not: the higher of the two is its revision. */
export const policyRevisionTable: PostgresMigration = {
  name: '1764400000061-policy-revisions',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('policy_revision')} (
      name text PRIMARY KEY,
      files int8 NOT NULL,         -- of the last change of its files, or of what is pinned; 0: none
      data int8 NOT NULL,          -- of the last change of its live data; 0: none
      source int8                  -- the source's own number of the files that "files" stands for; null: it has none
    )`);
    await client.query(
      `INSERT INTO ${table('policy_revision')} (name, files, data) SELECT name, revision, 0 FROM ${table('policy_head')}`,
    );
  },
};
