import type { MigrationInterface, QueryRunner } from 'typeorm';

/** One row of numbers for each set, as the table of the same name in PostgreSQL. */
export class PolicyRevisions1764400000061 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE policy_revision (
      name TEXT PRIMARY KEY,
      files INTEGER NOT NULL,      -- of the last change of its files, or of what is pinned; 0: none
      data INTEGER NOT NULL,       -- of the last change of its live data; 0: none
      source INTEGER               -- the source's own number of the files that "files" stands for; null: it has none
    )`);
    await runner.query(
      'INSERT INTO policy_revision (name, files, data) SELECT name, revision, 0 FROM policy_head WHERE true',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE policy_revision');
  }
}
