import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { closedFiles, closedIndexPathOf, indexPathOf } from '../../../src/decision-log/sqlite/log-files.js';
import type { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { append, countDown, everything, sequencesOf } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

/** A file is closed once it has 40 records. */
const small = { limits: { records: 40 } };
const path = (directory: string): string => join(directory, 'verdict.decisions.sqlite');

const examples = (i: number) => ({
  subject: `s${i % 10}`,
  decision: i % 3 === 0 ? ('deny' as const) : ('allow' as const),
});

async function indexedIn(directory: string): Promise<{ segments: number; counted: number }> {
  const index = await SqliteConnection.open({ path: indexPathOf(path(directory)), busyTimeoutMs: 1_000 });
  try {
    const [row] = await index.query<{ segments: number; counted: number }>(
      'SELECT (SELECT count(*) FROM segment) AS segments, (SELECT count(*) FROM tally) AS counted',
    );
    return row!;
  } finally {
    await index.close();
  }
}

function closedIndexesIn(directory: string): string[] {
  return closedFiles(path(directory))
    .map((first) => closedIndexPathOf(path(directory), first))
    .filter((each) => existsSync(each));
}

async function expectWhole(log: Pick<SqliteDecisionLog, 'search' | 'stats'>, count: number): Promise<void> {
  expect(sequencesOf(await everything(log))).toEqual(countDown(count));
  expect(sequencesOf(await everything(log, { subject: 's3' }))).toEqual(countDown(count).filter((n) => n % 10 === 4));
  const { items, total } = await log.stats({ by: ['decision'] });
  expect(total).toBe(count);
  const denied = countDown(count).filter((n) => (n - 1) % 3 === 0).length;
  expect(items.find(({ decision }) => decision === 'deny')?.count).toBe(denied);
}

it('a journal that is shipped makes no key index and no counts, in the open file and in closed ones', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { ...small, isShipped: true });
  await append(log, 130, examples);
  await log.indexNow();
  expect(closedFiles(path(directory)).length).toBeGreaterThan(2);
  expect(closedIndexesIn(directory)).toEqual([]);
  expect(await indexedIn(directory)).toEqual({ segments: 0, counted: 0 });
  expect(log.status.unindexed).toBe(0);
  // What the replica is asked for while PostgreSQL is away, and what the command line reads of its folder.
  const [newest] = (await log.search({ limit: 1 })).items;
  expect(await log.find(newest!.id)).toEqual(newest);
  const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
  await expectWhole(reader, 130).finally(() => reader.close());
});

it('P4: a folder that goes back to SQLite gets its key index and its counts at that start', async () => {
  const directory = temporaryDirectory();
  const shipped = await startLog(directory, { ...small, isShipped: true });
  await append(shipped, 130, examples);
  await shipped.stop();
  const log = await startLog(directory, small);
  await vi.waitFor(() => expect(log.status.unindexed).toBe(0), { timeout: 10_000 });
  await log.indexNow();
  expect(closedIndexesIn(directory)).toHaveLength(closedFiles(path(directory)).length);
  expect((await indexedIn(directory)).segments).toBeGreaterThan(0);
  await expectWhole(log, 130);
  await append(log, 30, (i) => examples(i + 130));
  await expectWhole(log, 160);
});

it('P4: a folder that is shipped from now on keeps the indexes that it has, and may go back and forth', async () => {
  const directory = temporaryDirectory();
  for (const [i, isShipped] of [false, true, false, true, false].entries()) {
    const log = await startLog(directory, { ...small, isShipped });
    await append(log, 50, (n) => examples(n + i * 50));
    await log.indexNow();
    if (!isShipped) await expectWhole(log, (i + 1) * 50);
    await log.stop();
  }
  expect(closedIndexesIn(directory)).toHaveLength(closedFiles(path(directory)).length);
  const log = await startLog(directory, small);
  await expectWhole(log, 250);
});

it('P4: a process that ends in the middle of closing a file without an index leaves every record to be found', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { isShipped: true });
  await append(log, 30, examples);
  await log.stop();
  // Between the removal of the index and the renaming of the journal.
  for (const suffix of ['', '-wal', '-shm']) rmSync(indexPathOf(path(directory)) + suffix, { force: true });
  const again = await startLog(directory, { ...small, isShipped: true });
  await append(again, 30, (i) => examples(i + 30));
  await again.stop();
  await expectWhole(await startLog(directory, small), 60);
});
