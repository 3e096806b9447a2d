/** The server of a test file, and databases on it. */
import { afterAll, beforeAll, onTestFinished } from 'vitest';
import { parsePostgresUrl } from '../../../src/config/postgres-url.js';
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
