import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { DatabaseError } from '../../../src/database/database-error.js';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { temporaryDirectory } from '../../decision-log/temporary-log.js';

/**
 * The shell that most systems come with. SQLite 3.51, which the service has, looks twice before it deletes a WAL; what is
 * installed beside it may be older.
 */
function shell(path: string, sql: string): string {
  return execFileSync('sqlite3', [path, sql], { encoding: 'utf8' }).trim();
}
const hasShell =
  process.env.VERDICT_TEST_REQUIRE === 'all' || spawnSync('sqlite3', ['--version'], { stdio: 'ignore' }).status === 0;

it.skipIf(!hasShell)(
  'a shell that reads the file leaves the WAL to the service, however many connections that has',
  async () => {
    const path = join(temporaryDirectory(), 'some.sqlite');
    const first = await SqliteConnection.open({ path, busyTimeoutMs: 0 });
    onTestFinished(() => first.close());
    await first.query('CREATE TABLE t (x)');
    const second = await SqliteConnection.open({ path, busyTimeoutMs: 0 });
    onTestFinished(() => second.close());
    await second.query('INSERT INTO t VALUES (1)');
    const { ino } = statSync(`${path}-wal`);
    expect(shell(path, 'SELECT count(*) FROM t')).toBe('1');
    expect(existsSync(`${path}-wal`) && statSync(`${path}-wal`).ino).toBe(ino);
    await first.query('INSERT INTO t VALUES (2)');
    expect(shell(path, 'SELECT count(*) FROM t')).toBe('2');
  },
);

it('a new file, and what SQLite keeps beside it, is readable by its owner alone', async () => {
  const path = join(temporaryDirectory(), 'folder', 'some.sqlite');
  const connection = await SqliteConnection.open({ path, busyTimeoutMs: 0 });
  onTestFinished(() => connection.close());
  await connection.query('CREATE TABLE t (x)');
  expect(['', '-wal', '-shm'].map((suffix) => statSync(path + suffix).mode & 0o777)).toEqual([0o600, 0o600, 0o600]);
});

it('an error says whether the database can be used, and nothing of what was sent to it', async () => {
  const path = join(temporaryDirectory(), 'some.sqlite');
  const [first, second] = [
    await SqliteConnection.open({ path, busyTimeoutMs: 0 }),
    await SqliteConnection.open({ path, busyTimeoutMs: 0 }),
  ];
  onTestFinished(() => Promise.all([first.close(), second.close()]).then(() => undefined));
  await first.query('CREATE TABLE t (x UNIQUE)');
  const errorOf = async (connection: SqliteConnection, sql: string) => {
    const error = await connection.query(sql, ['secret']).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DatabaseError);
    expect(JSON.stringify(Object.entries(error as object))).not.toContain('secret');
    expect(String((error as Error).stack)).not.toContain('secret');
    return error;
  };
  expect(await errorOf(first, 'INSERT INTO u VALUES (?)')).toMatchObject({
    code: 'SQLITE_ERROR',
    isUnavailable: false,
  });
  await first.query('INSERT INTO t VALUES (?)', ['secret']);
  expect(await errorOf(first, 'INSERT INTO t VALUES (?)')).toMatchObject({
    code: 'SQLITE_CONSTRAINT',
    isUnavailable: false,
  });
  await first.query('BEGIN IMMEDIATE');
  expect(await errorOf(second, 'INSERT INTO t VALUES (?)')).toMatchObject({ code: 'SQLITE_BUSY', isUnavailable: true });
  writeFileSync(join(path, '..', 'other.sqlite'), 'this is not a database');
  await expect(
    SqliteConnection.open({ path: join(path, '..', 'other.sqlite'), busyTimeoutMs: 0 }),
  ).rejects.toMatchObject({ name: 'DatabaseError', code: 'SQLITE_NOTADB', isUnavailable: true });
});

it('an error of a statement names the files in which it can have failed', async () => {
  const directory = temporaryDirectory();
  const [path, other] = [join(directory, 'some.sqlite'), join(directory, 'other.sqlite')];
  const open = async (options: { path: string; attached?: { journal: string } }) => {
    const connection = await SqliteConnection.open({ ...options, busyTimeoutMs: 0 });
    onTestFinished(() => connection.close());
    return connection;
  };
  const first = await open({ path });
  await first.query('CREATE TABLE t (name TEXT)');
  await first.query('BEGIN IMMEDIATE');
  const second = await open({ path });
  await expect(second.query('DELETE FROM t')).rejects.toThrow(`database is locked (${path})`);
  const third = await open({ path: other, attached: { journal: path } });
  await expect(third.query('DELETE FROM journal.t')).rejects.toThrow(`database is locked (${other}, ${path})`);
});
