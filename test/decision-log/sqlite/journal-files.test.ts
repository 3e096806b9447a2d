import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { closedIndexPathOf, closedPathOf, indexPathOf } from '../../../src/decision-log/sqlite/log-files.js';
import type { SqliteDecisionLogOptions } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import { exampleRecord, noon } from '../example-records.js';
import { append, countDown, everything, sequencesOf } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const day = 86_400_000;
/** A file is closed once it has 100 records. */
const small: Partial<SqliteDecisionLogOptions> = { limits: { records: 100 } };

const openFile = 'verdict.decisions.sqlite';
const pathIn = (directory: string): string => join(directory, openFile);

function journalsIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => /^verdict\.decisions(\.\d+)?\.sqlite$/.test(name))
    .sort();
}

async function rowsOf(path: string): Promise<{ first: number; records: string }[]> {
  const connection = await SqliteConnection.open({ path, immutable: true, busyTimeoutMs: 0 });
  try {
    return await connection.query('SELECT first, records FROM journal ORDER BY first');
  } finally {
    await connection.close();
  }
}

it('a full file is closed under a name of its own, and the next one goes on with the next sequence', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, small);
  await append(log, 350, (i) => ({ subject: `s${i}` }));
  expect(sequencesOf(await everything(log))).toEqual(countDown(350));
  const journals = journalsIn(directory);
  expect(journals).toEqual(
    [
      'verdict.decisions.0000000000000001.sqlite',
      'verdict.decisions.0000000000000101.sqlite',
      'verdict.decisions.0000000000000201.sqlite',
      'verdict.decisions.0000000000000301.sqlite',
      openFile,
    ].filter((name) => journals.includes(name)),
  );
  expect(journals).toHaveLength(4);
  // Only the open one has a WAL, and each says in which sequence it begins.
  expect(readdirSync(directory).filter((name) => /decisions.*-wal$/.test(name) && !name.includes('index'))).toEqual([
    `${openFile}-wal`,
  ]);
  const firsts: number[] = [];
  for (const name of journals.slice(0, 3)) firsts.push((await rowsOf(join(directory, name)))[0]!.first);
  expect(firsts).toEqual([1, 101, 201]);
  const [writer, ...others] = new Set((await everything(log)).map((record) => record.writer));
  expect(writer).toEqual(expect.any(Number));
  expect(others).toEqual([]);
});

it('searches, look-ups, exports and counts go over all files, and agree with a reader beside the service', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, small);
  await append(log, 460, (i) => ({
    subject: `s${i % 7}`,
    resource: `r${i}`,
    now: noon + i * 1_000,
    decision: i % 3 === 0 ? 'deny' : 'allow',
  }));
  const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
  for (const from of [log, reader]) {
    const all = await everything(from);
    expect(sequencesOf(all)).toEqual(countDown(460));
    expect(await everything(from, { subject: 's3' })).toHaveLength(66);
    expect(await everything(from, { subject: 's3', decision: 'deny' })).toHaveLength(22);
    expect(await everything(from, { resource: 'r5' })).toHaveLength(1);
    expect(await everything(from, { resource: 'nothing' })).toEqual([]);
    expect(await everything(from, { q: 'R459' })).toHaveLength(1);
    const minute = await everything(from, { from: '2026-11-21T12:01:00Z', to: '2026-11-21T12:02:00Z' });
    expect(sequencesOf(minute)).toEqual(countDown(120, 61));
    for (const record of [all[0]!, all[200]!, all[459]!]) expect(await from.find(record.id)).toEqual(record);
    let exported = '';
    for await (const piece of from.export({})) exported += piece;
    expect(
      exported
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line)),
    ).toEqual(all);
    expect(await from.stats({ by: ['decision'] })).toMatchObject({ total: 460 });
    expect((await from.stats({ from: '2026-11-21T12:02:00Z', to: '2026-11-21T12:03:00Z' })).total).toBe(60);
    const { top } = await from.stats({ top: 'subject' });
    expect(top).toMatchObject({ examined: 460 });
  }
  await reader.close();
});

it('a page goes on over the end of a file, one record at a time', async () => {
  const log = await startLog(temporaryDirectory(), small);
  await append(log, 210);
  const seen: number[] = [];
  let cursor: string | undefined;
  do {
    const page = await log.search({ limit: 7, ...(cursor !== undefined && { cursor }) });
    seen.push(...sequencesOf(page.items));
    cursor = page.nextCursor;
    await append(log, 10);
  } while (cursor !== undefined);
  expect(seen).toEqual(countDown(210));
});

it('a new file is begun with each day (UTC), also when the clock steps back to another day', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  for (const now of [noon, noon + 6 * 3_600_000, noon + day, noon + day + 1, noon + 30 * day, noon + day + 2]) {
    await append(log, 1, () => ({ now }));
  }
  const firsts: number[][] = [];
  for (const name of journalsIn(directory).slice(0, -1)) {
    firsts.push((await rowsOf(join(directory, name))).map(({ first }) => first));
  }
  expect(firsts).toEqual([[1, 2], [3, 4], [5]]);
  expect(sequencesOf(await everything(log))).toEqual(countDown(6));
});

it('records that are a little late stay with the new day', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  const midnight = noon + day / 2;
  for (const now of [midnight, midnight - 1, midnight - 600_000]) await append(log, 1, () => ({ now }));
  expect(journalsIn(directory)).toEqual([openFile]);
  await append(log, 1, () => ({ now: midnight - 600_001 }));
  expect(journalsIn(directory)).toHaveLength(2);
});

it('a file is closed when it has its size, and none is much larger', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { limits: { bytes: 1_000_000 } });
  const attributes = { text: 'x'.repeat(20_000) };
  for (let i = 0; i < 200; i++) await log.append(exampleRecord(log, { attributes }));
  expect(journalsIn(directory).length).toBeGreaterThanOrEqual(4);
  expect(sequencesOf(await everything(log))).toEqual(countDown(200));
});

it('after a restart all files are there again, without being opened one by one', async () => {
  const directory = temporaryDirectory();
  const first = await startLog(directory, small);
  await append(first, 350, (i) => ({ subject: `s${i}` }));
  const before = await everything(first);
  await first.stop();
  for (const lost of ['verdict.catalog.sqlite', undefined]) {
    if (lost !== undefined) rmSync(join(directory, lost));
    const again = await startLog(directory, small);
    expect(await everything(again)).toEqual(before);
    await again.stop();
  }
  const log = await startLog(directory, small);
  await append(log, 60);
  expect(sequencesOf(await everything(log))).toEqual(countDown(410));
  expect((await log.stats({})).total).toBe(410);
});

for (const [where, undo] of [
  ['after both files were written back', () => undefined],
  ['after the journal got its name', (path, first) => renameSync(path, closedPathOf(path, first))],
  [
    'after the index got its name',
    (path, first) => {
      renameSync(path, closedPathOf(path, first));
      renameSync(indexPathOf(path), closedIndexPathOf(path, first));
    },
  ],
  [
    'before the next file says where it goes on',
    (path, first) => {
      renameSync(path, closedPathOf(path, first));
      renameSync(indexPathOf(path), closedIndexPathOf(path, first));
      writeFileSync(path, '');
    },
  ],
] as [string, (path: string, first: number) => void][]) {
  it(`a crash in a turn, ${where}, loses nothing and needs no hand`, async () => {
    const directory = temporaryDirectory();
    const log = await startLog(directory, small);
    await append(log, 150);
    const [before] = await everything(log);
    await log.stop();
    undo(pathIn(directory), 101);
    const problems: string[] = [];
    const again = await startLog(directory, { ...small, onProblem: (what) => problems.push(what) });
    await append(again, 10);
    const records = await everything(again);
    expect(sequencesOf(records)).toEqual(countDown(160));
    expect(new Set(records.map(({ writer }) => writer))).toEqual(new Set([before!.writer]));
    expect((await again.search({ limit: 1 })).gaps).toBeUndefined();
    expect(problems).toEqual([]);
    expect((await again.stats({})).total).toBe(160);
    expect(existsSync(pathIn(directory))).toBe(true);
  });
}

it('kill -9 while files are closed all the time loses nothing that was acknowledged', async () => {
  const directory = temporaryDirectory();
  const script = join(import.meta.dirname, 'full-speed-writer.mjs');
  const databasePath = join(directory, 'verdict.sqlite');
  const acknowledged: string[] = [];
  for (let i = 0; i < Number(process.env.VERDICT_TEST_KILLS ?? 3); i++) {
    const records = 100 + Math.floor(Math.random() * 500);
    const writer = spawn(process.execPath, [script, databasePath, 'sync', '16', '{"records":40}'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    writer.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString('latin1');
      if (output.length > records * 37) writer.kill('SIGKILL');
    });
    expect((await once(writer, 'close'))[1]).toBe('SIGKILL');
    acknowledged.push(...output.split('\n').slice(0, -1));
  }
  const problems: string[] = [];
  const log = await startLog(directory, { onProblem: (what) => problems.push(what) });
  const records = await everything(log);
  const stored = new Set(records.map(({ id }) => id));
  expect(acknowledged.filter((id) => !stored.has(id))).toEqual([]);
  expect(sequencesOf(records)).toEqual(countDown(records.length));
  expect(journalsIn(directory).length).toBeGreaterThan(4);
  expect(problems).toEqual([]);
  expect((await log.stats({})).total).toBe(records.length);
}, 120_000);

it('while another process has the open file open it is not closed; once it may be, it is', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, { ...small, turnPauseMs: 10 });
  await append(log, 100);
  const other = await SqliteConnection.open({ path: pathIn(directory), busyTimeoutMs: 0 });
  await other.query('SELECT count(*) FROM journal');
  const child = spawn(process.execPath, ['--input-type=module', '-e', holder, pathIn(directory)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  await other.close();
  await append(log, 100);
  expect(journalsIn(directory)).toEqual([openFile]);
  child.stdin.end();
  await once(child, 'exit');
  await expect
    .poll(async () => {
      await append(log, 1);
      return journalsIn(directory).length;
    })
    .toBe(2);
  const records = await everything(log);
  expect(sequencesOf(records)).toEqual(countDown(records.length));
});

/** Opens a database, says so, and keeps it open until its input ends. */
const holder = `import sqlite3 from 'sqlite3';
const db = new sqlite3.Database(process.argv.at(-1));
db.get('SELECT count(*) FROM journal', () => console.log('open'));
process.stdin.resume().on('end', () => db.close(() => process.exit()));`;
