import { describe, expect, it } from 'vitest';
import { SharedRecordFeed } from '../../../src/decision-log/postgres/shared-record-feed.js';
import type { StreamPosition } from '../../../src/decision-log/stream-position.js';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { noon } from '../example-records.js';
import { SharedLog } from './shared-log.js';

const day = 86_400_000;

describe.skipIf(!hasPostgres)('the shared log as it grows', () => {
  const server = postgresForTests();

  /** Reads to the end: what came of each writer, and where that is. */
  async function rest(feed: SharedRecordFeed, after: StreamPosition) {
    const bySequence = new Map<number, number[]>();
    let position = after;
    for (;;) {
      const { records, position: next, isEnd } = await feed.readOn(position);
      for (const { writer, record } of records) {
        bySequence.set(writer, [...(bySequence.get(writer) ?? []), record.sequence]);
      }
      position = next;
      if (isEnd) return { sequences: Object.fromEntries(bySequence), position };
    }
  }

  const upTo = (count: number, from = 1) => Array.from({ length: count - from + 1 }, (_, i) => from + i);

  it('has what each writer ships in its order, however late it comes and whatever its times are', async () => {
    const log = await SharedLog.make(server());
    const feed = new SharedRecordFeed(log.database);
    const [early, late] = [await log.addWriter(), await log.addWriter()];
    const start = await feed.end();
    await early.ship(Array.from({ length: 300 }, (_, i) => ({ now: noon + i })));
    const first = await rest(feed, start);
    expect(first.sequences).toEqual({ [early.number]: upTo(300) });
    // A replica that was cut off ships what it decided days before, and one that is new comes.
    await late.ship([-9, -7, -1, 0].map((days) => ({ now: noon + days * day })));
    const third = await log.addWriter();
    await third.ship([{ now: noon - 20 * day }]);
    await early.ship([{ now: noon - 30 * day }, { now: noon + 400 }]);
    const second = await rest(feed, first.position);
    expect(second.sequences).toEqual({ [early.number]: [301, 302], [late.number]: upTo(4), [third.number]: [1] });
    expect((await rest(feed, second.position)).sequences).toEqual({});
    // From anywhere between.
    const writers = new Map([...second.position.writers, [early.number, 17] as const, [late.number, 3] as const]);
    const again = await rest(feed, { ...second.position, writers });
    expect(again.sequences).toEqual({ [early.number]: upTo(302, 18), [late.number]: [4] });
  });

  it('passes over what is no longer kept, and begins anew in another log', async () => {
    const log = await SharedLog.make(server());
    const feed = new SharedRecordFeed(log.database);
    const writer = await log.addWriter();
    await writer.ship(Array.from({ length: 40 }, (_, i) => ({ now: noon + i })));
    await writer.ship(Array.from({ length: 40 }, (_, i) => ({ now: noon + 9 * day + i })));
    const { log: name } = await feed.end();
    await log.database.write(`DELETE FROM ${log.database.table('decision_group')} WHERE first <= 40`);
    const nothing = { log: name, writers: new Map<number, number>() };
    expect((await rest(feed, nothing)).sequences).toEqual({ [writer.number]: upTo(80, 41) });
    const elsewhere = { log: 'another', writers: new Map([[writer.number, 70]]) };
    expect((await rest(feed, elsewhere)).sequences).toEqual({ [writer.number]: upTo(80, 41) });
    await log.database.write(`DELETE FROM ${log.database.table('decision_group')}`);
    const { sequences, position } = await rest(feed, nothing);
    expect(sequences).toEqual({});
    expect(position.writers.get(writer.number)).toBe(80);
  });
});
