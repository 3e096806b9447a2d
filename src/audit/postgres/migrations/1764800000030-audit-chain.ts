import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/** As in SQLite (audit/sqlite/migrations/1764800000030-audit-chain.ts). Releases before it add events without a place, which the next one gets. */
export const auditChain: PostgresMigration = {
  name: '1764800000030-audit-chain',
  worksSince: '1764400000030-audit-events',
  async up(client, table) {
    const event = table('audit_event');
    await client.query(`ALTER TABLE ${event} ADD place int8, ADD salt bytea, ADD leaf bytea, ADD link bytea`);
    await client.query(`CREATE UNIQUE INDEX ON ${event} (place) WHERE place IS NOT NULL`);
    await client.query(`CREATE INDEX ON ${event} (id) WHERE place IS NULL`);
    await client.query(`CREATE TABLE ${table('audit_chain')} (
      one boolean PRIMARY KEY DEFAULT true CHECK (one),
      begun int8 NOT NULL,
      events int8 NOT NULL,
      link bytea NOT NULL,
      note text
    )`);
    await client.query(
      `INSERT INTO ${table('audit_chain')} (begun, events, link)
       SELECT coalesce(max(id), 0), 0, decode(repeat('00', 32), 'hex') FROM ${event}`,
    );
  },
};
