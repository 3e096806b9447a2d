import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Every version that served. A row refers only to rows that were written before it: a state to its versions, a version
 * to its files; so each statement is a whole step, and a process may end between any two.
 */
export class PolicyArchive1763700000010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // Content-addressed: a file that did not change between two versions, or is the same in two sets, is kept once.
    await runner.query(`CREATE TABLE policy_file (
      digest TEXT PRIMARY KEY,    -- SHA-256 of the content, in hexadecimal
      size INTEGER NOT NULL,      -- of the content, in bytes
      content BLOB NOT NULL       -- gzip
    )`);
    await runner.query(`CREATE TABLE policy_version (
      policy_set TEXT NOT NULL,
      version TEXT NOT NULL,
      files TEXT NOT NULL,          -- JSON: [{path, digest, size}], in the order of their paths
      git_commit TEXT,              -- that was checked out when the version was read
      first_served INTEGER NOT NULL,  -- ms since the epoch
      last_served INTEGER NOT NULL,   -- when it was last put into service
      PRIMARY KEY (policy_set, version)
    ) WITHOUT ROWID`);
    await runner.query(`CREATE TABLE policy_set (
      name TEXT PRIMARY KEY,
      version TEXT NOT NULL,       -- that serves
      pinned_over TEXT,            -- the folder's version that "version" was pinned over, '' when it was not known; null: no pin
      removed INTEGER              -- when its folder disappeared, ms since the epoch; null: it is there
    ) WITHOUT ROWID`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE policy_set');
    await runner.query('DROP TABLE policy_version');
    await runner.query('DROP TABLE policy_file');
  }
}
