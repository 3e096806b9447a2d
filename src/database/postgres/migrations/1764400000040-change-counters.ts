import type { PostgresMigration } from '../migrations.js';

/** How many changes of each kind were committed. Replicas look at it twice a second, so it has a few rows and no more. */
export const changeCounterTable: PostgresMigration = {
  name: '1764400000040-change-counters',
  async up(client, table) {
    // Each change makes a new copy of its row; with room in the page the old ones are cleared away by readers.
    await client.query(`CREATE TABLE ${table('change_counter')} (
      topic text PRIMARY KEY,      -- keys, policies, fleet
      n int8 NOT NULL
    ) WITH (fillfactor = 10)`);
  },
};
