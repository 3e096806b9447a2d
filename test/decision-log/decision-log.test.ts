import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import { exampleRecord, noon } from './example-records.js';
import { startLog, temporaryDirectory } from './temporary-log.js';

it('a record is found the moment append resolves, and comes back as it went in', async () => {
  const log = await startLog(temporaryDirectory());
  const record = exampleRecord(log);
  await log.append(record);
  const { items, nextCursor } = await log.search({ subject: 'alice' });
  expect(items).toEqual([{ ...record, writer: expect.any(Number), sequence: 1 }]);
  expect(nextCursor).toBeUndefined();
  expect(await log.find(record.id)).toEqual(items[0]);
});

it('what is appended together is committed together, in order', async () => {
  const log = await startLog(temporaryDirectory());
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
  const directory = temporaryDirectory();
  const first = await startLog(directory);
  const pending = first.append(exampleRecord(first));
  await first.stop();
  await pending;
  const second = await startLog(directory);
  await second.append(exampleRecord(second));
  const { items } = await second.search({});
  expect(items.map(({ sequence }) => sequence)).toEqual([2, 1]);
  expect(new Set(items.map(({ writer }) => writer)).size).toBe(1);
});

it('ids stay above the last one after a restart with the clock an hour back', async () => {
  const directory = temporaryDirectory();
  const first = await startLog(directory);
  const before = exampleRecord(first, { now: noon });
  await first.append(before);
  await first.stop();
  const second = await startLog(directory);
  const after = exampleRecord(second, { now: noon - 3_600_000 });
  await second.append(after);
  expect(after.id > before.id).toBe(true);
  expect(await second.find(after.id)).toMatchObject({ time: '2026-11-21T11:00:00.000Z' });
  expect(await second.find(before.id)).toMatchObject({ id: before.id });
});

it('the files are made with their directory and belong to their owner alone', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(join(directory, 'a', 'b'));
  await log.append(exampleRecord(log));
  for (const name of [
    'verdict.decisions.sqlite',
    'verdict.decisions.sqlite-wal',
    'verdict.decisions.sqlite-shm',
    'verdict.decisions.index.sqlite',
  ]) {
    expect(statSync(join(directory, 'a', 'b', name)).mode & 0o777, name).toBe(0o600);
  }
  expect(statSync(join(directory, 'a', 'b')).mode & 0o777).toBe(0o700);
});

it('mode off writes no record and makes no file, but gives ids and answers queries', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { mode: 'off' });
  const record = exampleRecord(log);
  await log.append(record);
  expect(existsSync(join(directory, 'verdict.decisions.sqlite'))).toBe(false);
  expect(await log.search({})).toEqual({ items: [] });
  expect(await log.find(record.id)).toBeUndefined();
});

it('mode off still reads what was recorded before', async () => {
  const directory = temporaryDirectory();
  const writing = await startLog(directory);
  await writing.append(exampleRecord(writing));
  await writing.stop();
  const log = await startLog(directory, { mode: 'off' });
  await log.append(exampleRecord(log));
  expect((await log.search({})).items).toHaveLength(1);
});

it('two readers see whole, growing logs while records are written', async () => {
  const log = await startLog(temporaryDirectory());
  // A search of an empty log asks nothing of SQLite, and a loop of those would never let go of the event loop.
  await log.append(exampleRecord(log));
  let writing = true;
  const read = async (): Promise<number> => {
    let seen = 0;
    while (writing) {
      const { items } = await log.search({ subject: 'alice', limit: 1_000 });
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
    if (i === 20) await log.indexNow();
  }
  writing = false;
  for (const seen of await Promise.all(readers)) expect(seen).toBeGreaterThan(0);
  expect((await log.search({ limit: 1 })).items[0]?.sequence).toBe(10_001);
});

it('retention by count keeps the newest records, and their order goes on', async () => {
  const log = await startLog(temporaryDirectory(), { retention: { maxRecords: 300 } });
  for (let i = 0; i < 10; i++) {
    await Promise.all(Array.from({ length: 100 }, () => log.append(exampleRecord(log, { subject: `s${i}` }))));
    if (i === 4) await log.indexNow();
  }
  await log.prune(noon);
  const { items } = await log.search({ limit: 1_000 });
  // Whole groups go, so a few more may be left than asked for, and never fewer.
  expect(items.length).toBeGreaterThanOrEqual(300);
  expect(items.length).toBeLessThan(300 + 128);
  expect(items[0]!.sequence).toBe(1_000);
  expect((await log.search({ subject: 's1' })).items).toEqual([]);
  expect((await log.search({ subject: 's9', limit: 1_000 })).items).toHaveLength(100);
});

it('retention by age removes what is older to the group, and never the newest', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { retention: { maxAgeMs: 60_000 } });
  for (let i = 0; i < 20; i++) await log.append(exampleRecord(log, { now: noon + i * 10_000 }));
  await log.prune(noon + 190_000);
  expect((await log.search({})).items.map(({ sequence }) => sequence)).toEqual([20, 19, 18, 17, 16, 15, 14]);
  await log.prune(noon + 86_400_000);
  expect((await log.search({})).items.map(({ sequence }) => sequence)).toEqual([20]);
  await log.stop();
  const again = await startLog(directory);
  await again.append(exampleRecord(again));
  expect((await again.search({})).items.map(({ sequence }) => sequence)).toEqual([21, 20]);
});

it('two processes that meet on a file, while one takes over from the other, keep all records of both', async () => {
  const directory = temporaryDirectory();
  const [old, next] = [await startLog(directory), await startLog(directory)];
  const append = (log: DecisionLog, subject: string) => log.append(exampleRecord(log, { subject }));
  for (let i = 0; i < 20; i++) {
    await Promise.all([append(old, 'old'), append(next, 'next'), append(old, 'old'), append(next, 'next')]);
    if (i === 10) await old.indexNow();
  }
  await old.stop();
  await append(next, 'next');
  await next.indexNow();
  const { items } = await next.search({ limit: 1_000 });
  expect(items.map(({ sequence }) => sequence)).toEqual(items.map((_, i) => 81 - i));
  expect((await next.search({ subject: 'old', limit: 1_000 })).items).toHaveLength(40);
  expect((await next.search({ subject: 'next', limit: 1_000 })).items).toHaveLength(41);
});

it('records say which instance answered; those of a log without a name say nothing', async () => {
  const directory = temporaryDirectory();
  const nameless = await startLog(directory);
  await nameless.append(exampleRecord(nameless));
  await nameless.stop();
  const log = await startLog(directory, { instance: 'pdp-7' });
  await Promise.all(['billing', 'crm'].map((caller) => log.append(exampleRecord(log, { caller }))));
  const { items } = await log.search({});
  expect(items.map(({ instance }) => instance)).toEqual(['pdp-7', 'pdp-7', undefined]);
  expect(items[2]).not.toHaveProperty('instance');
});
