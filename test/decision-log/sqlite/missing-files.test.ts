import { readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { append, countDown, everything, sequencesOf } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const small = { limits: { records: 20 } };
const openFile = 'verdict.decisions.sqlite';

/** Three closed files of 20 records and an open one of 10; and what its start said. */
async function filled(): Promise<string> {
  const directory = temporaryDirectory();
  const log = await startLog(directory, small);
  await append(log, 70);
  await log.stop();
  return directory;
}

function remove(directory: string, pattern: RegExp): void {
  for (const name of readdirSync(directory)) if (pattern.test(name)) rmSync(join(directory, name));
}

async function restart(directory: string) {
  const problems: string[] = [];
  const log = await startLog(directory, { ...small, onProblem: (what) => problems.push(what) });
  return { log, problems };
}

it('an open file that is gone is said, and its records are a gap; the sequence and the name go on', async () => {
  const directory = await filled();
  remove(directory, /^verdict\.decisions\.sqlite/);
  const { log, problems } = await restart(directory);
  expect(problems).toEqual([`files of the decision log are missing: ${join(directory, openFile)}`]);
  expect(log.status.missing).toBe(join(directory, openFile));
  await append(log, 5);
  const records = await everything(log);
  expect(sequencesOf(records).slice(5)).toEqual(countDown(60));
  // The numbers of what is missing are not given out again, as far as they are known.
  expect(records[4]!.sequence).toBeGreaterThan(60);
  expect((await log.search({ limit: 1_000 })).gaps).toEqual([
    { after: 60, lost: null, cause: 'file_missing', from: records[5]!.time, to: expect.any(String) },
  ]);
  await log.stop();
  const again = await restart(directory);
  expect(again.problems).toEqual([]);
  expect(again.log.status.missing).toBeUndefined();
});

it('the only file of a log that is gone is said by its index alone', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  await append(log, 10);
  await log.indexNow();
  await log.stop();
  remove(directory, /^verdict\.decisions\.sqlite/);
  const { log: next, problems } = await restart(directory);
  expect(problems).toEqual([expect.stringContaining('are missing')]);
  await append(next, 1);
  const { items, gaps } = await next.search({});
  expect(sequencesOf(items)).toEqual([11]);
  expect(gaps).toMatchObject([{ after: 0, lost: null, cause: 'file_missing' }]);
});

it('a closed file that is gone is said, and the gap says how many records it had', async () => {
  const directory = await filled();
  remove(directory, /0000000000000021/);
  const { log, problems } = await restart(directory);
  expect(problems).toEqual([
    `files of the decision log are missing: ${join(directory, 'verdict.decisions.0000000000000021.sqlite')}`,
  ]);
  expect(sequencesOf(await everything(log))).toEqual([...countDown(70, 41), ...countDown(20)]);
  expect((await log.search({ limit: 1_000 })).gaps).toMatchObject([{ after: 20, lost: 20, cause: 'file_missing' }]);
});

it('a log without files, and one whose catalog alone is gone, misses nothing', async () => {
  expect((await restart(temporaryDirectory())).problems).toEqual([]);
  const directory = await filled();
  remove(directory, /catalog/);
  const { log, problems } = await restart(directory);
  expect(problems).toEqual([]);
  expect(await everything(log)).toHaveLength(70);
});

it('closed files of another log are left alone, and said', async () => {
  const [directory, other] = [await filled(), await filled()];
  remove(directory, /0000000000000001|catalog/);
  const name = 'verdict.decisions.0000000000000001.sqlite';
  renameSync(join(other, name), join(directory, name));
  const before = readFileSync(join(directory, name));
  const { log, problems } = await restart(directory);
  expect(problems).toEqual([expect.stringContaining(`${name} is not of this decision log`)]);
  expect(sequencesOf(await everything(log))).toEqual(countDown(70, 21));
  expect(readFileSync(join(directory, name))).toEqual(before);
});

for (const [what, statement, made] of [
  ['format', 'PRAGMA user_version = 5', 'format 5'],
  [
    'migration',
    "INSERT INTO migrations (timestamp, name) VALUES (1999999999999, 'Later1999999999999')",
    'Later1999999999999',
  ],
] as const) {
  for (const file of [openFile, 'verdict.decisions.0000000000000001.sqlite']) {
    it(`a file of a later ${what} is refused by its name, ${file}, and stays as it is`, async () => {
      const directory = await filled();
      remove(directory, /catalog/);
      const connection = await SqliteConnection.open({ path: join(directory, file), wal: false, busyTimeoutMs: 0 });
      await connection.query(statement);
      await connection.close();
      const before = readFileSync(join(directory, file));
      const refusal = new RegExp(
        `${join(directory, file)} was written by a newer version of Verdict \\(.*${made}\\).*format 4`,
      );
      await expect(startLog(directory)).rejects.toThrow(refusal);
      await expect(DecisionLogReader.open(join(directory, 'verdict.sqlite'))).rejects.toThrow(refusal);
      expect(readFileSync(join(directory, file))).toEqual(before);
      expect(readdirSync(directory).filter((name) => name.includes('damaged'))).toEqual([]);
    });
  }
}
