import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { SqliteConnection } from '../../src/database/sqlite/sqlite-connection.js';
import { plainCoding } from '../../src/decision-log/group-coding.js';
import { DecisionLogReader } from '../../src/decision-log/sqlite/decision-log-reader.js';
import { emptyLog, type LogView, type UnitView } from '../../src/decision-log/sqlite/log-view.js';
import { SqliteDecisionLog, type SqliteDecisionLogOptions } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import type { EncryptionKeys } from '../../src/encryption/encryption-keys.js';
import type { LogHome } from './log-home.js';

/** A directory that goes when the test ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-log-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/**
 * A started log on a file in `directory`; stopped when the test ends. A commit waits for the next file for as long as that
 * takes, so that files end where their limits say, on a machine that is busy too.
 */
export async function startLog(
  directory: string,
  options: Partial<SqliteDecisionLogOptions> = {},
): Promise<SqliteDecisionLog> {
  const log = new SqliteDecisionLog({
    databasePath: join(directory, 'verdict.sqlite'),
    mode: 'sync',
    turnPatienceMs: 60_000,
    ...options,
  });
  await log.start();
  onTestFinished(() => log.stop());
  return log;
}

/** A directory for the logs of a test, as the suite wants it. `encryption`: keys of all logs there. */
export function sqliteHome(directory: string = temporaryDirectory(), encryption?: EncryptionKeys): LogHome {
  return {
    start: (options) => startLog(directory, { ...options, encryption }),
    read: async () => {
      const reader = await DecisionLogReader.open(join(directory, 'verdict.sqlite'), encryption);
      onTestFinished(() => reader.close());
      return reader;
    },
    shared: async () => undefined,
    leastCounted: 65_536,
    index: (log) => (log as SqliteDecisionLog).indexNow(),
  };
}

/** A log of one file that begins with sequence 1, read through a connection that has its index and its journal. */
export function viewOfFile(
  connection: SqliteConnection,
  unit: Pick<UnitView, 'last' | 'extent' | 'indexedTo'>,
): LogView {
  const units = [{ first: 1, format: 2 as const, hasCounts: true, uncounted: [], ...unit }];
  return { ...emptyLog, end: unit.last, units, read: (_, work) => work(connection, plainCoding) };
}
