import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Holds on records of the decision log, released ones too. Times in milliseconds since 1970. */
export class Holds1764800000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE decision_hold (
      place INTEGER PRIMARY KEY,   -- the order in which they were made
      id TEXT NOT NULL UNIQUE,
      reason TEXT NOT NULL,
      policy_sets TEXT,            -- JSON: ["invoices", …]; null: all
      from_time INTEGER,           -- records from this time on; null: from the oldest
      to_time INTEGER,             -- records before this time; null: those to come, too
      created INTEGER NOT NULL,
      created_by TEXT NOT NULL,
      released INTEGER,            -- when; null: it is in force
      released_by TEXT
    )`);
    await runner.query('CREATE INDEX decision_hold_in_force ON decision_hold (place) WHERE released IS NULL');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE decision_hold');
  }
}
