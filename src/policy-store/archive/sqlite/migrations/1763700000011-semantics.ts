import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The number of the defaults under which a version served last; null for one that served before there was a number. */
export class Semantics1763700000011 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE policy_version ADD COLUMN semantics INTEGER');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE policy_version DROP COLUMN semantics');
  }
}
