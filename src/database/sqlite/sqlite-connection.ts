import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import sqlite3 from 'sqlite3';
import { DataSource, type MigrationInterface, QueryFailedError } from 'typeorm';
import { DatabaseError } from '../database-error.js';

type Parameter = string | number | Buffer | null;
export type MigrationClass = new () => MigrationInterface;

/**
 * TypeORM asks its driver for `verbose()`, which inspects every argument of every call (35 KB of records for each
 * commit) and puts them into the stack of errors, where a log would print them. So it gets the quiet one.
 */
const quietDriver = { verbose: () => sqlite3 };

export interface ConnectionOptions {
  readonly path: string;
  /** The files will not change while they are open: they are read without locks, and nothing is made beside them. */
  readonly immutable?: boolean;
  /** Databases that are attached after the migrations: the path of each by the name of its schema. */
  readonly attached?: { readonly [schema: string]: string };
  /** Bytes in a page of a file that is made; 4,096 by default. */
  readonly pageSize?: number;
  /** Run one after another, each in its transaction, before the connection is used. */
  readonly migrations?: MigrationClass[];
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
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    private dataSource: DataSource,
    private readonly options: ConnectionOptions,
  ) {}

  /** Opens the file; one that is not there is made, readable by its owner alone, with its directory. */
  static async open(options: ConnectionOptions): Promise<SqliteConnection> {
    const { path, immutable = false } = options;
    if (path !== ':memory:' && !immutable) makeFile(path);
    const dataSource = new DataSource({
      type: 'sqlite',
      driver: quietDriver,
      database: immutable && path !== ':memory:' ? immutableUri(path) : path,
      ...(immutable && { flags: sqlite3.OPEN_URI | (path === ':memory:' ? inMemory : sqlite3.OPEN_READONLY) }),
      enableWAL: (options.wal ?? true) && !immutable && options.pageSize === undefined,
      busyTimeout: options.busyTimeoutMs,
      migrations: options.migrations ?? [],
      migrationsTransactionMode: 'each',
      synchronize: false,
      logging: false,
    });
    await dataSource.initialize().catch((error: unknown) => rethrowPlain(error, path));
    const connection = new SqliteConnection(dataSource, options);
    try {
      if (options.pageSize !== undefined) {
        // The size of a page is fixed once the file is in WAL mode.
        await connection.query(`PRAGMA page_size = ${options.pageSize}`);
        await connection.query('PRAGMA journal_mode = WAL');
      }
      if (options.migrations !== undefined)
        await dataSource.runMigrations().catch((error: unknown) => rethrowPlain(error, path));
      for (const [schema, file] of Object.entries(options.attached ?? {})) {
        const name = immutable ? immutableUri(file) : file;
        await connection.query(`ATTACH DATABASE '${name.replaceAll("'", "''")}' AS ${schema}`);
      }
      for (const statement of options.setup ?? []) await connection.query(statement);
    } catch (error) {
      await dataSource.destroy();
      throw error;
    }
    return connection;
  }

  query<Row>(sql: string, parameters: readonly Parameter[] = []): Promise<Row[]> {
    // The caller gets the failure; the next statement runs anyway.
    const result = this.last
      .then(() => this.dataSource.query(sql, parameters as Parameter[]))
      .catch((error: unknown) => rethrowPlain(error, this.names));
    this.last = result.catch(() => undefined);
    return result;
  }

  /** Its files, for errors: SQLite does not say in which of them a statement failed. */
  private get names(): string {
    const { path, attached = {} } = this.options;
    return [path, ...Object.values(attached)].filter((each) => each !== ':memory:').join(', ');
  }

  /** Ends the statement that runs now, if any, with an error. */
  interrupt(): void {
    if (!this.dataSource.isInitialized) return;
    // Sound: the driver of the type `sqlite` keeps its sqlite3.Database under this name.
    (this.dataSource.driver as unknown as { databaseConnection: { interrupt(): void } }).databaseConnection.interrupt();
  }

  /**
   * Closes connections to one file and opens them again; what is asked of them meanwhile waits. Before they are closed,
   * `before` may ask the first of them; `between` runs while none is open. If `before` fails, they stay as they are.
   */
  static async renew(
    connections: readonly SqliteConnection[],
    steps: {
      readonly before: (query: (sql: string) => Promise<unknown[]>) => Promise<void>;
      readonly between: () => Promise<void>;
    },
  ): Promise<void> {
    let resume!: () => void;
    const over = new Promise<void>((resolve) => {
      resume = resolve;
    });
    const first = connections[0]!;
    try {
      await Promise.all(connections.map((connection) => connection.hold(over)));
      await steps.before((sql) => {
        return first.dataSource.query(sql).catch((error: unknown) => rethrowPlain(error, first.names));
      });
      for (const connection of connections) await connection.dataSource.destroy();
      try {
        await steps.between();
      } finally {
        for (const connection of connections) {
          connection.dataSource = (await SqliteConnection.open(connection.options)).dataSource;
        }
      }
    } finally {
      resume();
    }
  }

  /** Resolves when what was asked before is done; what is asked later waits for `until`. */
  private hold(until: Promise<void>): Promise<void> {
    const free = this.last.then(() => undefined);
    this.last = free.then(() => until);
    return free;
  }

  /** Waits for what was asked before, then closes. */
  async close(): Promise<void> {
    await this.last;
    if (this.dataSource.isInitialized) await this.dataSource.destroy();
  }
}

const inMemory = sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE;

/** How SQLite is asked to open a file that does not change: `file:///data/a.sqlite?immutable=1`. */
function immutableUri(path: string): string {
  return `${pathToFileURL(resolve(path)).href}?immutable=1`;
}

/**
 * Makes an empty file with its directory, readable by its owner alone; SQLite gives the files beside it (-wal, -shm) the
 * same mode. Only a new file is opened here: POSIX drops all locks that a process has on a file when it closes any
 * descriptor of it. Another process that closed the database would then take itself for the last one, and delete the WAL
 * that this process goes on writing.
 */
function makeFile(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  if (existsSync(path)) accessSync(path, constants.R_OK | constants.W_OK);
  else closeSync(openSync(path, 'a', 0o600));
}

/**
 * TypeORM's error carries the parameters, that is, whole records, which must not come into a log; its driver's does not.
 * The driver's names no file, so `path` is added.
 */
function rethrowPlain(error: unknown, path: string): never {
  const plain = error instanceof QueryFailedError ? error.driverError : error;
  const { code, message } = plain as { code?: unknown; message: string };
  if (typeof code !== 'string' || !code.startsWith('SQLITE_')) throw plain;
  const named = path === '' || message.includes(path) ? message : `${message} (${path})`;
  throw new DatabaseError(named, code, unusable.test(code));
}

/** It is locked, damaged, read-only, gone, or its disk is full. */
const unusable = /^SQLITE_(BUSY|LOCKED|FULL|IOERR|CORRUPT|NOTADB|READONLY|CANTOPEN|PERM|AUTH)/;

/** Whether SQLite says that the file is not, or not any more, a sound database. */
export function isDamaged(error: unknown): boolean {
  return /SQLITE_(CORRUPT|NOTADB)/.test(String(error));
}

/**
 * Writes the WAL back into the connection's database and leaves WAL mode. Says whether it did: it cannot while another
 * connection has the database open.
 */
export async function leaveWal(connection: SqliteConnection): Promise<boolean> {
  try {
    const [mode] = await connection.query<{ journal_mode: string }>('PRAGMA main.journal_mode = DELETE');
    return mode?.journal_mode === 'delete';
  } catch (error) {
    if (/SQLITE_BUSY/.test(String(error))) return false;
    throw error;
  }
}

/** Whether a table that finds records is not there, as where the file of a key index was removed. */
export function isWithoutIndex(error: unknown): boolean {
  return /no such table: (segment|tally)/.test(String(error));
}
