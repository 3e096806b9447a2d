import { isAway } from '../database-error.js';
import { migrate, type PostgresMigration } from './migrations.js';
import type { PostgresClient, PostgresStatements, PostgresValue, TransactionOptions } from './postgres-client.js';
import type { PostgresDatabase } from './postgres-database.js';

/**
 * The tables of one store. They are made, or brought up to date, before the first statement, so that a service that was
 * started while the server was away goes on as soon as it is back.
 */
export class PostgresTables implements PostgresStatements {
  private preparing: Promise<void> | undefined;

  /**
   * @param part the store, such as `audit`; it has migrations of its own
   * @param needed tables of another part that must be there first
   */
  constructor(
    private readonly database: PostgresDatabase,
    private readonly part: string,
    private readonly migrations: readonly PostgresMigration[],
    private readonly needed?: PostgresTables,
  ) {}

  /**
   * Does so now; while the server is away, that is left to the first statement.
   *
   * @throws DatabaseTooNew, DatabaseError
   */
  async prepare(): Promise<void> {
    try {
      await this.ready();
    } catch (error) {
      if (!isAway(error)) throw error;
    }
  }

  /** The name of a table as SQL writes it, with its schema. */
  name(table: string): string {
    return this.database.table(table);
  }

  /** As `PostgresDatabase.query`. */
  async query<Row extends object>(text: string, values?: readonly PostgresValue[]): Promise<Row[]> {
    await this.ready();
    return this.database.query<Row>(text, values);
  }

  /** As `PostgresDatabase.write`. */
  async write(text: string, values?: readonly PostgresValue[]): Promise<number> {
    await this.ready();
    return this.database.write(text, values);
  }

  /** As `PostgresDatabase.transaction`. */
  async transaction<Result>(
    work: (client: PostgresClient) => Promise<Result>,
    options?: TransactionOptions,
  ): Promise<Result> {
    await this.ready();
    return this.database.transaction(work, options);
  }

  /** A failure is forgotten: the next statement tries again. */
  private ready(): Promise<void> {
    this.preparing ??= this.make().catch((error: unknown) => {
      this.preparing = undefined;
      throw error;
    });
    return this.preparing;
  }

  private async make(): Promise<void> {
    await this.needed?.ready();
    await migrate(this.database, this.part, this.migrations);
  }
}
