import type { PostgresMigration } from '../../../database/postgres/migrations.js';

export const auditEvents: PostgresMigration = {
  name: '1764400000030-audit-events',
  async up(client, table) {
    await client.query(`CREATE TABLE ${table('audit_event')} (
      id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      time int8 NOT NULL,          -- ms since the epoch
      type text NOT NULL,
      actor text,
      method text,
      address text,
      policy_set text,
      detail text,
      request_id text,             -- of the first, where several are counted in one
      from_version text,           -- that a policy set served before a change; null where nothing was
      to_version text,
      count int8 NOT NULL
    )`);
    // A page of a filtered list is read off in order.
    for (const column of ['type', 'actor', 'address', 'policy_set']) {
      await client.query(`CREATE INDEX ON ${table('audit_event')} (${column}, id)`);
    }
  },
};
