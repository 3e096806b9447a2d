import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The policy sets that are written into the database; as the table of the same name in PostgreSQL. */
export class PolicyHeads1764400000060 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // The content is last, so that reading the other columns does not read its pages.
    await runner.query(`CREATE TABLE policy_head (
      name TEXT PRIMARY KEY,
      revision INTEGER NOT NULL,   -- rises by one with every change, also over a removal
      version TEXT,                -- of the files; null: the set was removed
      digest TEXT,                 -- of the archive of the files, tests included
      pinned TEXT,                 -- the version that is to be served in place of the files
      git_commit TEXT,
      changed INTEGER NOT NULL,    -- ms since the epoch
      changed_by TEXT NOT NULL,
      content BLOB                 -- the archive of the files, gzip
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE policy_head');
  }
}
