import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * `erasure`: the orders to erase persons. `digest`: HMAC-SHA-256 of the person's id under the one key in `erasure_key`. `time` and
 * `finished` are milliseconds since 1970; the numbers are those of records.
 */
export class Erasures1764800000040 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE erasure (
      id TEXT PRIMARY KEY,
      kind TEXT NOT NULL,
      digest TEXT NOT NULL,
      reason TEXT NOT NULL,
      ordered_by TEXT NOT NULL,
      time INTEGER NOT NULL,
      finished INTEGER,
      about INTEGER NOT NULL DEFAULT 0,
      named INTEGER NOT NULL DEFAULT 0,
      held INTEGER NOT NULL DEFAULT 0,
      unreadable INTEGER NOT NULL DEFAULT 0
    )`);
    await runner.query(`CREATE TABLE erasure_key (single INTEGER PRIMARY KEY CHECK (single = 1), key BLOB NOT NULL)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE erasure_key');
    await runner.query('DROP TABLE erasure');
  }
}
