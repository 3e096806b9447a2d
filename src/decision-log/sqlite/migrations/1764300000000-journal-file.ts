import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A file of the journal, format 2 (`user_version`). The journal is a row of such files, see journal-files.ts; each has
 * one row of `journal` for each group commit, whose `first` goes on where the file before ended. That one row is the
 * promise of mode `sync`, and it is cheap because it is one B-tree entry at the end of a file, however many records it
 * holds. Files of format 1 (1763700000000-journal.ts) are read and written on as they are until they are closed.
 *
 * `log`, one row:
 * - `name`: the journal's, 128 random bits in hexadecimal, the same in each of its files; `writer`: 30 bits, in ids.
 * - `start`: the first sequence of this file; `floor`: no id of an earlier file has a higher millisecond.
 * - `unclean`: 1 while a process runs in mode `async`.
 *
 * `journal`:
 * - `first`: the sequence of the group's first record; the others follow without a gap. `count`: how many.
 * - `since`, `until`: the lowest and highest time of its records (milliseconds since 1970); `idSince`, `idUntil`: those
 *   in their ids, which stay ahead of a clock that stepped back. Each row has its own, so that one step of the clock
 *   widens the bounds of the rows it touches and of no others.
 * - `keys`: the group's keys (record-keys.ts), before the text, so that reading them does not read the text.
 * - `records`: the records' texts (group-text.ts).
 * - `shipping`: only in files that were open while the journal was shipped, see shipping-facts.ts.
 *
 * `span`: the bounds of a run of rows, so that a look-up by time reads a few of them. The newest rows have none yet.
 *
 * `gap`: records that were not written. A gap lies after the record with the sequence `after`; `lost` is null where
 * nobody could count.
 */
export class JournalFile1764300000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE log (
        name TEXT NOT NULL,
        writer INTEGER NOT NULL,
        start INTEGER NOT NULL,
        floor INTEGER NOT NULL,
        unclean INTEGER NOT NULL DEFAULT 0
      )`);
    await runner.query(`
      CREATE TABLE journal (
        first INTEGER PRIMARY KEY,
        count INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        idSince INTEGER NOT NULL,
        idUntil INTEGER NOT NULL,
        keys BLOB NOT NULL,
        records TEXT NOT NULL
      )`);
    await runner.query(`
      CREATE TABLE span (
        first INTEGER PRIMARY KEY,
        last INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        idSince INTEGER NOT NULL,
        idUntil INTEGER NOT NULL
      )`);
    await runner.query(`
      CREATE TABLE gap (
        id INTEGER PRIMARY KEY,
        after INTEGER NOT NULL,
        lost INTEGER,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        cause TEXT NOT NULL
      )`);
    await runner.query(`CREATE INDEX gap_after ON gap (after)`);
    await runner.query(`PRAGMA user_version = 2`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['gap', 'span', 'journal', 'log']) await runner.query(`DROP TABLE ${table}`);
    await runner.query(`PRAGMA user_version = 0`);
  }
}
