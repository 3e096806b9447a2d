import { ServiceDatabase } from '../service-database.js';
import type { DataFolderLock } from './data-folder-lock.js';
import { sizeOfDatabases } from './database-size.js';
import type { DatabaseWatch } from './database-watch.js';
import type { SqliteConnection } from './sqlite-connection.js';

/**
 * The service's database in an SQLite file, in which several stores have their tables. They are opened one after another:
 * two that make the same new database at once would be in each other's way.
 */
export class SqliteDatabase extends ServiceDatabase {
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly path: string,
    private readonly watch: Pick<DatabaseWatch, 'add' | 'problem' | 'start' | 'stop'>,
    private readonly lock: Pick<DataFolderLock, 'problem'>,
  ) {
    super();
  }

  get problem(): string | undefined {
    return this.watch.problem ?? this.lock.problem;
  }

  start(): void {
    this.watch.start();
  }

  stop(): Promise<void> {
    return this.watch.stop();
  }

  /** Each store has connections of its own. */
  async close(): Promise<void> {}

  size(): Promise<number> {
    return sizeOfDatabases([this.path]);
  }

  /** Opens a store, whose connection is looked after from then on. */
  open<Store extends { readonly connection: SqliteConnection }>(
    open: (path: string) => Promise<Store>,
  ): Promise<Store> {
    return this.use(async (path) => {
      const store = await open(path);
      this.watch.add(store.connection);
      return store;
    });
  }

  /** Does something with the database while no store is being opened. */
  use<Result>(work: (path: string) => Promise<Result>): Promise<Result> {
    const result = this.last.then(() => work(this.path));
    this.last = result.catch(() => undefined);
    return result;
  }
}
