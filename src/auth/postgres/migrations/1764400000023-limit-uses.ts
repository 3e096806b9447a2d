import type { PostgresMigration } from '../../../database/postgres/migrations.js';
import { sessionTable } from './1764400000022-sessions.js';

/** What all replicas have used of limits and quotas. Rows are removed when their periods are over. */
export const limitUseTable: PostgresMigration = {
  name: '1764400000023-limit-uses',
  worksSince: sessionTable.name,
  async up(client, table) {
    // Rows of callers that are active are written many times a second; with room in the page that needs no new entry in the index.
    await client.query(`CREATE TABLE ${table('limit_use')} (
      counter text COLLATE "C" PRIMARY KEY,  -- digest of the limit and the caller
      kind text NOT NULL,          -- decide, search, export, keys, failures, quota
      period int8 NOT NULL,        -- its number since 1970, by the clock of PostgreSQL
      points int8 NOT NULL,        -- of the limit when it was used last
      burst int8 NOT NULL,
      used int8 NOT NULL,          -- points in this period
      beyond int8 NOT NULL,        -- points beyond the steady rate in earlier periods of the ten
      asked int8 NOT NULL,         -- points that were asked for in this period, refused ones too
      asked_before int8 NOT NULL,  -- and in the one before
      ends int8 NOT NULL           -- when nothing of it counts any more, ms since the epoch
    ) WITH (fillfactor = 50)`);
  },
};
