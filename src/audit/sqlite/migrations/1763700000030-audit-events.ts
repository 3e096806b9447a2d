import type { MigrationInterface, QueryRunner } from 'typeorm';

export class AuditEvents1763700000030 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE audit_event (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      time INTEGER NOT NULL,       -- ms since the epoch
      type TEXT NOT NULL,
      actor TEXT,
      method TEXT,
      address TEXT,
      policy_set TEXT,
      detail TEXT,
      request_id TEXT,             -- of the first, where several are counted in one
      count INTEGER NOT NULL
    )`);
    // The id is the last column of every index, so a page of a filtered list is read off in order.
    for (const column of ['type', 'actor', 'address', 'policy_set']) {
      await runner.query(`CREATE INDEX audit_event_${column} ON audit_event (${column})`);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE audit_event');
  }
}
