import type { PostgresMigration } from '../../../database/postgres/migrations.js';
import type { PostgresClient } from '../../../database/postgres/postgres-client.js';

/** As in SQLite (audit/sqlite/migrations/1764800000030-audit-chain.ts). Releases before it add events without a place, which the next one gets. */
export const auditChain: PostgresMigration = {
  name: '1764800000030-audit-chain',
  worksSince: '1764400000030-audit-events',
  async up(client, table) {
    const event = table('audit_event');
    await client.query(`ALTER TABLE ${event} ADD place int8, ADD salt bytea, ADD leaf bytea, ADD link bytea`);
    await client.query(`CREATE UNIQUE INDEX ON ${event} (place) WHERE place IS NOT NULL`);
    await client.query(`CREATE INDEX ON ${event} (id) WHERE place IS NULL`);
    await grantIds(client, event);
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

/**
 * The link of an event holds its id, so the id is taken before the event is added, which wants a right of its own: roles that may add
 * events get it.
 */
async function grantIds(client: PostgresClient, event: string): Promise<void> {
  const grantees = await client.query<{ sequence: string; role: string }>(
    `SELECT DISTINCT pg_get_serial_sequence($1, 'id') AS sequence,
       CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS role
     FROM pg_class c, aclexplode(c.relacl) a
     WHERE c.oid = $1::regclass AND a.privilege_type = 'INSERT' AND a.grantee <> c.relowner`,
    [event],
  );
  for (const { sequence, role } of grantees) await client.query(`GRANT USAGE ON SEQUENCE ${sequence} TO ${role}`);
}
