/** Files of the log that are removed or replaced while it runs: what was acknowledged is there again, in place. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import { exampleRecord } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const quick = { retryMs: 20, watchMs: 100 };

/** Appends records; `acknowledged` gets the ids of those that were taken. */
async function fill(log: DecisionLog, records: number, acknowledged: string[]): Promise<void> {
  for (let i = 0; i < records; i += 16) {
    const group = Array.from({ length: Math.min(16, records - i) }, (_, j) => {
      return exampleRecord(log, { resource: `r${i + j}`, attributes: { text: 'x'.repeat(500) } });
    });
    const outcomes = await Promise.allSettled(group.map((record) => log.append(record)));
    acknowledged.push(...group.filter((_, j) => outcomes[j]!.status === 'fulfilled').map(({ id }) => id));
  }
}

async function idsIn(log: DecisionLog): Promise<string[]> {
  const ids: string[] = [];
  for await (const text of log.export({})) {
    for (const line of text.split('\n')) if (line !== '') ids.push(JSON.parse(line).id ?? 'gap');
  }
  return ids.reverse();
}

const open = 'verdict.decisions.sqlite';
const index = 'verdict.decisions.index.sqlite';
const remove = (directory: string, names: string[]) => {
  for (const name of names) rmSync(join(directory, name));
};
const moveOver = (directory: string, name: string) => {
  writeFileSync(join(directory, 'new'), 'of somebody else');
  renameSync(join(directory, 'new'), join(directory, name));
};

const damages: readonly (readonly [string, (directory: string) => void, readonly string[]])[] = [
  ['the open file is removed', (directory) => remove(directory, [open]), []],
  ['the open file is removed with its WAL', (directory) => remove(directory, [open, `${open}-wal`, `${open}-shm`]), []],
  ['the open file is moved away', (directory) => renameSync(join(directory, open), join(directory, 'elsewhere')), []],
  ['the open file is moved over by another file', (directory) => moveOver(directory, open), [open]],
  ['the WAL is removed', (directory) => remove(directory, [`${open}-wal`]), []],
  ['the index is removed', (directory) => remove(directory, [index]), []],
  ['the index is moved over by another file', (directory) => moveOver(directory, index), [index]],
  [
    'all files are removed',
    (directory) =>
      remove(
        directory,
        readdirSync(directory).filter((name) => name.startsWith('verdict.')),
      ),
    [],
  ],
];

describe.each(['sync', 'fsync', 'async'] as const)('in mode %s', (mode) => {
  it.each(damages)(
    'when %s, everything that was acknowledged is written back, and said',
    async (_what, damage, aside) => {
      const directory = temporaryDirectory();
      const problems: string[] = [];
      const log = await startLog(directory, { ...quick, mode, onProblem: (what) => problems.push(what) });
      const wanted: string[] = [];
      await fill(log, 400, wanted);
      if (mode === 'async') await expect.poll(() => log.depth).toBe(0);
      damage(directory);
      // Until somebody looks, commits go where nobody will find them.
      await fill(log, 64, wanted);
      await expect
        .poll(() => problems, { timeout: 10_000 })
        .toContainEqual(
          expect.stringMatching(
            /was removed or replaced; what was committed is written back, 0 decision records are lost/,
          ),
        );
      await expect.poll(() => log.status.state, { timeout: 10_000 }).toBe('ok');
      await fill(log, 32, wanted);
      await expect.poll(() => log.depth).toBe(0);
      expect(await idsIn(log)).toEqual(wanted);
      expect((await log.search({ resource: 'r7', limit: 10 })).items.length).toBeGreaterThanOrEqual(2);
      expect(statSync(join(directory, open)).mode & 0o777).toBe(0o600);
      const others = readdirSync(directory).filter((name) => name.includes('.other-'));
      expect(others.map((name) => name.replace(/\.other-.*/, ''))).toEqual(aside);
      for (const name of others) expect(readFileSync(join(directory, name), 'utf8')).toBe('of somebody else');
      await log.stop();
      const again = await startLog(directory);
      expect(await idsIn(again)).toEqual(wanted);
      expect((await again.search({ limit: 1 })).gaps).toBeUndefined();
    },
  );
});

it('what vanishes right before a stop is written back by it', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { watchMs: 60_000 });
  const wanted: string[] = [];
  await fill(log, 100, wanted);
  remove(directory, [open]);
  await fill(log, 100, wanted);
  await log.stop();
  expect(await idsIn(await startLog(directory))).toEqual(wanted);
});

it('while there is no room to write it back decisions are refused, and nothing is given up', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, quick);
  const wanted: string[] = [];
  await fill(log, 100, wanted);
  // A folder in the place of the copy keeps it from being made.
  mkdirSync(join(directory, `${open}.rescued`, 'full'), { recursive: true });
  remove(directory, [open]);
  await expect.poll(() => log.status.state, { timeout: 10_000 }).toBe('failing');
  await expect(log.append(exampleRecord(log))).rejects.toMatchObject({ code: 'decision_log_unavailable' });
  rmSync(join(directory, `${open}.rescued`), { recursive: true });
  await expect.poll(() => log.status.state, { timeout: 10_000 }).toBe('ok');
  await fill(log, 10, wanted);
  expect(await idsIn(log)).toEqual(wanted);
});

it('a WAL that vanished just before the file is to be closed is noticed and written back all the same (P4)', async () => {
  const directory = temporaryDirectory();
  const problems: string[] = [];
  const onProblem = (what: string) => problems.push(what);
  const log = await startLog(directory, { limits: { records: 40 }, retryMs: 20, onProblem });
  const wanted: string[] = [];
  await fill(log, 32, wanted);
  remove(directory, [`${open}-wal`]);
  // The third group is one more than the file may have.
  await fill(log, 48, wanted);
  await expect
    .poll(() => problems, { timeout: 10_000 })
    .toContainEqual(expect.stringContaining(`${open}-wal was removed or replaced; what was committed is written back`));
  await expect.poll(() => log.status.state).toBe('ok');
  expect(await idsIn(log)).toEqual(wanted);
});
