import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';

/** Each holds two file descriptors, three or four for the open file. */
const defaultLimit = 8;

interface Reader {
  readonly connection: Promise<SqliteConnection>;
  users: number;
  lastUsed: number;
  /** Set once it is being closed. */
  closed?: Promise<void>;
}

/**
 * The reading connections to the journal's files, few at a time whatever the number of files: one that nobody uses
 * gives way to the next. A use is a statement or two, so waiting for a connection takes milliseconds.
 */
export class UnitReaders {
  private readonly readers = new Map<number, Reader>();
  /** Files that are not read now, each with how many have paused it; those in `gone` are never read again. */
  private readonly paused = new Map<number, number>();
  private readonly gone = new Set<number>();
  private readonly waiting: (() => void)[] = [];
  private readonly closing = new Set<Promise<void>>();
  private uses = 0;
  private isClosed = false;
  /** Number of connections that were opened. */
  opened = 0;

  constructor(
    private readonly open: (first: number) => Promise<SqliteConnection>,
    private readonly limit = defaultLimit,
  ) {}

  /** Does something with the reading connection to a file, which is named by its first sequence. */
  async use<T>(first: number, work: (connection: SqliteConnection) => Promise<T>): Promise<T> {
    const reader = await this.take(first);
    try {
      return await work(await reader.connection);
    } catch (error) {
      // One that could not be opened is tried again next time.
      if (await isUnusable(reader.connection)) this.readers.delete(first);
      throw error;
    } finally {
      reader.users--;
      this.freed();
    }
  }

  /**
   * Closes the connection to a file once it is free; until `resume` nobody reads the file, but waits. Several may pause one file:
   * it is read again when each of them has resumed it.
   */
  async pause(first: number): Promise<void> {
    this.paused.set(first, (this.paused.get(first) ?? 0) + 1);
    const reader = this.readers.get(first);
    if (reader === undefined) return;
    while (reader.users > 0) await this.someUse();
    // Another pause may have come to this before.
    if (this.readers.get(first) === reader) this.readers.delete(first);
    await close(reader);
    this.freed();
  }

  resume(first: number): void {
    const left = (this.paused.get(first) ?? 0) - 1;
    if (left > 0) this.paused.set(first, left);
    else this.paused.delete(first);
    this.freed();
  }

  /** Closes the connection to a file once it is free; from now on a use of the file fails. */
  async retire(first: number): Promise<void> {
    this.gone.add(first);
    await this.pause(first);
    this.resume(first);
  }

  /** From now on every use fails. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([...this.readers.keys()].map((first) => this.pause(first)));
    await Promise.all(this.closing);
    this.freed();
  }

  private async take(first: number): Promise<Reader> {
    for (;;) {
      if (this.isClosed || this.gone.has(first)) throw new Error('the file is not read any more');
      if (!this.paused.has(first)) {
        const reader = this.readers.get(first) ?? (this.readers.size < this.limit ? this.add(first) : undefined);
        if (reader !== undefined) {
          reader.users++;
          reader.lastUsed = ++this.uses;
          return reader;
        }
        if (this.dropIdle()) continue;
      }
      await this.someUse();
    }
  }

  private add(first: number): Reader {
    this.opened++;
    const reader = { connection: this.open(first), users: 0, lastUsed: 0 };
    // Who uses it hears of a failure.
    reader.connection.catch(() => undefined);
    this.readers.set(first, reader);
    return reader;
  }

  /** Closes the connection that was free for longest; says whether there was one. */
  private dropIdle(): boolean {
    const [oldest] = [...this.readers]
      .filter(([, { users }]) => users === 0)
      .sort(([, a], [, b]) => a.lastUsed - b.lastUsed);
    if (oldest === undefined) return false;
    const [first, reader] = oldest;
    this.readers.delete(first);
    const closing = close(reader).finally(() => this.closing.delete(closing));
    this.closing.add(closing);
    return true;
  }

  private someUse(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
    });
  }

  private freed(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** Closes it once, however many ask for it. */
function close(reader: Reader): Promise<void> {
  reader.closed ??= reader.connection.then(
    (connection) => connection.close(),
    () => undefined,
  );
  return reader.closed;
}

function isUnusable(connection: Promise<SqliteConnection>): Promise<boolean> {
  return connection.then(
    () => false,
    () => true,
  );
}
