/** The WAL has the newest records, and after a crash it is their only copy. What is lost with it is named (P4). */
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { idMilliseconds } from '../../../src/decision-log/decision-ids.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import type { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { exampleRecord, noon } from '../example-records.js';
import { append, countDown, everything, sequencesOf } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const open = 'verdict.decisions.sqlite';
const index = 'verdict.decisions.index.sqlite';
const small = { limits: { records: 40 } };

/** A log of 100 records, in closed files of 40 and an open one, as `kill -9` leaves it; the index knows of the newest. */
async function crashed(options = {}): Promise<string> {
  const directory = temporaryDirectory();
  const log = await startLog(directory, options);
  await append(log, 100, (i) => ({ now: noon + i * 1_000 }));
  await expect.poll(() => committed(directory), { timeout: 10_000 }).toBe(100);
  return copyOf(directory, log);
}

/** The folder as it is now; the log that has it open is stopped afterwards. */
async function copyOf(directory: string, log: SqliteDecisionLog): Promise<string> {
  const copy = temporaryDirectory();
  cpSync(directory, copy, { recursive: true });
  await log.stop();
  return copy;
}

/** The sequence that the index of the open file has noted. */
async function committed(directory: string): Promise<number> {
  const connection = await SqliteConnection.open({ path: join(directory, index), busyTimeoutMs: 1_000 });
  try {
    const [row] = await connection.query<{ last: number }>('SELECT last FROM committed');
    return row!.last;
  } finally {
    await connection.close();
  }
}

async function restart(directory: string, options = {}) {
  const problems: string[] = [];
  const log = await startLog(directory, { ...options, onProblem: (what) => problems.push(what) });
  return { log, problems };
}

const damages = {
  zeroed: (path: string) => writeFileSync(path, Buffer.alloc(readFileSync(path).length)),
  'cut off within its header': (path: string) => truncateSync(path, 20),
  'cut off in the middle': (path: string) => truncateSync(path, Math.floor(readFileSync(path).length / 2)),
  removed: (path: string) => rmSync(path),
};

for (const [what, damage] of Object.entries(damages)) {
  for (const [kind, options] of [
    ['the only file', {}],
    ['the newest of three files', small],
  ] as const) {
    it(`a WAL of ${kind} that is ${what} at a start costs records, named with their number and never numbered again (P4)`, async () => {
      const directory = await crashed(options);
      damage(join(directory, `${open}-wal`));
      const { log, problems } = await restart(directory, options);
      const kept = await everything(log);
      expect(kept.length).toBeLessThan(100);
      expect(sequencesOf(kept)).toEqual(countDown(kept.length));
      const lost = 100 - kept.length;
      const gap = {
        after: kept.length,
        lost,
        cause: 'file_damaged',
        from: kept[0]?.time ?? new Date(0).toISOString(),
        to: new Date(noon + 99_000).toISOString(),
      };
      expect((await log.search({})).gaps).toEqual([gap]);
      const said = `${join(directory, open)} or its WAL was damaged or cut off; ${lost} decision records behind sequence ${kept.length} are lost`;
      expect(problems).toEqual([said]);
      expect(log.status).toMatchObject({ state: 'ok', problem: said });
      expect((await log.stats({})).total).toBe(kept.length);
      // The clock stands where it stood then, so these ids and sequences would be those of the lost records.
      await append(log, 5, () => ({ now: noon }));
      const records = await everything(log);
      expect(sequencesOf(records)).toEqual([...countDown(105, 101), ...countDown(kept.length)]);
      for (const { id } of records.slice(0, 5)) expect(idMilliseconds(id)).toBeGreaterThan(noon + 99_000);
      await log.stop();
      const again = await restart(directory, options);
      expect(again.problems).toEqual([]);
      expect(await everything(again.log)).toEqual(records);
      expect((await again.log.search({})).gaps).toEqual([gap]);
      expect((await again.log.stats({})).total).toBe(kept.length + 5);
      expect(again.log.status.problem).toBeUndefined();
    });
  }
}

it('a loss is not forgotten when the process ends before its next record (P4)', async () => {
  const directory = await crashed(small);
  damages.zeroed(join(directory, `${open}-wal`));
  await (await restart(directory, small)).log.stop();
  const { log, problems } = await restart(directory, small);
  expect(problems).toEqual([]);
  await append(log, 1);
  expect(sequencesOf(await everything(log))).toEqual([101, ...countDown(80)]);
  expect((await log.search({})).gaps).toMatchObject([{ after: 80, lost: 20, cause: 'file_damaged' }]);
  // A file that ends with lost records is closed and read like any other.
  await append(log, 60);
  await log.indexNow();
  expect((await everything(log)).length).toBe(80 + 61);
  const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
  expect(sequencesOf(await everything(reader))).toEqual([...countDown(161, 101), ...countDown(80)]);
  expect((await reader.search({ limit: 1_000 })).gaps).toMatchObject([{ after: 80, lost: 20 }]);
});

it('an index that is lost with the WAL cannot say what was; the records that are there are found', async () => {
  const directory = await crashed(small);
  damages.zeroed(join(directory, `${open}-wal`));
  for (const name of readdirSync(directory)) if (name.startsWith(index)) rmSync(join(directory, name));
  const { log, problems } = await restart(directory, small);
  expect(problems).toEqual([]);
  expect(sequencesOf(await everything(log))).toEqual(countDown(80));
});

it('a crash that loses nothing names nothing (P4)', async () => {
  const directory = await crashed(small);
  const { log, problems } = await restart(directory, small);
  expect(sequencesOf(await everything(log))).toEqual(countDown(100));
  await log.append(exampleRecord(log));
  expect((await log.search({})).gaps).toBeUndefined();
  expect([problems, log.status.problem]).toEqual([[], undefined]);
});

it('a file that ends with lost records gets an index again when that one is lost', async () => {
  const directory = await crashed();
  damages['cut off in the middle'](join(directory, `${open}-wal`));
  const { log } = await restart(directory);
  const kept = (await everything(log)).length;
  // The next day, so that nothing follows the gap in this file.
  await append(log, 1, () => ({ now: noon + 86_400_000 }));
  await log.stop();
  const indexes = readdirSync(directory).filter((name) => /^verdict\.index\.\d+\.sqlite$/.test(name));
  expect(indexes).toHaveLength(1);
  rmSync(join(directory, indexes[0]!));
  const { log: again, problems } = await restart(directory);
  await again.indexNow();
  expect(problems).toEqual([]);
  expect(sequencesOf(await everything(again, { subject: 'alice' }))).toEqual([101, ...countDown(kept)]);
  expect(readdirSync(directory)).toContain(indexes[0]);
});
