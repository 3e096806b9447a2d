import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The key filters of the closed files (key-filter.ts). `filter` has a row for each block that has keys, those of one
 * number of all files side by side; `filtered` names the files whose filter is whole.
 */
export class KeyFilter1764300000004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE filter (
        block INTEGER NOT NULL,
        unit INTEGER NOT NULL,
        bits BLOB NOT NULL,
        PRIMARY KEY (block, unit)
      ) WITHOUT ROWID`);
    await runner.query(`CREATE TABLE filtered (unit INTEGER PRIMARY KEY)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE filtered`);
    await runner.query(`DROP TABLE filter`);
  }
}
