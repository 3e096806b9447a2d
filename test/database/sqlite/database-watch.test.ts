import { readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { DatabaseWatch } from '../../../src/database/sqlite/database-watch.js';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { temporaryDirectory } from '../../decision-log/temporary-log.js';

async function watched() {
  const directory = temporaryDirectory();
  const path = join(directory, 'verdict.sqlite');
  const connections: SqliteConnection[] = [];
  for (let i = 0; i < 3; i++) connections.push(await SqliteConnection.open({ path, busyTimeoutMs: 0 }));
  onTestFinished(async () => {
    for (const connection of connections) await connection.close();
  });
  const [first] = connections as [SqliteConnection, ...SqliteConnection[]];
  await first.query('CREATE TABLE t (x)');
  for (let i = 0; i < 200; i++) await first.query('INSERT INTO t VALUES (?)', [`${i} ${'x'.repeat(2_000)}`]);
  const problems: string[] = [];
  const watch = new DatabaseWatch({
    path,
    connections,
    share: Number.POSITIVE_INFINITY,
    onProblem: (what) => problems.push(what),
  });
  onTestFinished(() => watch.stop());
  await watch.look();
  expect([watch.problem, problems]).toEqual([undefined, []]);
  const count = async (connection: SqliteConnection) => (await connection.query('SELECT x FROM t')).length;
  return { directory, path, connections, watch, problems, count };
}

for (const [what, damage] of [
  ['removed', (path: string) => rmSync(path)],
  [
    'removed with its WAL',
    (path: string) => {
      for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix);
    },
  ],
  [
    'moved over by another file',
    (path: string) => {
      writeFileSync(`${path}.new`, 'of somebody else');
      renameSync(`${path}.new`, path);
    },
  ],
  ['left without its WAL', (path: string) => rmSync(`${path}-wal`)],
] as const) {
  it(`a database that is ${what} is written back whole, without a hand`, async () => {
    const { directory, path, connections, watch, problems, count } = await watched();
    damage(path);
    // What is committed before anybody looks counts as well.
    await connections[1]!.query('INSERT INTO t VALUES (1)');
    await watch.look();
    expect(problems).toEqual([expect.stringContaining('all that was committed is written back')]);
    expect(watch.problem).toBeUndefined();
    const fresh = await SqliteConnection.open({ path, busyTimeoutMs: 0 });
    expect(await count(fresh)).toBe(201);
    await fresh.close();
    for (const connection of connections) await connection.query('INSERT INTO t VALUES (2)');
    expect(await count(connections[2]!)).toBe(204);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await watch.look();
    expect(problems).toHaveLength(1);
    const others = readdirSync(directory).filter((name) => name.includes('.other-'));
    expect(others.map((name) => readFileSync(join(directory, name), 'utf8'))).toEqual(
      what.startsWith('moved') ? ['of somebody else'] : [],
    );
  });
}

for (const [what, damage] of [
  ['truncated', (path: string) => truncateSync(path, 16_384)],
  ['with a page of zeros', (path: string) => writeFileSync(path, zeroed(readFileSync(path), 20))],
  ['that is no database any more', (path: string) => writeFileSync(path, Buffer.alloc(100_000, 0xa5))],
] as const) {
  it(`a database ${what} is a problem that is said once, and is gone when it is`, async () => {
    const { path, connections, watch, problems } = await watched();
    await connections[0]!.query('PRAGMA wal_checkpoint(TRUNCATE)');
    const sound = readFileSync(path);
    damage(path);
    for (let i = 0; i < 3; i++) await watch.look();
    expect(watch.problem).toEqual(expect.any(String));
    expect(problems).toEqual([expect.stringContaining(`${path} cannot be used as it should`)]);
    writeFileSync(path, sound);
    await watch.look();
    expect(watch.problem).toBeUndefined();
    expect(problems).toEqual([expect.any(String), `${path} is well again`]);
  });
}

it('a lock that another has is a problem only when it is kept', async () => {
  const { path, watch } = await watched();
  const other = await SqliteConnection.open({ path, busyTimeoutMs: 0 });
  onTestFinished(() => other.close());
  await other.query('BEGIN IMMEDIATE');
  await watch.look();
  expect(watch.problem).toBeUndefined();
  await other.query('ROLLBACK');
});

function zeroed(file: Buffer, page: number): Buffer {
  return file.fill(0, page * 4_096, (page + 1) * 4_096);
}
