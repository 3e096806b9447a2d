import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import sqlite3 from 'sqlite3';
import { DataSource, type MigrationInterface, QueryFailedError } from 'typeorm';

type Parameter = string | number | Buffer | null;

/**
 * TypeORM asks its driver for `verbose()`, which inspects every argument of every call (35 KB of records for each
 * commit) and puts them into the stack of errors, where a log would print them. So it gets the quiet one.
 */
const quietDriver = { verbose: () => sqlite3 };

export interface ConnectionOptions {
  readonly path: string;
  /** Run one after another, each in its transaction, before the connection is used. */
  readonly migrations?: (new () => MigrationInterface)[];
  /** Statements that set the connection up, after the migrations. */
  readonly setup?: readonly string[];
  /** How long a statement waits for another connection's lock. */
  readonly busyTimeoutMs: number;
  /** Whether the file keeps a write-ahead log; true when left out. */
  readonly wal?: boolean;
}

/**
 * One connection to one SQLite file, as a rule in WAL mode. SQLite runs on libuv's pool, so nothing here blocks the event loop.
 *
 * Statements run one at a time, in order: `sqlite3` would send them all to the pool at once, where those that wait for
 * the connection hold its few threads, and a commit on another connection could not start.
 */
export class SqliteConnection {
  #last: Promise<unknown> = Promise.resolve();

  private constructor(private readonly dataSource: DataSource) {}

  /** Opens the file; one that is not there is made, readable by its owner alone, with its directory. */
  static async open(options: ConnectionOptions): Promise<SqliteConnection> {
    if (options.path !== ':memory:') {
      mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 });
      // SQLite gives the files beside it (-wal, -shm) the same mode. Only a new file is opened here: POSIX drops all locks
      // that a process has on a file when it closes any descriptor of it. Another process that closed the database would
      // then take itself for the last one, and delete the WAL that this process goes on writing.
      if (existsSync(options.path)) accessSync(options.path, constants.R_OK | constants.W_OK);
      else closeSync(openSync(options.path, 'a', 0o600));
    }
    const dataSource = new DataSource({
      type: 'sqlite',
      driver: quietDriver,
      database: options.path,
      enableWAL: options.wal ?? true,
      busyTimeout: options.busyTimeoutMs,
      migrations: options.migrations ?? [],
      migrationsTransactionMode: 'each',
      synchronize: false,
      logging: false,
    });
    await dataSource.initialize();
    const connection = new SqliteConnection(dataSource);
    try {
      if (options.migrations !== undefined) await dataSource.runMigrations();
      for (const statement of options.setup ?? []) await connection.query(statement);
    } catch (error) {
      await dataSource.destroy();
      throw error;
    }
    return connection;
  }

  query<Row>(sql: string, parameters: readonly Parameter[] = []): Promise<Row[]> {
    // Whoever asked hears of a failure; the next statement runs all the same.
    const result = this.#last.then(() => this.dataSource.query(sql, parameters as Parameter[])).catch(rethrowPlain);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Waits for what was asked before, then closes. */
  async close(): Promise<void> {
    await this.#last;
    await this.dataSource.destroy();
  }
}

/** TypeORM's error carries the parameters, that is, whole records; whoever logs an error must not log those. */
function rethrowPlain(error: unknown): never {
  throw error instanceof QueryFailedError ? error.driverError : error;
}

/** Whether SQLite says that the file is not, or not any more, a sound database. */
export function isDamaged(error: unknown): boolean {
  return /SQLITE_(CORRUPT|NOTADB)/.test(String(error));
}
