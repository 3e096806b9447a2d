import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What is known of the journal's files, so that a query opens those alone that can hold what it asks for. All of it can
 * be read from the files again, but for `open`, which tells a file that was begun from one that never was.
 *
 * - `open`, one row: the journal's `name` and `writer`, and the `start` of its open file.
 * - `unit`: one row for each closed file: its journal's name, its sequences, its bounds in time, how far its index goes, its gaps as JSON.
 *   `removing` is 1 from the moment that the retention begins to remove the file.
 */
export class Catalog1764300000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE open (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        name TEXT NOT NULL,
        writer INTEGER NOT NULL,
        start INTEGER NOT NULL
      )`);
    await runner.query(`
      CREATE TABLE unit (
        first INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        last INTEGER NOT NULL,
        format INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        idSince INTEGER NOT NULL,
        idUntil INTEGER NOT NULL,
        indexedTo INTEGER NOT NULL,
        gaps TEXT NOT NULL,
        removing INTEGER NOT NULL DEFAULT 0
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE unit`);
    await runner.query(`DROP TABLE open`);
  }
}
