import { renameSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { OpenDatabase } from './open-database.js';
import { SqliteConnection } from './sqlite-connection.js';

export interface DatabaseWatchOptions {
  readonly path: string;
  /** Connections of this process to the file, beside those that are added. */
  readonly connections?: readonly SqliteConnection[];
  /** Milliseconds between two looks (5,000). */
  readonly everyMs?: number;
  /** Reading the whole file takes at most this share of the time (0.01). */
  readonly share?: number;
  /** Hears what was found, once for each thing. */
  readonly onProblem: (what: string, error: unknown) => void;
}

const defaultEveryMs = 5_000;
const defaultShare = 0.01;
/** Looks that may find the database locked before that is a problem: another process may hold a lock for a moment. */
const busyLooks = 3;

/**
 * Looks after the service's database while it is open: whether it is still the file that lies at its path, and whether it
 * can be read. A file that was removed or moved over lives on behind the open connections, with all that was committed;
 * it is written back to its place through them. What is damaged is said and not mended: nobody can know what was there.
 */
export class DatabaseWatch {
  private lastProblem: string | undefined;
  /** The file as it was at the first look. */
  private file: OpenDatabase | undefined;
  private readonly connections: SqliteConnection[];
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();
  private nextRead = 0;
  private busy = 0;

  constructor(private readonly options: DatabaseWatchOptions) {
    this.connections = [...(options.connections ?? [])];
  }

  /** Adds a connection of this process to the file: it is opened again when the file had to be restored. */
  add(connection: SqliteConnection): void {
    this.connections.push(connection);
  }

  start(): void {
    this.timer = setInterval(() => void this.look(), this.options.everyMs ?? defaultEveryMs).unref();
    void this.look();
  }

  /** What is wrong with the database; undefined when it was well at the last look. */
  get problem(): string | undefined {
    return this.lastProblem;
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  /** Looks now; resolves when it is done. */
  look(): Promise<void> {
    this.looking = this.looking.then(() => this.lookOnce());
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    try {
      this.file ??= new OpenDatabase(this.options.path);
      if (this.file.vanished() === undefined) await this.read();
      else await this.restore(this.file);
      this.note(undefined);
    } catch (error) {
      if (/SQLITE_BUSY/.test(String(error)) && ++this.busy < busyLooks) return;
      this.note(error as Error);
    }
  }

  /** Through a connection of its own: those that are open would show what they remember of the file. */
  private async read(): Promise<void> {
    const started = performance.now();
    if (started < this.nextRead) return;
    const connection = await SqliteConnection.open({ path: this.options.path, busyTimeoutMs: 0 });
    try {
      const [found] = await connection.query<{ quick_check: string }>('PRAGMA quick_check(1)');
      if (found?.quick_check !== 'ok') throw new Error(`it is damaged: ${found?.quick_check}`);
    } finally {
      await connection.close();
      const now = performance.now();
      this.nextRead = now + (now - started) / (this.options.share ?? defaultShare);
    }
  }

  private note(error: Error | undefined): void {
    const { path, onProblem } = this.options;
    if (error === undefined) this.busy = 0;
    const problem = error?.message;
    if (problem === this.lastProblem) return;
    this.lastProblem = problem;
    if (problem === undefined) onProblem(`${path} is well again`, undefined);
    else onProblem(`${path} cannot be used as it should: ${problem}`, error);
  }

  private async restore(file: OpenDatabase): Promise<void> {
    const { path, onProblem } = this.options;
    const isGone = file.vanished() === 'database';
    const copy = `${path}.restored`;
    let aside: string | undefined;
    await SqliteConnection.renew(this.connections, {
      before: async (query) => {
        if (!isGone) {
          const [written] = (await query('PRAGMA wal_checkpoint(TRUNCATE)')) as { busy: number }[];
          if (written?.busy !== 0)
            throw new Error(`${path}-wal was removed or replaced, and cannot be written back yet`);
          return;
        }
        rmSync(copy, { force: true });
        await query(`VACUUM INTO '${copy.replaceAll("'", "''")}'`);
        await makeSafe(copy);
      },
      between: async () => {
        if (!isGone) return;
        aside = file.clearPlace();
        renameSync(copy, path);
      },
    });
    this.file = new OpenDatabase(path);
    const found = aside === undefined ? '' : `; what lay there instead is now ${aside}`;
    const what = isGone ? path : `${path}-wal`;
    onProblem(`${what} was removed or replaced; all that was committed is written back${found}`, undefined);
  }
}

/** Readable by its owner alone, and on the disk before it takes the place of another file. */
export async function makeSafe(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.chmod(0o600);
    await file.sync();
  } finally {
    await file.close();
  }
}
