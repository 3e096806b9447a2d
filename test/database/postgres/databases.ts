/** The server of a test file, and databases on it. */
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { parsePostgresUrl } from '../../../src/config/postgres-url.js';
import { ChangeFeed } from '../../../src/database/postgres/change-feed.js';
import { PostgresDatabase, type PostgresDatabaseOptions } from '../../../src/database/postgres/postgres-database.js';
import { hasPostgres, PostgresServer, type PostgresServerOptions } from './postgres-server.js';

/** One server for the tests of a file or a `describe`, which skips itself where `hasPostgres` is false. */
export function postgresForTests(options?: PostgresServerOptions): () => PostgresServer {
  let server: PostgresServer | undefined;
  beforeAll(async () => {
    if (hasPostgres) server = await PostgresServer.start(options);
  });
  afterAll(() => server?.remove());
  return () => server!;
}

/** The database at the URL, closed when the test ends. */
export function openDatabase(url: string, options: Partial<PostgresDatabaseOptions> = {}): PostgresDatabase {
  const database = new PostgresDatabase({
    url: parsePostgresUrl(url),
    instance: 'test',
    onProblem: () => undefined,
    ...options,
  });
  onTestFinished(() => database.close());
  return database;
}

/** The same with a feed of its changes that looks often; both end with the test. */
export function watchedDatabase(url: string): { readonly database: PostgresDatabase; readonly feed: ChangeFeed } {
  const database = openDatabase(url);
  const feed = new ChangeFeed(database, { pollMs: 100, onProblem: () => undefined });
  feed.start();
  onTestFinished(() => feed.stop());
  return { database, feed };
}
