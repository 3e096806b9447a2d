import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Processes in which clients decide themselves (local-instances.ts). Times in milliseconds since 1970. */
export class LocalInstances1765000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE local_instance (
      instance TEXT PRIMARY KEY,
      caller TEXT NOT NULL,
      authentication TEXT NOT NULL,
      next INTEGER NOT NULL,       -- all numbers below are recorded, or are a gap
      taken TEXT NOT NULL,         -- those above that are: 54-60,63
      claim TEXT,                  -- the name of the claim that is open; null: none is
      writer INTEGER,              -- where its records lie behind; null: nothing was recorded under it
      sequence INTEGER,
      owed TEXT,                   -- JSON: the gaps that are to be noted before it is settled
      seen INTEGER NOT NULL,       -- when it was heard of last
      ended INTEGER NOT NULL,      -- 1: it said that nothing follows
      told INTEGER NOT NULL        -- 1: it was said of it that it is silent
    )`);
    await runner.query('CREATE INDEX local_instance_caller ON local_instance (caller, authentication, seen)');
    await runner.query('CREATE INDEX local_instance_seen ON local_instance (seen)');
    await runner.query('CREATE INDEX local_instance_claim ON local_instance (writer) WHERE claim IS NOT NULL');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE local_instance');
  }
}
