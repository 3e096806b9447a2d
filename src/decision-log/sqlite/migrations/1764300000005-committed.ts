import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * How far the journal went when somebody looked last (`KeyIndex.noteEnd`), about a second ago while records come. When
 * the journal ends before that at a start, its WAL was lost with what is missing. One row: the sequence of the `last`
 * record; the highest time that any record or id had, in `until`, in milliseconds since 1970.
 */
export class Committed1764300000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE committed (last INTEGER NOT NULL, until INTEGER NOT NULL)`);
    await runner.query(`INSERT INTO committed (last, until) VALUES (0, 0)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE committed`);
  }
}
