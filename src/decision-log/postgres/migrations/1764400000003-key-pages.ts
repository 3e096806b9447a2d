import type { PostgresMigration } from '../../../database/postgres/migrations.js';

/**
 * The key index of what is old: rows of `decision_group` are found by their keys without looking at each.
 *
 * `key_segment`: some rows of one UTC day, at most 65,536. `since`, `until`: their lowest and highest times; `lag`: the
 * longest time that any of them spans. `list`: 30 bytes for each, in the order (until, writer, first): writer 4, first 6,
 * since 6, until 6, count 4, and the bytes of its text 4. A row's place in the list is its ordinal. `marks`: the `until` of
 * each 256th row of the list, 6 bytes each.
 *
 * `key_page`, with a partition for each day, which is dropped with the day: entries of 10 bytes, in order: a key (6 bytes)
 * that a row has, the row's ordinal (2 bytes), and the mask of the places at which records in the row have the key (2
 * bytes; see 1764400000000-shared-log.ts). `low` is the key and ordinal of the first one. Numbers are big-endian.
 *
 * Every row of a writer whose `first` is not beyond `decision_writer.indexed` is in exactly one segment, unless its day was
 * dropped.
 */
export const keyPages1764400000003: PostgresMigration = {
  name: '1764400000003-key-pages',
  up: async (client, table) => {
    await client.query(`CREATE TABLE ${table('key_segment')} (
      id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      day date NOT NULL,
      built timestamptz NOT NULL DEFAULT now(),
      since int8 NOT NULL,
      until int8 NOT NULL,
      lag int8 NOT NULL,
      groups int NOT NULL,
      entries int NOT NULL,
      list bytea NOT NULL,
      marks bytea NOT NULL
    )`);
    await client.query(`ALTER TABLE ${table('key_segment')} ALTER list SET STORAGE EXTERNAL`);
    await client.query(`CREATE INDEX ON ${table('key_segment')} (until DESC, id DESC)`);
    await client.query(`CREATE TABLE ${table('key_page')} (
      day date NOT NULL,
      segment int8 NOT NULL,
      low bytea NOT NULL,
      entries bytea NOT NULL,
      PRIMARY KEY (day, segment, low)
    ) PARTITION BY RANGE (day)`);
    await client.query(`ALTER TABLE ${table('key_page')} ALTER entries SET STORAGE PLAIN`);
  },
};
