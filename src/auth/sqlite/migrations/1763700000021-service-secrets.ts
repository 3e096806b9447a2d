import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Random keys that the service makes for itself and that outlast a restart. */
export class ServiceSecrets1763700000021 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE service_secret (
      name TEXT PRIMARY KEY,       -- what it is for
      value BLOB NOT NULL          -- 32 random bytes
    ) WITHOUT ROWID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE service_secret');
  }
}
