import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { append, countDown, everything, sequencesOf } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

/**
 * What version 0.1 left behind: 32 decisions on two versions of a policy set, one of them by a search for nobody, a gap
 * of mode `async` after the 26th, an API key, audit events.
 */
const fixture = fileURLToPath(new URL('../../fixtures/data-folder-0.1', import.meta.url));
/** A cursor that it gave out for `GET /v1/decisions?limit=5`. */
const oldCursor = 'MTo4OjRjOGVkMDg2MmE5YTMxMzQ';
const firstId = '01a2232c-5a37-7000-bb76-93e62f1831c3';

function dataFolder(): string {
  const directory = temporaryDirectory();
  cpSync(fixture, directory, { recursive: true });
  return directory;
}

const gap = { after: 26, lost: 2, cause: 'queue_full' };

it('a data folder of version 0.1 opens as it is, and is written on', async () => {
  const directory = dataFolder();
  const log = await startLog(directory);
  const before = await everything(log);
  expect(sequencesOf(before)).toEqual(countDown(32));
  expect(before.at(-1)).toMatchObject({ id: firstId, decision: 'deny', request: { subject: { id: 'bob' } } });
  expect(await log.find(firstId)).toEqual(before.at(-1));
  expect((await log.search({ subject: 'ann', limit: 1_000 })).items).toHaveLength(16);
  expect((await log.search({})).gaps).toMatchObject([gap]);
  expect((await log.stats({})).total).toBe(32);
  const now = Date.parse(before[0]!.time) + 1;
  await append(log, 5, () => ({ now }));
  expect(sequencesOf(await everything(log))).toEqual(countDown(37));
  expect((await log.stats({})).total).toBe(37);
  // Nothing new in the folder, and nothing new in the file, until it is closed.
  expect(
    readdirSync(directory).filter((name) => /decisions|index|catalog/.test(name) && !/-(wal|shm)$/.test(name)),
  ).toEqual(['verdict.decisions.index.sqlite', 'verdict.decisions.sqlite']);
  await log.stop();
  const again = await startLog(directory);
  expect(sequencesOf(await everything(again))).toEqual(countDown(37));
});

it('its file is closed with the next day, and found as before', async () => {
  const directory = dataFolder();
  const log = await startLog(directory);
  const before = await everything(log);
  const now = Date.parse(before[0]!.time) + 86_400_000;
  await append(log, 5, () => ({ now, subject: 'later' }));
  const closed = join(directory, 'verdict.decisions.0000000000000001.sqlite');
  const old = await SqliteConnection.open({ path: closed, immutable: true, busyTimeoutMs: 0 });
  expect(await old.query('SELECT max(first + count - 1) AS last FROM journal')).toEqual([{ last: 32 }]);
  await old.close();
  await log.stop();
  const again = await startLog(directory);
  const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
  for (const from of [again, reader]) {
    const records = await everything(from);
    expect(records.slice(5)).toEqual(before);
    expect(sequencesOf(records)).toEqual(countDown(37));
    expect(new Set(records.map(({ writer }) => writer)).size).toBe(1);
    expect(await from.find(firstId)).toEqual(before.at(-1));
    expect((await from.search({ limit: 1_000 })).gaps).toMatchObject([gap]);
    expect((await from.stats({ to: '2026-11-28T18:00:00Z' })).total).toBe(32);
    expect((await from.search({ subject: 'ann', limit: 1_000 })).items).toHaveLength(16);
  }
});

it('a cursor of version 0.1 has expired, and says so', async () => {
  const log = await startLog(dataFolder());
  await expect(log.search({ limit: 5, cursor: oldCursor })).rejects.toMatchObject({
    code: 'cursor_expired',
    status: 400,
    extra: { errors: [{ pointer: '/cursor' }] },
  });
});
