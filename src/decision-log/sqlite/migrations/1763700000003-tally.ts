import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Counts of decisions by minute, added with each segment and removed with it. Segments that were written without are
 * forgotten: the journal has what they were made of.
 */
export class Tally1763700000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`DELETE FROM segment_key`);
    await runner.query(`DELETE FROM segment`);
    await runner.query(`
      CREATE TABLE tally (
        segment INTEGER NOT NULL,
        minute INTEGER NOT NULL,
        policySet TEXT NOT NULL,
        policyVersion TEXT NOT NULL,
        decision TEXT NOT NULL,
        reason TEXT NOT NULL,
        caller TEXT NOT NULL,
        count INTEGER NOT NULL
      )`);
    await runner.query(`CREATE INDEX tally_minute ON tally (minute)`);
    await runner.query(`CREATE INDEX tally_segment ON tally (segment)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE tally`);
  }
}
