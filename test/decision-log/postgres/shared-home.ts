import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import {
  PostgresDecisionLog,
  type PostgresDecisionLogOptions,
} from '../../../src/decision-log/postgres/postgres-decision-log.js';
import { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import type { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import { openDatabase } from '../../database/postgres/databases.js';
import type { PostgresServer } from '../../database/postgres/postgres-server.js';
import type { LogHome } from '../log-home.js';
import { temporaryDirectory } from '../temporary-log.js';

/** A replica's log: its journal in `directory`, shipped into the database at `url`. Stopped when the test ends. */
export async function startReplica(
  url: string,
  directory: string = temporaryDirectory(),
  options: Partial<PostgresDecisionLogOptions> = {},
): Promise<PostgresDecisionLog> {
  const { instance, queueLimit, encryption } = options;
  const log = new PostgresDecisionLog({
    database: openDatabase(url, { instance: instance ?? 'test' }),
    mode: 'sync',
    openJournal: (journal) =>
      new SqliteDecisionLog({
        databasePath: join(directory, 'verdict.sqlite'),
        ...(instance !== undefined && { instance }),
        isShipped: true,
        turnPatienceMs: 60_000,
        ...(queueLimit !== undefined && { queueLimit }),
        ...(encryption !== undefined && { encryption }),
        ...(options.onProblem !== undefined && { onProblem: options.onProblem }),
        ...journal,
      }),
    latestMs: 1_000,
    // On a busy machine a page ends before it comes to a record, otherwise.
    pageMs: 60_000,
    ...options,
  });
  await log.start();
  onTestFinished(() => log.stop());
  return log;
}

/**
 * A database for the logs of a test, as the suite wants it: one replica at a time on a folder of its own. `encryption`: keys of
 * all of them.
 */
export function sharedHome(server: () => PostgresServer, encryption?: EncryptionKeys): LogHome {
  const directory = temporaryDirectory();
  let database: Promise<string> | undefined;
  const url = () => {
    database ??= server().createDatabase();
    return database;
  };
  return {
    start: async (options) => startReplica(await url(), directory, { ...options, encryption }),
    // Another replica, which records nothing.
    read: async () => startReplica(await url(), temporaryDirectory(), { mode: 'off', encryption }),
    // There it is as many as can be read in a second.
    leastCounted: 1,
    shared: (log) => (log as PostgresDecisionLog).shipped(),
    index: (log) => (log as PostgresDecisionLog).settle(),
  };
}
