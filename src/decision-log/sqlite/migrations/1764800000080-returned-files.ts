import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * `returned` names the closed files that came to the log after it was opened without them, until all erasures are to be carried out
 * again because of them.
 */
export class ReturnedFiles1764800000080 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE returned (unit INTEGER PRIMARY KEY)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE returned`);
  }
}
