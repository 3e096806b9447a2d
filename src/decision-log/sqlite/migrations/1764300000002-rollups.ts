import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Counts of decisions, by minute, quarter of an hour and day (UTC): `level` 0, 1 and 2; `period` counts these since 1970.
 * A quarter of an hour, since hours and days of every time zone in use consist of quarters of UTC. A decision is in a row
 * of each level.
 *
 * The other columns are ids of `tally_name`; 0 stands for every value that is not kept apart, since the file has names
 * enough or the period has rows enough (see tally-table.ts). `policySet` and `decision` are never 0.
 *
 * Every decision up to the sequence in `counted` is in these rows, and none after it.
 */
export class Rollups1764300000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE tally`);
    await runner.query(`
      CREATE TABLE tally (
        level INTEGER NOT NULL,
        period INTEGER NOT NULL,
        policySet INTEGER NOT NULL,
        policyVersion INTEGER NOT NULL,
        decision INTEGER NOT NULL,
        reason INTEGER NOT NULL,
        caller INTEGER NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (level, period, policySet, policyVersion, decision, reason, caller)
      ) WITHOUT ROWID`);
    await runner.query(`
      CREATE TABLE tally_name (
        id INTEGER PRIMARY KEY,
        field TEXT NOT NULL,
        name TEXT NOT NULL,
        UNIQUE (field, name)
      )`);
    await runner.query(`CREATE TABLE counted (last INTEGER NOT NULL)`);
    await runner.query(`INSERT INTO counted (last) VALUES (0)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE counted`);
    await runner.query(`DROP TABLE tally_name`);
    await runner.query(`DROP TABLE tally`);
  }
}
