import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The candidates of policy sets, what is counted of each, and the decisions that differ. */
export class Candidates1764900000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE policy_candidate (
      policy_set TEXT PRIMARY KEY,
      id TEXT NOT NULL,
      version TEXT NOT NULL,       -- of its files
      semantics INTEGER NOT NULL,  -- number of the defaults that they are read with
      origin TEXT NOT NULL,        -- files, version
      base TEXT NOT NULL,          -- version of the files that served when it was set
      settings TEXT NOT NULL,      -- mode, shares and gates, JSON
      set_by TEXT NOT NULL,
      set_at INTEGER NOT NULL,     -- ms since the epoch
      state TEXT NOT NULL,         -- running, promoting, held, withdrawn
      since INTEGER NOT NULL,      -- ms since the epoch
      reason TEXT,
      detail TEXT,
      content BLOB NOT NULL        -- its files, tests included: an archive, gzip
    )`);
    await runner.query(`CREATE TABLE policy_candidate_count (
      policy_set TEXT NOT NULL,
      candidate TEXT NOT NULL,
      kind TEXT NOT NULL,
      n INTEGER NOT NULL,
      PRIMARY KEY (policy_set, candidate, kind)
    ) WITHOUT ROWID`);
    await runner.query(`CREATE TABLE policy_candidate_difference (
      policy_set TEXT NOT NULL,
      candidate TEXT NOT NULL,
      digest TEXT NOT NULL,        -- of its kind, subject, action and resource
      kind TEXT NOT NULL,
      clock INTEGER NOT NULL,      -- ms since the epoch
      content TEXT NOT NULL,       -- JSON
      PRIMARY KEY (policy_set, candidate, digest)
    )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const part of ['_difference', '_count', '']) await runner.query(`DROP TABLE policy_candidate${part}`);
  }
}
