import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What a policy set served before and after a change; null where the event is about no change, or nothing was served. */
export class AuditedVersions1763700000031 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE audit_event ADD COLUMN from_version TEXT');
    await runner.query('ALTER TABLE audit_event ADD COLUMN to_version TEXT');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE audit_event DROP COLUMN to_version');
    await runner.query('ALTER TABLE audit_event DROP COLUMN from_version');
  }
}
