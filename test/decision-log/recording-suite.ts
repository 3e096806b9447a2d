import { describe, expect, it } from 'vitest';
import { asRead, exampleRecord, noon } from './example-records.js';
import type { MakeLogHome } from './log-home.js';

const refused = { code: 'decision_log_unavailable', extra: { retryAfter: 1 } };

/** What is recorded is there: at once, after a restart, in every mode. */
export function describeRecording(newHome: MakeLogHome): void {
  describe('recording', () => {
    it('a record is found the moment append resolves, and comes back as it went in', async () => {
      const log = await newHome().start();
      const record = exampleRecord(log);
      await log.append(record);
      const { items, nextCursor } = await log.search({ subject: 'alice' });
      expect(items).toEqual([{ ...asRead(record), writer: expect.any(Number), sequence: 1 }]);
      expect(nextCursor).toBeUndefined();
      expect(await log.find(record.id)).toEqual(items[0]);
    });

    it('what is appended together is committed together, in order', async () => {
      const log = await newHome().start();
      const records = Array.from({ length: 1_000 }, (_, i) => exampleRecord(log, { resource: String(i) }));
      const appended = Promise.all(records.map((record) => log.append(record)));
      expect(log.depth).toBe(1_000);
      await appended;
      expect(log.depth).toBe(0);
      const { items } = await log.search({ limit: 1_000 });
      expect(items.map(({ sequence }) => sequence)).toEqual(records.map((_, i) => 1_000 - i));
      expect(items.map(({ id }) => id).reverse()).toEqual(records.map(({ id }) => id));
    });

    it('stop commits what is pending, and a new start goes on where it ended', async () => {
      const home = newHome();
      const first = await home.start();
      const pending = first.append(exampleRecord(first));
      await first.stop();
      await pending;
      const second = await home.start();
      await second.append(exampleRecord(second));
      const { items } = await second.search({});
      expect(items.map(({ sequence }) => sequence)).toEqual([2, 1]);
      expect(new Set(items.map(({ writer }) => writer)).size).toBe(1);
    });

    it('ids stay above the last one after a restart with the clock an hour back', async () => {
      const home = newHome();
      const first = await home.start();
      const before = exampleRecord(first, { now: noon });
      await first.append(before);
      await first.stop();
      const second = await home.start();
      const after = exampleRecord(second, { now: noon - 3_600_000 });
      await second.append(after);
      expect(after.id > before.id).toBe(true);
      expect(await second.find(after.id)).toMatchObject({ time: '2026-11-21T11:00:00.000Z' });
      expect(await second.find(before.id)).toMatchObject({ id: before.id });
    });

    it('mode off writes no record, but gives ids and answers queries', async () => {
      const home = newHome();
      const log = await home.start({ mode: 'off' });
      const record = exampleRecord(log);
      await log.append(record);
      expect(await log.search({})).toEqual({ items: [] });
      expect(await log.find(record.id)).toBeUndefined();
    });

    it('mode off still reads what was recorded before', async () => {
      const home = newHome();
      const writing = await home.start();
      await writing.append(exampleRecord(writing));
      await writing.stop();
      const log = await home.start({ mode: 'off' });
      await log.append(exampleRecord(log));
      expect((await log.search({})).items).toHaveLength(1);
    });

    it('two readers see whole, growing logs while records are written', async () => {
      const home = newHome();
      const log = await home.start();
      // A search of an empty log may ask nothing of a database, and a loop of those would never let go of the event loop.
      await log.append(exampleRecord(log));
      let writing = true;
      const read = async (): Promise<number> => {
        let seen = 0;
        while (writing) {
          const { items, searchedTo } = await log.search({ subject: 'alice', limit: 1_000 });
          // On a busy machine a page can end before it comes to a record, and says so.
          if (items.length === 0 && searchedTo !== undefined) continue;
          const sequences = items.map(({ sequence }) => sequence);
          const [newest = 0] = sequences;
          expect(newest).toBeGreaterThanOrEqual(seen);
          expect(sequences).toEqual(sequences.map((_, i) => newest - i));
          seen = newest;
        }
        return seen;
      };
      const readers = [read(), read()];
      for (let i = 0; i < 40; i++) {
        await Promise.all(Array.from({ length: 250 }, () => log.append(exampleRecord(log))));
        if (i === 20) await home.index(log);
      }
      writing = false;
      for (const seen of await Promise.all(readers)) expect(seen).toBeGreaterThan(0);
      expect((await log.search({ limit: 1 })).items[0]?.sequence).toBe(10_001);
    });

    it('records say which instance answered; those of a log without a name say nothing', async () => {
      const home = newHome();
      const nameless = await home.start();
      await nameless.append(exampleRecord(nameless));
      await nameless.stop();
      const log = await home.start({ instance: 'pdp-7' });
      await Promise.all(['billing', 'crm'].map((caller) => log.append(exampleRecord(log, { caller }))));
      const { items } = await log.search({});
      expect(items.map(({ instance }) => instance)).toEqual(['pdp-7', 'pdp-7', undefined]);
      expect(items[2]).not.toHaveProperty('instance');
    });

    it('a queue that is full refuses in mode sync, and takes records again when it is not', async () => {
      const log = await newHome().start({ queueLimit: 100 });
      const appended = Array.from({ length: 150 }, () => log.append(exampleRecord(log)));
      const outcomes = await Promise.allSettled(appended);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(100);
      await expect(appended[100]).rejects.toMatchObject(refused);
      await log.append(exampleRecord(log));
      expect((await log.search({ limit: 1_000 })).items).toHaveLength(101);
    });

    it('what mode async cannot hold is counted, and noted where it is missing', async () => {
      const home = newHome();
      const log = await home.start({ mode: 'async', queueLimit: 100 });
      await Promise.all(Array.from({ length: 150 }, () => log.append(exampleRecord(log))));
      await log.stop();
      expect(log.status.lost).toBe(50);
      const { items, gaps } = await (await home.start()).search({ limit: 1_000 });
      expect(items).toHaveLength(100);
      expect(gaps).toEqual([
        { after: 100, lost: 50, cause: 'queue_full', from: '2026-11-21T12:00:00.000Z', to: '2026-11-21T12:00:00.000Z' },
      ]);
    });

    it('mode async promises nothing, and what it took is there after stop', async () => {
      const home = newHome();
      const log = await home.start({ mode: 'async' });
      await log.append(exampleRecord(log));
      expect(log.depth).toBe(1);
      await log.stop();
      const { items, gaps } = await (await home.start()).search({});
      expect(items).toHaveLength(1);
      expect(gaps).toBeUndefined();
    });

    it('a reader beside the writing service sees every record that was committed, indexed or not', async () => {
      const home = newHome();
      const log = await home.start({ mode: 'async' });
      const reader = await home.read();
      const append = (subject: string) => log.append(exampleRecord(log, { subject, now: noon }));
      for (let i = 0; i < 200; i++) void append(`s${i % 2}`);
      await expect.poll(() => log.depth).toBe(0);
      await home.shared(log);
      expect((await reader.search({ subject: 's1', limit: 1_000 })).items).toHaveLength(100);
      await home.index(log);
      const late = exampleRecord(log, { subject: 's1' });
      await log.append(late);
      await expect.poll(() => log.depth).toBe(0);
      await home.shared(log);
      expect((await reader.search({ subject: 's1', limit: 1_000 })).items).toHaveLength(101);
      expect(await reader.find(late.id)).toMatchObject({ id: late.id });
      expect(await reader.stats({ by: ['decision'] })).toEqual(await log.stats({ by: ['decision'] }));
      let lines = 0;
      for await (const text of reader.export({})) lines += text.split('\n').length - 1;
      expect(lines).toBe(201);
    });

    it('a batch gets room for its records, each of which is recorded; the room is there again afterwards', async () => {
      const log = await newHome().start({ queueLimit: 8 });
      expect(await log.roomForBulk(3, 0)).toBe(3);
      // Half of the queue is for batches.
      expect(await log.roomForBulk(2, 0)).toBe(0);
      await log.appendBulk(
        ['a', 'b', 'c'].map((subject) => exampleRecord(log, { subject })),
        3,
      );
      expect((await log.search({})).items.map(({ request }) => request.subject.id)).toEqual(['c', 'b', 'a']);
      expect(await log.roomForBulk(100, 0)).toBe(4);
      await log.appendBulk([exampleRecord(log, { subject: 'd' })], 4);
      expect(await log.roomForBulk(4, 0)).toBe(4);
      await log.appendBulk([], 4);
      expect((await log.search({})).items).toHaveLength(4);
    });

    it('retention by count never removes one of the newest records, and their order goes on', async () => {
      const home = newHome();
      const log = await home.start({ retention: { maxRecords: 30 } });
      for (let i = 0; i < 100; i++) await log.append(exampleRecord(log, { now: noon + i }));
      await home.index(log);
      await log.prune(noon + 100);
      const kept = (await log.search({ limit: 1_000 })).items.map(({ sequence }) => sequence);
      expect(kept.slice(0, 30)).toEqual(Array.from({ length: 30 }, (_, i) => 100 - i));
      expect(await log.oldestRecord()).toBeLessThanOrEqual(noon + 70);
      await log.append(exampleRecord(log, { now: noon + 100 }));
      expect((await log.search({ limit: 1 })).items[0]?.sequence).toBe(101);
    });

    it('retention by age never removes a younger record; what is removed is not found by its id', async () => {
      const log = await newHome().start({ retention: { maxAgeMs: 60_000 } });
      const records = Array.from({ length: 20 }, (_, i) => exampleRecord(log, { now: noon + i * 10_000 }));
      for (const record of records) await log.append(record);
      await log.prune(noon + 190_000);
      const { items } = await log.search({});
      expect(items.slice(0, 7).map(({ sequence }) => sequence)).toEqual([20, 19, 18, 17, 16, 15, 14]);
      for (const { id } of records) {
        expect((await log.find(id)) !== undefined).toBe(items.some((item) => item.id === id));
      }
    });

    it('the oldest record is the one of the lowest time, wherever it stands; without records there is none', async () => {
      const log = await newHome().start();
      expect(await log.oldestRecord()).toBeUndefined();
      for (const now of [noon, noon - 5_000, noon + 5_000]) await log.append(exampleRecord(log, { now }));
      expect(await log.oldestRecord()).toBe(noon - 5_000);
    });

    it('an id that another writer made is not found, and the answer says who made it', async () => {
      const [log, other] = [await newHome().start(), await newHome().start()];
      for (const each of [log, other]) await each.append(exampleRecord(each));
      const [mine] = (await log.search({})).items;
      const [foreign] = (await other.search({})).items;
      expect(await log.find(foreign!.id)).toBeUndefined();
      const refusal = await log.notFound(foreign!.id);
      expect(refusal.code).toBe('decision_not_found');
      expect(refusal.detail).toContain(`writer ${foreign!.writer}`);
      expect((await log.notFound(mine!.id)).detail).not.toContain('writer');
    });

    it('its status and the room that it takes say what it holds', async () => {
      const home = newHome();
      const log = await home.start({ queueLimit: 10 });
      await log.append(exampleRecord(log, { now: noon }));
      expect(log.status).toMatchObject({
        state: 'ok',
        answering: true,
        mode: 'sync',
        depth: 0,
        limit: 10,
        lost: 0,
        newest: noon,
      });
      const waiting = log.append(exampleRecord(log, { now: noon + 1 }));
      expect(log.status).toMatchObject({ depth: 1, oldestPending: noon + 1 });
      await waiting;
      expect(log.status).toMatchObject({ depth: 0, oldestPending: undefined, newest: noon + 1 });
      await home.shared(log);
      const { records, index } = await log.storage();
      expect(records).toBeGreaterThan(0);
      expect(index).toBeGreaterThan(0);
    });
  });
}
