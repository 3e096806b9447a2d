import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/**
 * Encryption at rest (docs/encryption.md). All of it is empty in a log that no replica with a key has shipped to.
 *
 * `decision_data_key`: the keys of the log, each wrapped by one of the operator's (encryption/encryption-keys.ts). One has the
 * `use` index: with it keys are masked and names hidden. The others encrypt the rows of one writer and one UTC day; a writer
 * takes the newest that is not retired.
 *
 * `decision_group`: where `data_key` is set, `sealed` has what `salts` and `records` have otherwise, which are null and empty:
 * `nonce ‖ AES-256-GCM(salts ‖ records) ‖ tag` under that key; the additional data is the writer, 4 bytes, and `first`, 8 bytes.
 * `keys`, and the pages made of them, have masked keys (keyed-index.ts), and the counts hidden names.
 *
 * `decision_writer.key_epoch` is counted on by who retires or removes keys, in one transaction with that, which so waits for the
 * batches that are under way: what is shipped later is under other keys.
 */
export const encryption1764400000006: PostgresMigration = {
  name: '1764400000006-encryption',
  worksSince: '1764400000003-key-pages',
  up: async (client, table) => {
    await client.query(`CREATE TABLE ${table('decision_data_key')} (
      id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      use text NOT NULL CHECK (use IN ('text', 'index')),
      writer int,
      day date,
      retired boolean NOT NULL DEFAULT false,
      wrapped bytea NOT NULL,
      CHECK (use = 'index' OR (writer IS NOT NULL AND day IS NOT NULL))
    )`);
    await client.query(`CREATE UNIQUE INDEX ON ${table('decision_data_key')} (use) WHERE use = 'index'`);
    await client.query(`CREATE INDEX ON ${table('decision_data_key')} (writer, day)`);
    await client.query(`ALTER TABLE ${table('decision_group')} ADD sealed bytea, ADD data_key int`);
    await client.query(`ALTER TABLE ${table('decision_group')} ALTER sealed SET STORAGE EXTERNAL`);
    await client.query(`ALTER TABLE ${table('decision_writer')} ADD key_epoch int NOT NULL DEFAULT 0`);
  },
};
