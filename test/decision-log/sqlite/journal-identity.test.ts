import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { DecisionLogReader } from '../../../src/decision-log/sqlite/decision-log-reader.js';
import { exampleRecord } from '../example-records.js';
import { append, countDown, sequencesOf } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const small = { limits: { records: 20 } };

async function nameIn(directory: string): Promise<string> {
  const connection = await SqliteConnection.open({
    path: join(directory, 'verdict.decisions.sqlite'),
    busyTimeoutMs: 0,
  });
  const [row] = await connection.query<{ name: string }>('SELECT name FROM log');
  await connection.close();
  return row!.name;
}

it('a journal has a name of 128 random bits, which each of its files carries on', async () => {
  const [one, other] = [temporaryDirectory(), temporaryDirectory()];
  const log = await startLog(one, small);
  await (await startLog(other)).append(exampleRecord(log));
  await append(log, 10);
  const name = await nameIn(one);
  expect(name).toMatch(/^[0-9a-f]{32}$/);
  await append(log, 60);
  await log.stop();
  expect(await nameIn(one)).toBe(name);
  expect(await nameIn(other)).not.toBe(name);
});

it('a cursor goes on in its own journal, over a turn, a restart and a reader beside it, and in no other', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory, small);
  await append(log, 30);
  const { nextCursor: cursor } = await log.search({ limit: 5 });
  await append(log, 30);
  await log.stop();
  const again = await startLog(directory, small);
  const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'));
  for (const from of [again, reader]) {
    expect(sequencesOf((await from.search({ limit: 25, cursor: cursor! })).items)).toEqual(countDown(25));
  }
  const other = await startLog(temporaryDirectory());
  await append(other, 30);
  await expect(other.search({ limit: 5, cursor: cursor! })).rejects.toMatchObject({
    code: 'invalid_request',
    status: 400,
    detail: 'The query is not valid: cursor belongs to another decision log.',
    extra: { errors: [{ pointer: '/cursor' }] },
  });
  const forged = Buffer.from(
    Buffer.from(cursor!, 'base64url')
      .toString()
      .replace(/[^:]*$/, randomBytes(16).toString('hex')),
  );
  await expect(again.search({ limit: 5, cursor: forged.toString('base64url') })).rejects.toMatchObject({ status: 400 });
});

it('an id of another writer is not found, and it is said which writer made it', async () => {
  const [log, other] = [await startLog(temporaryDirectory()), await startLog(temporaryDirectory())];
  const [mine, foreign] = [exampleRecord(log), exampleRecord(other)];
  await Promise.all([log.append(mine), other.append(foreign)]);
  const writerOf = async (from: typeof log) => (await from.search({})).items[0]!.writer;
  expect(await log.find(foreign.id)).toBeUndefined();
  expect(await log.notFound(foreign.id)).toMatchObject({
    code: 'decision_not_found',
    status: 404,
    detail: `There is no decision "${foreign.id}". Its id was made by writer ${await writerOf(other)}; the writer of this decision log is ${await writerOf(log)}.`,
  });
  const unused = log.nextId(Date.now());
  expect((await log.notFound(unused)).detail).toBe(`There is no decision "${unused}".`);
  expect((await log.notFound('none')).detail).toBe('There is no decision "none".');
});
