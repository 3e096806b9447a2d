import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Live data of policy sets and its changes; as in PostgreSQL, but for digests: a key may be of any length here. */
export class LiveData1764400000070 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE data_kept (
      policy_set TEXT PRIMARY KEY,
      revision INTEGER NOT NULL    -- changes up to it are not kept any more
    )`);
    await runner.query(`CREATE TABLE data_role (
      policy_set TEXT NOT NULL,
      definition TEXT NOT NULL,
      has_domain INTEGER NOT NULL, -- whether the definition has domains
      domain TEXT NOT NULL,        -- '' where it has none
      name TEXT NOT NULL,
      role TEXT NOT NULL,
      revision INTEGER NOT NULL,   -- that added it
      added INTEGER NOT NULL,      -- ms since the epoch
      added_by TEXT NOT NULL,
      PRIMARY KEY (policy_set, definition, domain, name, role)
    ) WITHOUT ROWID`);
    await runner.query(`CREATE TABLE data_entity (
      policy_set TEXT NOT NULL,
      type TEXT NOT NULL,
      id TEXT NOT NULL,
      attributes TEXT NOT NULL,    -- JSON
      revision INTEGER NOT NULL,
      added INTEGER NOT NULL,
      added_by TEXT NOT NULL,
      PRIMARY KEY (policy_set, type, id)
    ) WITHOUT ROWID`);
    await runner.query(`CREATE TABLE data_change (
      policy_set TEXT NOT NULL,
      revision INTEGER NOT NULL,   -- that the change led to
      changed INTEGER NOT NULL,
      changed_by TEXT NOT NULL,
      version TEXT NOT NULL,       -- of the set with the change, where it was checked
      content BLOB NOT NULL,       -- what was added and removed: JSON, gzip where it is long
      PRIMARY KEY (policy_set, revision)
    )`);
    await runner.query(`CREATE TABLE data_answer (
      policy_set TEXT NOT NULL,
      key TEXT NOT NULL,           -- the caller's, for a request that is sent again
      digest TEXT NOT NULL,        -- of what was asked for
      revision INTEGER NOT NULL,
      version TEXT NOT NULL,
      answered INTEGER NOT NULL,
      PRIMARY KEY (policy_set, key)
    ) WITHOUT ROWID`);
    await runner.query('CREATE INDEX data_answer_time ON data_answer (answered)');
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['data_answer', 'data_change', 'data_entity', 'data_role', 'data_kept']) {
      await runner.query(`DROP TABLE ${table}`);
    }
  }
}
