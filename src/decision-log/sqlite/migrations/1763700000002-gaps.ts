import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What mode `async` did not write. A gap lies after the record with the sequence `after`; `lost` is null where nobody
 * could count, since the process ended without warning. `log.unclean` is 1 while a process runs in mode `async`: who
 * finds it so at the start knows that the last one did not get to flush.
 */
export class Gaps1763700000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE gap (
        id INTEGER PRIMARY KEY,
        after INTEGER NOT NULL,
        lost INTEGER,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        cause TEXT NOT NULL
      )`);
    await runner.query(`CREATE INDEX gap_after ON gap (after)`);
    await runner.query(`ALTER TABLE log ADD COLUMN unclean INTEGER NOT NULL DEFAULT 0`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE log DROP COLUMN unclean`);
    await runner.query(`DROP TABLE gap`);
  }
}
