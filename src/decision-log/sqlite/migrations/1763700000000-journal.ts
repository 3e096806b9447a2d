import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The journal: one row for each group commit. That one row is the promise of mode `sync`, and it is cheap because it
 * is one B-tree entry at the end of a file, however many records it holds.
 *
 * - `first`: the sequence of its first record; the others follow without a gap.
 * - `since`: the lowest time in it; `until`: the highest time in it or in any row before it, so it never falls
 *   (milliseconds since 1970, over the records' times and the times in their ids).
 * - `lag`: how far any row so far reaches back behind the row before it; 0 while clock and engine keep order.
 *   So row n holds nothing earlier than `until` of row n − 1 minus `lag` of the last row.
 * - `keys`: the group's keys (record-keys.ts), before the text, so that reading them does not read the text.
 * - `records`: the records' texts (group-text.ts).
 */
export class Journal1763700000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE TABLE log (writer INTEGER NOT NULL)`);
    await runner.query(`
      CREATE TABLE journal (
        first INTEGER PRIMARY KEY,
        count INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        lag INTEGER NOT NULL,
        keys BLOB NOT NULL,
        records TEXT NOT NULL
      )`);
    await runner.query(`CREATE INDEX journal_until ON journal (until)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE journal`);
    await runner.query(`DROP TABLE log`);
  }
}
