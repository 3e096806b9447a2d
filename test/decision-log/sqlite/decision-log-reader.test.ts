import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { exampleRecord, noon } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

async function openReader(directory: string): Promise<DecisionLogReader> {
  const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
  onTestFinished(() => reader.close());
  return reader;
}

it('a reader beside the writing service sees every record that was committed, indexed or not', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { mode: 'async' });
  const reader = await openReader(directory);
  const append = (subject: string) => log.append(exampleRecord(log, { subject, now: noon }));
  for (let i = 0; i < 200; i++) void append(`s${i % 2}`);
  await expect.poll(() => log.depth).toBe(0);
  expect((await reader.search({ subject: 's1', limit: 1_000 })).items).toHaveLength(100);
  await log.indexNow();
  const late = exampleRecord(log, { subject: 's1' });
  await log.append(late);
  await expect.poll(() => log.depth).toBe(0);
  expect((await reader.search({ subject: 's1', limit: 1_000 })).items).toHaveLength(101);
  expect(await reader.find(late.id)).toMatchObject({ id: late.id });
  expect(await reader.stats({ by: ['decision'] })).toEqual(await log.stats({ by: ['decision'] }));
  let lines = 0;
  for await (const text of reader.export({})) lines += text.split('\n').length - 1;
  expect(lines).toBe(201);
});

it('a reader leaves no trace, and needs no index', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  await log.append(exampleRecord(log));
  await log.stop();
  for (const name of readdirSync(directory)) if (name.includes('.index.')) rmSync(join(directory, name));
  const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
  expect((await reader.search({ subject: 'alice' })).items).toHaveLength(1);
  expect((await reader.stats({})).total).toBe(1);
  await reader.close();
  expect(readdirSync(directory)).toEqual(['verdict.decisions.sqlite']);
});

it('a database without a log beside it is said to have none, and none is made', async () => {
  const directory = temporaryDirectory();
  await expect(openReader(directory)).rejects.toThrow('there is no decision log at');
  expect(readdirSync(directory)).toEqual([]);
});
