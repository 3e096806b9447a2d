import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Segments are merged (segment-merge.ts). `merge` has one row while that is under way: the segments from sequence `first`
 * to `last` are copied into `target`, and what lies up to the position (`key`, `at`) has been; `at` is the sequence where
 * a group begins. The keys of segments in `dropped` are deleted by and by.
 */
export class Merges1764300000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE UNIQUE INDEX segment_first ON segment (first)`);
    await runner.query(`
      CREATE TABLE merge (
        target INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        key BLOB NOT NULL,
        at INTEGER NOT NULL
      )`);
    await runner.query(`CREATE TABLE dropped (segment INTEGER PRIMARY KEY)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE dropped`);
    await runner.query(`DROP TABLE merge`);
    await runner.query(`DROP INDEX segment_first`);
  }
}
