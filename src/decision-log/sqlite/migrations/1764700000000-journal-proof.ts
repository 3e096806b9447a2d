import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What a new file of the journal has beside its text to prove it: format 3 (`user_version`). Only new files get it, while they are
 * empty; docs/decision-log-proof.md says what is hashed.
 *
 * `journal`, as in format 2 (1764300000000-journal-file.ts), and:
 * - `entry`: the group's place in the writer's tree, from 0. `node`: the node of the tree that it completed.
 * - `salts`: 16 bytes for each record, zeros where one was destroyed. `leaves`: a hash of 32 bytes for each.
 *   These are null for a group that was committed after the tree's end was lost to damage, until the next file was begun.
 * - `shipping` is there from the beginning. What is long stands last, so that reading the rest does not read it.
 *
 * `gap`: `entry` and `node` likewise; null for one that a recovery noted in a copy of a damaged file.
 *
 * `log`: `tree`, the name of the tree, 128 bits in hexadecimal: the journal's, or another where the end of the one before was
 * lost. `entries` and `frontier`: its size where this file begins, and the nodes that these entries consist of.
 *
 * `checkpoint`: signed notes, of each the size of the tree, the sequence of its newest record and the time in milliseconds
 * since 1970.
 *
 * `anchor`, a row for each tree at most: the retention removed its first `entries`; `frontier` are the nodes that they
 * consist of, `note` is the signed note that says so, null without a key.
 *
 * `signing_key`: the public keys that signed in this file, each with the signed notes that certify it, a JSON list.
 */
export class JournalProof1764700000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE journal`);
    await runner.query(`
      CREATE TABLE journal (
        first INTEGER PRIMARY KEY,
        count INTEGER NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER NOT NULL,
        idSince INTEGER NOT NULL,
        idUntil INTEGER NOT NULL,
        entry INTEGER,
        node BLOB,
        keys BLOB NOT NULL,
        leaves BLOB,
        salts BLOB,
        shipping BLOB,
        records TEXT NOT NULL
      )`);
    // The others are found behind one of these: an index of all would be a page more to write for each commit.
    await runner.query(`CREATE INDEX journal_entry ON journal (entry) WHERE entry % 64 = 0`);
    await runner.query(`ALTER TABLE gap ADD COLUMN entry INTEGER`);
    await runner.query(`ALTER TABLE gap ADD COLUMN node BLOB`);
    await runner.query(`ALTER TABLE log ADD COLUMN tree TEXT NOT NULL DEFAULT ''`);
    await runner.query(`ALTER TABLE log ADD COLUMN entries INTEGER NOT NULL DEFAULT 0`);
    await runner.query(`ALTER TABLE log ADD COLUMN frontier BLOB NOT NULL DEFAULT x''`);
    await runner.query(`CREATE TABLE checkpoint (
      entries INTEGER NOT NULL,
      sequence INTEGER NOT NULL,
      time INTEGER NOT NULL,
      note TEXT NOT NULL
    )`);
    await runner.query(`CREATE INDEX checkpoint_entries ON checkpoint (entries)`);
    await runner.query(`CREATE TABLE anchor (
      tree TEXT PRIMARY KEY,
      entries INTEGER NOT NULL,
      frontier BLOB NOT NULL,
      note TEXT
    )`);
    await runner.query(`CREATE TABLE signing_key (key TEXT PRIMARY KEY, certificates TEXT NOT NULL)`);
    await runner.query(`PRAGMA user_version = 3`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['signing_key', 'anchor', 'checkpoint', 'gap', 'span', 'journal', 'log'])
      await runner.query(`DROP TABLE ${table}`);
    await runner.query(`PRAGMA user_version = 0`);
  }
}
