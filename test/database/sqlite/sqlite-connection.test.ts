import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
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
