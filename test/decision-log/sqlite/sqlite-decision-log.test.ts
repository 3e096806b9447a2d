import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import { describeAbout } from '../about-suite.js';
import { describeDecisionLog } from '../decision-log-suite.js';
import { exampleRecord, noon } from '../example-records.js';
import { sqliteHome, startLog, temporaryDirectory } from '../temporary-log.js';

describeDecisionLog('SQLite', () => sqliteHome());
describeAbout('SQLite', () => sqliteHome());

it('the files are made with their directory and belong to their owner alone', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(join(directory, 'a', 'b'));
  await log.append(exampleRecord(log));
  for (const name of [
    'verdict.decisions.sqlite',
    'verdict.decisions.sqlite-wal',
    'verdict.decisions.sqlite-shm',
    'verdict.decisions.index.sqlite',
    'verdict.log-key.pem',
  ]) {
    expect(statSync(join(directory, 'a', 'b', name)).mode & 0o777, name).toBe(0o600);
  }
  expect(statSync(join(directory, 'a', 'b')).mode & 0o777).toBe(0o700);
});

it('mode off makes no file', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { mode: 'off' });
  await log.append(exampleRecord(log));
  expect(existsSync(join(directory, 'verdict.decisions.sqlite'))).toBe(false);
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

it('retention never deletes a record that it was told to keep, whatever its number', async () => {
  let deletable = 0;
  const log = await startLog(temporaryDirectory(), { retention: { maxRecords: 10, deletableTo: () => deletable } });
  for (let i = 0; i < 100; i++) await log.append(exampleRecord(log));
  await log.prune(noon);
  expect((await log.search({ limit: 1_000 })).items).toHaveLength(100);
  deletable = 55;
  await log.prune(noon);
  expect((await log.search({ limit: 1_000 })).items.at(-1)!.sequence).toBe(56);
  deletable = 100;
  await log.prune(noon);
  expect((await log.search({ limit: 1_000 })).items).toHaveLength(10);
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
