import { randomUUID } from 'node:crypto';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type DataFolderHolder, DataFolderInUse } from '../data-folder-in-use.js';
import { fileIdentity } from './file-identity.js';
import { isDamaged, SqliteConnection } from './sqlite-connection.js';

export interface DataFolderLockOptions {
  readonly folder: string;
  readonly holder: DataFolderHolder;
  /** How long to wait for another process that has the lock, in milliseconds. */
  readonly waitMs: number;
  /** Hears that the lock's file was taken away, and what became of it. */
  readonly onProblem: (what: string, error: unknown) => void;
}

const lockFile = 'verdict.lock';
const retryMs = 100;
/** Two processes that start at once meet while one writes who it is. That takes a millisecond or two. */
const busyMs = 250;
const watchMs = 1_000;

/**
 * One serving process for a data folder: a write lock on `verdict.lock`, an SQLite database that names its holder. The
 * system frees it when the process ends, however it ends. Commands that only read, `backup` and `keys` do not take it.
 */
export class DataFolderLock {
  private readonly watch: NodeJS.Timeout;
  private lastProblem: string | undefined;
  private working: Promise<void> = Promise.resolve();

  private constructor(
    private readonly options: DataFolderLockOptions,
    private connection: SqliteConnection,
    private file: string,
  ) {
    this.watch = setInterval(() => {
      this.working = this.working.then(() => this.look());
    }, watchMs).unref();
  }

  /** @throws DataFolderInUse when another process still has the lock after `waitMs` */
  static async take(options: DataFolderLockOptions): Promise<DataFolderLock> {
    const until = performance.now() + options.waitMs;
    let before: DataFolderInUse | undefined;
    for (;;) {
      try {
        return new DataFolderLock(options, ...(await lock(options)));
      } catch (error) {
        if (!(error instanceof DataFolderInUse)) throw error;
        // Of processes that start at once, one that is seen first may be gone a moment later.
        const isSettled = before !== undefined && before.message === error.message;
        if (isSettled && performance.now() >= until) throw error;
        before = error;
      }
      await delay(retryMs);
    }
  }

  /** What is wrong with the lock now; undefined when this process holds it. */
  get problem(): string | undefined {
    return this.lastProblem;
  }

  async release(): Promise<void> {
    clearInterval(this.watch);
    await this.working;
    await this.connection.close();
  }

  /** A lock on a file that nobody else can find keeps nobody out: then the file at its place is locked as well. */
  private async look(): Promise<void> {
    if (this.file === fileIdentity(pathOf(this.options))) return;
    const { onProblem } = this.options;
    try {
      const [connection, file] = await lock(this.options);
      const before = this.connection;
      this.connection = connection;
      this.file = file;
      await before.close();
      this.lastProblem = undefined;
      onProblem(`${pathOf(this.options)} was removed or replaced; it is there and locked again`, undefined);
    } catch (error) {
      const problem = `${pathOf(this.options)} was removed or replaced, and cannot be locked: ${(error as Error).message}`;
      if (problem !== this.lastProblem) onProblem(problem, error);
      this.lastProblem = problem;
    }
  }
}

async function lock(options: DataFolderLockOptions): Promise<[SqliteConnection, string]> {
  const path = pathOf(options);
  const connection = await SqliteConnection.open({ path, wal: false, busyTimeoutMs: busyMs });
  try {
    try {
      await hold(connection, options.holder);
    } catch (error) {
      if (!isDamaged(error)) throw error;
      // Emptied, not removed: if another process holds it, its lock is on this very file.
      await truncate(path);
      await hold(connection, options.holder);
    }
    return [connection, fileIdentity(path)];
  } catch (error) {
    const holder = await readHolder(connection).catch(() => undefined);
    await connection.close();
    throw isBusy(error) ? new DataFolderInUse(options.folder, holder) : error;
  }
}

/**
 * Begins a transaction that keeps writers out for as long as the connection is open, and lets them read who holds it. The
 * name must be committed for that, which frees the lock for a moment. If another process comes in between, either it is
 * still there and this one gives way, or it gave way and left its name: then this one writes its own again.
 */
async function hold(connection: SqliteConnection, { instance, pid }: DataFolderHolder): Promise<void> {
  // Two containers can have the same name and the same number.
  const token = randomUUID();
  await connection.query('PRAGMA journal_mode = MEMORY');
  for (;;) {
    // Who waited here could slip in between two transactions of the other, in turns.
    await connection.query('PRAGMA busy_timeout = 0');
    await connection.query('BEGIN IMMEDIATE');
    await connection.query(`PRAGMA busy_timeout = ${busyMs}`);
    const held = await readHolder(connection).catch((error: unknown) => {
      if (isDamaged(error)) throw error;
      return undefined;
    });
    if (held?.token === token) return;
    await connection.query('DROP TABLE IF EXISTS holder');
    await connection.query('CREATE TABLE holder (instance TEXT NOT NULL, pid INTEGER NOT NULL, token TEXT NOT NULL)');
    await connection.query('INSERT INTO holder (instance, pid, token) VALUES (?, ?, ?)', [instance, pid, token]);
    await connection.query('COMMIT');
  }
}

async function readHolder(connection: SqliteConnection): Promise<(DataFolderHolder & { token: string }) | undefined> {
  const [row] = await connection.query<DataFolderHolder & { token: string }>(
    'SELECT instance, pid, token FROM holder LIMIT 1',
  );
  return row;
}

function pathOf({ folder }: DataFolderLockOptions): string {
  return join(folder, lockFile);
}

function isBusy(error: unknown): boolean {
  return /SQLITE_(BUSY|LOCKED)/.test(String(error));
}
