import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { exampleRecord } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

async function openReader(directory: string): Promise<DecisionLogReader> {
  const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
  onTestFinished(() => reader.close());
  return reader;
}

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
  expect(readdirSync(directory)).toEqual(['verdict.decisions.sqlite', 'verdict.log-key.pem']);
});

it('a database without a log beside it is said to have none, and none is made', async () => {
  const directory = temporaryDirectory();
  await expect(openReader(directory)).rejects.toThrow('there is no decision log at');
  expect(readdirSync(directory)).toEqual([]);
});
