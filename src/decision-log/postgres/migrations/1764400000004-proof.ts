import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/**
 * What proves the records (docs/decision-log-proof.md). Rows that releases before this one shipped have none of it.
 *
 * `decision_group`: `entry`, the place of the row's first group in its writer's tree; the others of the row follow. `nodes`: for each
 * group 2 bytes with the number of its records and the node that it completed, 32 bytes. `leaves`: for each record its
 * leaf, 32 bytes; `salts`: 16 bytes for each, zeros where one was destroyed.
 *
 * `decision_gap`: `entry` and `node`, where the journal noted the gap in its tree.
 *
 * `decision_tree`: the trees of a writer, one as a rule: the name of each, the sequence from which on its records are in
 * it, and `entries` and `frontier`: its size where what is here begins, and the nodes that the entries before consist of. Where
 * the retention dropped rows, these are what it removed, up to the record `upto`, and `note` is the signed note that says so.
 *
 * `decision_entry`: entries whose rows were dropped while older ones of their writer are kept, since records come in no exact order at
 * midnight.
 *
 * `decision_checkpoint`: signed notes, by the size of the tree and the time in milliseconds since 1970. `decision_key`: the
 * public keys that sign, each with the signed notes that certify it, a JSON list.
 */
export const proof1764400000004: PostgresMigration = {
  name: '1764400000004-proof',
  worksSince: '1764400000003-key-pages',
  up: async (client, table) => {
    await client.query(`ALTER TABLE ${table('decision_group')} ADD entry int8, ADD nodes bytea, ADD salts bytea`);
    for (const column of ['nodes', 'leaves', 'salts']) {
      await client.query(`ALTER TABLE ${table('decision_group')} ALTER ${column} SET STORAGE EXTERNAL`);
    }
    await client.query(`CREATE INDEX ON ${table('decision_group')} (writer, entry) WHERE entry IS NOT NULL`);
    await client.query(`ALTER TABLE ${table('decision_gap')} ADD entry int8, ADD node bytea`);
    await client.query(`CREATE TABLE ${table('decision_tree')} (
      writer int NOT NULL,
      tree text NOT NULL,
      first int8 NOT NULL,
      entries int8 NOT NULL,
      frontier bytea NOT NULL,
      upto int8 NOT NULL DEFAULT 0,
      note text,
      PRIMARY KEY (writer, tree)
    )`);
    await client.query(`CREATE TABLE ${table('decision_entry')} (
      writer int NOT NULL,
      tree text NOT NULL,
      entry int8 NOT NULL,
      leaf bytea NOT NULL,
      node bytea NOT NULL,
      PRIMARY KEY (writer, tree, entry)
    )`);
    await client.query(`CREATE TABLE ${table('decision_checkpoint')} (
      writer int NOT NULL,
      tree text NOT NULL,
      entries int8 NOT NULL,
      sequence int8 NOT NULL,
      time int8 NOT NULL,
      note text NOT NULL,
      PRIMARY KEY (writer, tree, entries, time)
    )`);
    await client.query(`CREATE TABLE ${table('decision_key')} (
      key text PRIMARY KEY,
      certificates text NOT NULL,
      noted timestamptz NOT NULL DEFAULT now()
    )`);
  },
};
