import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The key index, in a file of its own: building it never takes the journal's write lock, and since it holds nothing
 * that the journal does not, it can be thrown away and built again.
 *
 * A segment covers a run of journal rows and is written once, in order of its key, so that every insert is an append.
 * `start` is where the group begins, counted from the segment's first sequence: a byte or two instead of five.
 * `ordinal` holds 0, 1, 2… more than a group can have keys (128 records, 9 fields): joined with it, a row of keys falls into single ones.
 */
export class KeyIndex1763700000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE indexed_log (writer INTEGER NOT NULL)`);
    await runner.query(`
      CREATE TABLE segment (
        id INTEGER PRIMARY KEY,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL
      )`);
    await runner.query(`
      CREATE TABLE segment_key (
        segment INTEGER NOT NULL,
        key BLOB NOT NULL,
        start INTEGER NOT NULL,
        PRIMARY KEY (segment, key, start)
      ) WITHOUT ROWID`);
    await runner.query(`CREATE TABLE ordinal (n INTEGER PRIMARY KEY)`);
    await runner.query(`
      INSERT INTO ordinal
      WITH RECURSIVE o (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM o WHERE n < 2047)
      SELECT n FROM o`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE ordinal`);
    await runner.query(`DROP TABLE segment_key`);
    await runner.query(`DROP TABLE segment`);
    await runner.query(`DROP TABLE indexed_log`);
  }
}
