import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { backUpJournal } from '../../../src/decision-log/sqlite/journal-backup.js';
import { WalBound } from '../../../src/decision-log/sqlite/wal-bound.js';
import { exampleRecord } from '../example-records.js';
import { isFullSize, report } from '../full-size.js';
import { append, countDown, everything, sequencesOf } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const mebibyte = 1024 * 1024;

function walSize(directory: string): number {
  return statSync(join(directory, 'verdict.decisions.sqlite-wal')).size;
}

/** What reads the log all the time, until the commits have ended. */
const neighbours: Record<string, (log: DecisionLog, directory: string) => Promise<unknown>> = {
  nobody: async () => undefined,
  'exports and searches': async (log) => {
    for await (const _ of log.export({})) await log.search({ subject: 'alice', limit: 100 });
  },
  'a reader in another place': async (_, directory) => {
    const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
    for await (const _ of reader.export({ q: 'nothing' }));
  },
  backups: async (_, directory) => {
    const folder = join(directory, 'copy');
    mkdirSync(folder);
    await backUpJournal(join(directory, 'verdict.decisions.sqlite'), folder);
    rmSync(folder, { recursive: true });
  },
};

/** At full size the bound is the one that the log has, and it is filled seven times by one client. */
const most = isFullSize ? 128 * mebibyte : 2 * mebibyte;
const records = isFullSize ? 96_000 : 1_500;

for (const clients of [1, 64]) {
  for (const [name, read] of Object.entries(neighbours)) {
    it(
      `the WAL keeps below its bound, by its size, with ${clients} at a time and ${name} beside (P10)`,
      async () => {
        const directory = temporaryDirectory();
        const log = await startLog(directory, isFullSize ? {} : { limits: { walBytes: most } });
        let reading = true;
        const beside = (async () => {
          while (reading) {
            await read(log, directory);
            await new Promise((resolve) => setImmediate(resolve));
          }
        })();
        let largest = 0;
        let committed = 0;
        while (committed < records) {
          await Promise.all(Array.from({ length: clients }, () => log.append(exampleRecord(log))));
          committed += clients;
          largest = Math.max(largest, walSize(directory));
        }
        reading = false;
        await beside;
        report(`${clients} at a time, ${name} beside: ${committed} records, WAL of ${largest} bytes at most`);
        // It was filled. How far depends on how many records share a commit.
        expect(largest).toBeGreaterThan(mebibyte / 4);
        expect(largest).toBeLessThanOrEqual(most);
        expect(sequencesOf(await everything(log))).toEqual(countDown(committed));
      },
      isFullSize ? 1_200_000 : 60_000,
    );
  }
}

it('a stranger that holds a snapshot is reported, and no commit fails for its sake', async () => {
  const directory = temporaryDirectory();
  const problems: string[] = [];
  const log = await startLog(directory, {
    limits: { walBytes: mebibyte },
    onProblem: (what) => problems.push(what),
  });
  await append(log, 10);
  const stranger = await SqliteConnection.open({ path: join(directory, 'verdict.decisions.sqlite'), busyTimeoutMs: 0 });
  await stranger.query('BEGIN');
  await stranger.query('SELECT count(*) FROM journal');
  for (let i = 0; i < 300; i++) await log.append(exampleRecord(log));
  expect(problems).toEqual([expect.stringContaining('reading the open file of the decision log')]);
  await stranger.query('COMMIT');
  await stranger.close();
  for (let i = 0; i < 100; i++) await log.append(exampleRecord(log));
  await expect.poll(() => log.status.state).toBe('ok');
  expect(sequencesOf(await everything(log))).toEqual(countDown(410));
});

it('the bounds are shares of the most, at the byte', async () => {
  // A commit of nothing is two pages of 4,120 bytes.
  const wal = new WalBound(8 * 8_240, 0);
  const seen: string[] = [];
  for (let i = 1; i <= 8; i++) {
    wal.grew(0);
    seen.push([wal.isDue, wal.mustRestart, wal.mustWait, wal.isFull].map(Number).join(''));
  }
  expect(seen).toEqual(['1000', '1000', '1000', '1100', '1100', '1110', '1111', '1111']);
  const asked: boolean[][] = [];
  await wal.writeBack(async (restart, wait) => {
    asked.push([restart, wait]);
    wal.grew(0);
    return { frames: 16, restarted: false };
  });
  // What was committed meanwhile counts on top of what is there.
  expect([wal.bytes, wal.isDue]).toEqual([18 * 4_120, true]);
  await wal.writeBack(async () => ({ frames: 18, restarted: true }));
  expect([wal.bytes, wal.isDue]).toEqual([0, false]);
  expect(asked).toEqual([[true, true]]);
});

it('what an earlier process left in the WAL counts', () => {
  expect(new WalBound(128 * mebibyte, 112 * mebibyte).isFull).toBe(true);
  expect(new WalBound(128 * mebibyte, 112 * mebibyte - 1).isFull).toBe(false);
});

/** A million records are indexed in the better part of a minute; the stop comes early, later and late in it. */
const rebuilt = isFullSize ? 1_000_000 : 40_000;
const stopsAfterMs = isFullSize ? [0, 1_000, 5_000, 10_000] : [0];

it(
  'a stop ends an index rebuild before its end, and the next start goes on (P10)',
  async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory);
    for (let i = 0; i < rebuilt; i += 5_000) {
      await Promise.all(Array.from({ length: 5_000 }, () => log.append(exampleRecord(log))));
    }
    await log.stop();
    rmSync(join(directory, 'verdict.decisions.index.sqlite'));
    for (const after of stopsAfterMs) {
      const problems: string[] = [];
      const rebuilding = await startLog(directory, { onProblem: (what) => problems.push(what) });
      await delay(after);
      const { unindexed } = rebuilding.status;
      const started = performance.now();
      await rebuilding.stop();
      const stopMs = performance.now() - started;
      report(`stopped ${after} ms into a rebuild with ${unindexed} records left: after ${Math.round(stopMs)} ms`);
      // The bound itself is what is promised, so it is measured; at the size at which it matters.
      if (isFullSize) expect(stopMs).toBeLessThan(1_000);
      expect(problems).toEqual([]);
      const index = await SqliteConnection.open({
        path: join(directory, 'verdict.decisions.index.sqlite'),
        busyTimeoutMs: 0,
      });
      const [row] = await index.query<{ last: number | null }>('SELECT max(last) AS last FROM segment');
      await index.close();
      expect(row?.last ?? 0).toBeLessThan(rebuilt);
    }
    const again = await startLog(directory);
    await again.indexNow();
    expect(again.status.unindexed).toBe(0);
    expect((await again.stats({})).total).toBe(rebuilt);
  },
  isFullSize ? 1_200_000 : 60_000,
);
