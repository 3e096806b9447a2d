import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { DataFolderInUse } from '../../../src/database/data-folder-in-use.js';
import { DataFolderLock } from '../../../src/database/sqlite/data-folder-lock.js';
import { temporaryDirectory } from '../../decision-log/temporary-log.js';

const project = fileURLToPath(new URL('../../..', import.meta.url));
const patient = { timeout: 120_000 };

/** Takes the lock of a folder, says so or why not, and keeps it until it is told to end. */
const taker = `import { DataFolderLock } from './dist/database/sqlite/data-folder-lock.js';
const [folder, instance] = process.argv.slice(-2);
const holder = { instance, pid: process.pid };
DataFolderLock.take({ folder, holder, waitMs: 0, onProblem: () => {} }).then(
  () => { console.log('taken'); setInterval(() => {}, 60_000); },
  (error) => { console.log(error.message); process.exit(); },
);`;

function startTaker(folder: string, instance: string): { child: ChildProcess; said: Promise<string> } {
  const child = spawn(process.execPath, ['--input-type=module', '-e', taker, folder, instance], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, said: once(child.stdout!, 'data').then(([text]) => String(text).trim()) };
}

function take(folder: string, { waitMs = 0, onProblem = (_what: string) => {} } = {}): Promise<DataFolderLock> {
  const lock = DataFolderLock.take({ folder, holder: { instance: 'here', pid: process.pid }, waitMs, onProblem });
  onTestFinished(() => lock.then((held) => held.release()).catch(() => undefined));
  return lock;
}

it('a lock that another process has names it, and is free when that is killed', patient, async () => {
  const folder = temporaryDirectory();
  const { child, said } = startTaker(folder, 'pdp-7');
  expect(await said).toBe('taken');
  const refusal = await take(folder).catch((error: unknown) => error);
  expect(refusal).toBeInstanceOf(DataFolderInUse);
  expect(refusal).toMatchObject({ holder: { instance: 'pdp-7', pid: child.pid } });
  expect(String(refusal)).toContain(`${folder} is in use by instance "pdp-7" (process ${child.pid})`);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await take(folder);
});

it('who may wait for the lock gets it when the other ends', patient, async () => {
  const folder = temporaryDirectory();
  const { child, said } = startTaker(folder, 'pdp-7');
  expect(await said).toBe('taken');
  const waiting = take(folder, { waitMs: 60_000 });
  child.kill('SIGKILL');
  expect((await waiting).problem).toBeUndefined();
});

it('of many that start at once exactly one gets the lock, and the others name it', patient, async () => {
  const folder = temporaryDirectory();
  const takers = Array.from({ length: 8 }, (_, i) => startTaker(folder, `pdp-${i}`));
  const said = await Promise.all(takers.map((one) => one.said));
  const winners = takers.filter((_, i) => said[i] === 'taken');
  expect(winners).toHaveLength(1);
  const losers = said.filter((text) => text !== 'taken');
  for (const text of losers) expect(text).toContain(`(process ${winners[0]!.child.pid})`);
});

it.each([
  ['is removed', (lock: string) => rmSync(lock)],
  [
    'is moved over by another file',
    (lock: string) => {
      writeFileSync(`${lock}.new`, 'not a lock');
      renameSync(`${lock}.new`, lock);
    },
  ],
])('a lock whose file %s is taken again within a second, and said', patient, async (_what, damage) => {
  const folder = temporaryDirectory();
  const problems: string[] = [];
  const lock = await take(folder, { onProblem: (what) => problems.push(what) });
  damage(join(folder, 'verdict.lock'));
  await expect
    .poll(() => problems, { timeout: 10_000 })
    .toEqual([expect.stringContaining('is there and locked again')]);
  expect(lock.problem).toBeUndefined();
  expect(await startTaker(folder, 'other').said).toContain(`(process ${process.pid})`);
});

it('a lock that another process takes after the file was removed is a problem', patient, async () => {
  const folder = temporaryDirectory();
  const problems: string[] = [];
  const lock = await take(folder, { onProblem: (what) => problems.push(what) });
  const other = temporaryDirectory();
  const { child, said } = startTaker(other, 'thief');
  expect(await said).toBe('taken');
  renameSync(join(other, 'verdict.lock'), join(folder, 'verdict.lock'));
  await expect.poll(() => lock.problem, { timeout: 10_000 }).toContain(`instance "thief" (process ${child.pid})`);
  expect(problems).toHaveLength(1);
});

it('a file with noise in it does not keep the lock from being taken', patient, async () => {
  const folder = temporaryDirectory();
  writeFileSync(join(folder, 'verdict.lock'), 'noise '.repeat(5_000));
  await take(folder);
  expect(await startTaker(folder, 'other').said).toContain(`instance "here" (process ${process.pid})`);
});

it('a lock that was given back can be taken', async () => {
  const folder = temporaryDirectory();
  await (await take(folder)).release();
  await take(folder);
});
