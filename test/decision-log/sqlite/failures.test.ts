import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished, vi } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { exampleRecord } from '../example-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const quick = { retryMs: 10 };
const refused = { code: 'decision_log_unavailable', extra: { retryAfter: 1 } };

it('while another holds the lock decisions are refused; then they are recorded again, without a restart', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, quick);
  await log.append(exampleRecord(log));
  const other = await SqliteConnection.open({ path: join(directory, 'verdict.decisions.sqlite'), busyTimeoutMs: 0 });
  await other.query('BEGIN IMMEDIATE');
  await expect(log.append(exampleRecord(log))).rejects.toMatchObject(refused);
  expect(log.status).toMatchObject({ state: 'failing', problem: expect.stringContaining('SQLITE_BUSY') });
  await expect(log.append(exampleRecord(log))).rejects.toMatchObject(refused);
  expect((await log.search({})).items).toHaveLength(1);
  await other.query('ROLLBACK');
  await other.close();
  await vi.waitFor(() => expect(log.status.state).toBe('ok'), 10_000);
  await log.append(exampleRecord(log));
  expect((await log.search({})).items.map(({ sequence }) => sequence)).toEqual([2, 1]);
});

const project = fileURLToPath(new URL('../../..', import.meta.url));
/** Takes the write lock of a file, reports it, and ends after some milliseconds without releasing it. */
const locker = `import sqlite3 from 'sqlite3';
const [path, ms] = process.argv.slice(-2);
const db = new sqlite3.Database(path);
db.exec('BEGIN IMMEDIATE', () => { console.log('locked'); setTimeout(() => process.exit(), Number(ms)); });`;

it('while another process holds the lock for 30 s nothing is recorded, reading goes on, and then all is well', async () => {
  const directory = temporaryDirectory();
  const path = join(directory, 'verdict.decisions.sqlite');
  const log = await startLog(directory);
  await log.append(exampleRecord(log));
  const other = spawn(process.execPath, ['--input-type=module', '-e', locker, path, '30000'], { cwd: project });
  const released = once(other, 'exit');
  await once(other.stdout, 'data');
  while (other.exitCode === null) {
    const outcome = await log.append(exampleRecord(log)).catch((error: unknown) => error);
    // The lock may end between the question and its answer.
    if (other.exitCode !== null) break;
    expect(outcome).toMatchObject(refused);
    expect(log.status).toMatchObject({ state: 'failing', problem: expect.stringContaining('SQLITE_BUSY'), depth: 0 });
    expect((await log.search({})).items).toHaveLength(1);
    await delay(100);
  }
  await released;
  await vi.waitFor(() => log.append(exampleRecord(log)), 5_000);
  expect(log.status.state).toBe('ok');
  const sequences = (await log.search({})).items.map(({ sequence }) => sequence);
  expect(sequences).toEqual(sequences.map((_, i) => sequences.length - i));
}, 90_000);

it('in mode async records wait for the lock, and none is lost', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { ...quick, mode: 'async' });
  const other = await SqliteConnection.open({ path: join(directory, 'verdict.decisions.sqlite'), busyTimeoutMs: 0 });
  await other.query('BEGIN IMMEDIATE');
  await log.append(exampleRecord(log));
  await vi.waitFor(() => expect(log.status.state).toBe('failing'), 10_000);
  await log.append(exampleRecord(log));
  expect(log.depth).toBe(2);
  await other.query('ROLLBACK');
  await other.close();
  await vi.waitFor(() => expect(log.depth).toBe(0), 10_000);
  expect((await log.search({})).items).toHaveLength(2);
});

const root = process.platform === 'linux' && process.getuid?.() === 0;

/** A disk of 4 MiB; undefined in a container without the right to mount. */
function smallDisk(): string | undefined {
  const disk = join(temporaryDirectory(), 'disk');
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  onTestFinished(() => void execFileSync('umount', ['-l', disk]));
  return disk;
}

it.skipIf(!root)('a full disk refuses decisions, and room on it lets them be recorded again', async () => {
  const disk = smallDisk();
  if (disk === undefined) return;
  const problems: string[] = [];
  const log = await startLog(disk, { ...quick, onProblem: (what) => problems.push(what) });
  await log.append(exampleRecord(log));
  expect(() => writeFileSync(join(disk, 'filler'), Buffer.alloc(8 << 20))).toThrow('ENOSPC');
  const large = { attributes: { text: 'x'.repeat(20_000) } };
  await expect(log.append(exampleRecord(log, large))).rejects.toMatchObject(refused);
  expect(log.status).toMatchObject({ state: 'failing', problem: expect.stringContaining('SQLITE_FULL') });
  rmSync(join(disk, 'filler'));
  await vi.waitFor(() => expect(log.status.state).toBe('ok'), 10_000);
  await log.append(exampleRecord(log, large));
  expect((await log.search({})).items.map(({ sequence }) => sequence)).toEqual([2, 1]);
  expect(problems).toContain('the decision log can be written again');
  await log.stop();
});

/** What a kernel does to a file of a disk that it no longer trusts: those who have it open cannot write it either. */
function setWritable(writable: boolean, ...paths: string[]): void {
  execFileSync('chattr', [writable ? '-i' : '+i', ...paths], { stdio: 'ignore' });
}

it.skipIf(!root)('a file made read-only refuses decisions, and one made writable again records them', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, quick);
  await log.append(exampleRecord(log));
  const paths = ['', '-wal'].map((suffix) => join(directory, `verdict.decisions.sqlite${suffix}`));
  try {
    setWritable(false, ...paths);
  } catch {
    // A file system, or a container, that knows no such files.
    return;
  }
  try {
    await expect(log.append(exampleRecord(log))).rejects.toMatchObject(refused);
    expect(log.status).toMatchObject({ state: 'failing', problem: expect.stringContaining('SQLITE_') });
    await expect(log.append(exampleRecord(log))).rejects.toMatchObject(refused);
    expect((await log.search({})).items).toHaveLength(1);
  } finally {
    setWritable(true, ...paths);
  }
  await vi.waitFor(() => expect(log.status.state).toBe('ok'), 10_000);
  await log.append(exampleRecord(log));
  expect((await log.search({})).items.map(({ sequence }) => sequence)).toEqual([2, 1]);
});

it.skipIf(!root)('a read-only disk stops a start, which says why and ends with 78', async () => {
  const disk = smallDisk();
  if (disk === undefined) return;
  await (await startLog(disk)).stop();
  execFileSync('mount', ['-o', 'remount,ro', disk]);
  await expect(startLog(disk)).rejects.toMatchObject({ code: 'EROFS', path: join(disk, 'verdict.decisions.sqlite') });
  const started = spawnSync(process.execPath, [join(project, 'dist/cli.js'), 'serve', '--local'], {
    cwd: project,
    env: { PATH: process.env.PATH, VERDICT_PORT: '0', VERDICT_DATABASE_URL: `sqlite:${join(disk, 'verdict.sqlite')}` },
    encoding: 'utf8',
    timeout: 20_000,
  });
  expect(started.status).toBe(78);
  expect(started.stderr).toContain(`${disk}, which is on a read-only file system`);
  execFileSync('mount', ['-o', 'remount,rw', disk]);
  await (await startLog(disk)).stop();
});

for (const [what, damage] of [
  ['that is no database', (path: string) => writeFileSync(path, 'not a database, but somebody wants to keep it')],
  ['whose pages are overwritten', (path: string) => writeFileSync(path, overwritten(readFileSync(path)))],
  ['that was cut off', (path: string) => truncateSync(path, 8_192)],
] as const) {
  it(`a file ${what} is set aside under a name that is reported, and a new one begun`, async () => {
    const directory = temporaryDirectory();
    const first = await startLog(directory);
    for (let i = 0; i < 20; i++) await first.append(exampleRecord(first, { attributes: { text: 'x'.repeat(5_000) } }));
    await first.stop();
    const path = join(directory, 'verdict.decisions.sqlite');
    damage(path);
    const damaged = readFileSync(path);
    const problems: string[] = [];
    const log = await startLog(directory, { onProblem: (problem) => problems.push(problem) });
    await log.append(exampleRecord(log));
    expect((await log.search({})).items).toHaveLength(1);
    const aside = readdirSync(directory).find((name) => /^verdict\.decisions\.sqlite\.damaged-[0-9TZ_]+$/.test(name))!;
    expect(readFileSync(join(directory, aside))).toEqual(damaged);
    expect(problems).toEqual([expect.stringContaining(join(directory, aside))]);
  });
}

it('a file that is damaged while it is written is set aside, and decisions are recorded again without a restart', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, quick);
  await log.append(exampleRecord(log));
  const path = join(directory, 'verdict.decisions.sqlite');
  const other = await SqliteConnection.open({ path, busyTimeoutMs: 0 });
  await other.query('PRAGMA wal_checkpoint(TRUNCATE)');
  await other.close();
  writeFileSync(path, overwritten(readFileSync(path)));
  await vi.waitFor(async () => {
    await log.append(exampleRecord(log));
    expect(readdirSync(directory).some((name) => name.includes('.damaged-'))).toBe(true);
  }, 10_000);
  expect(log.status.state).toBe('ok');
  expect((await log.search({ limit: 1 })).items).toHaveLength(1);
});

it('pages that are damaged while the log runs are a gap with its count, and the records around them are found', async () => {
  const directory = temporaryDirectory();
  const first = await startLog(directory);
  for (let i = 0; i < 50; i++) await first.append(exampleRecord(first, { attributes: { text: 'x'.repeat(5_000) } }));
  await first.stop();
  const path = join(directory, 'verdict.decisions.sqlite');
  const log = await startLog(directory);
  const file = readFileSync(path);
  // Pages in the middle: the records of long ago.
  file.fill(0xa5, file.length / 2, file.length / 2 + 65_536);
  writeFileSync(path, file);
  const { items, gaps = [] } = await log.search({ limit: 1_000 });
  expect(items.length).toBeGreaterThan(20);
  expect(gaps.map(({ cause }) => cause)).toContain('file_damaged');
  expect(items.length + gaps.reduce((sum, { lost }) => sum + lost!, 0)).toBe(50);
  await log.append(exampleRecord(log));
  expect((await log.search({ limit: 1 })).items[0]!.sequence).toBe(51);
});

it('an index that is damaged or missing is built again from the journal', async () => {
  const directory = temporaryDirectory();
  for (const damage of [
    (path: string) => writeFileSync(path, 'not a database, this one is of no worth to anybody'),
    (path: string) => rmSync(path),
  ]) {
    const log = await startLog(directory);
    await log.append(exampleRecord(log));
    await log.indexNow();
    await log.stop();
    damage(join(directory, 'verdict.decisions.index.sqlite'));
    const again = await startLog(directory);
    await again.indexNow();
    expect((await again.search({ subject: 'alice' })).items.length).toBeGreaterThan(0);
    await again.stop();
  }
});

/** All pages behind the first, which says that it is a database, are noise. */
function overwritten(file: Buffer): Buffer {
  return Buffer.concat([file.subarray(0, 4_096), Buffer.alloc(Math.max(0, file.length - 4_096), 0xa5)]);
}
