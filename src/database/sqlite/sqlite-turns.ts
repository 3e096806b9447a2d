import type { SqliteConnection } from './sqlite-connection.js';

/**
 * The turns of one connection. A transaction takes several statements of it, and nothing else may come between them: a
 * store that makes transactions asks everything of its connection in turn.
 */
export class SqliteTurns {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly connection: SqliteConnection) {}

  inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.last.then(work);
    this.last = result.catch(() => undefined);
    return result;
  }

  /** Does all of the work or, where it fails, nothing. */
  transaction<Result>(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: () => Promise<Result>): Promise<Result> {
    return this.inTurn(async () => {
      await this.connection.query(begin);
      try {
        const result = await work();
        await this.connection.query('COMMIT');
        return result;
      } catch (error) {
        // SQLite may have ended it already, as where the disk is full: what went wrong first is what is told.
        await this.connection.query('ROLLBACK').catch(() => undefined);
        throw error;
      }
    });
  }
}
