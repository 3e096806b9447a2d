import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The chain of audit events (audit-chain.ts). `place`, `salt`, `leaf` and `link` are null for events of releases before it.
 *
 * `audit_chain` has one row: the events up to the id `begun` are of before the chain; `events` and `link` are what the
 * retention removed from its beginning, and `note` is the signed note that says so, null without a key.
 */
export class AuditChain1764800000030 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE audit_event ADD COLUMN place INTEGER');
    for (const column of ['salt', 'leaf', 'link'])
      await runner.query(`ALTER TABLE audit_event ADD COLUMN ${column} BLOB`);
    await runner.query('CREATE UNIQUE INDEX audit_event_place ON audit_event (place) WHERE place IS NOT NULL');
    await runner.query('CREATE INDEX audit_event_unchained ON audit_event (id) WHERE place IS NULL');
    await runner.query(`CREATE TABLE audit_chain (
      begun INTEGER NOT NULL,
      events INTEGER NOT NULL,
      link BLOB NOT NULL,
      note TEXT
    )`);
    await runner.query(
      'INSERT INTO audit_chain (begun, events, link) SELECT coalesce(max(id), 0), 0, zeroblob(32) FROM audit_event',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE audit_chain');
    await runner.query('DROP INDEX audit_event_unchained');
    await runner.query('DROP INDEX audit_event_place');
    for (const column of ['place', 'salt', 'leaf', 'link'])
      await runner.query(`ALTER TABLE audit_event DROP COLUMN ${column}`);
  }
}
