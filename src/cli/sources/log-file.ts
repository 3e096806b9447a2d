/** The decision log in a database, read without the service; loads the drivers, so it is imported when it is needed. */
import { existsSync } from 'node:fs';
import { DecisionLogReader } from '../../decision-log/sqlite/decision-log-reader.js';
import { closedFiles, decisionLogPath } from '../../decision-log/sqlite/log-files.js';
import { replay } from '../../pdp/replay.js';
import { ArchivedVersions } from '../../policy-store/archived-versions.js';
import { SqlitePolicyArchive } from '../../policy-store/sqlite/sqlite-policy-archive.js';
import { UsageError } from '../exit-code.js';
import type { LogSource } from './log-source.js';

/**
 * `databasePath` is that of the service's database, which may be in use; no record is written.
 *
 * @throws UsageError when there is no log beside it.
 */
export async function logOfDatabase(databasePath: string): Promise<LogSource> {
  const path = decisionLogPath(databasePath);
  if (!existsSync(path) && closedFiles(path).length === 0) {
    throw new UsageError(`there is no decision log ${path}`, '--database or VERDICT_DATABASE_URL name its database');
  }
  const reader = await DecisionLogReader.open(databasePath);
  return {
    search: (query) => reader.search(query),
    export: (query) => reader.export(query),
    stats: (query) => reader.stats(query),
    replay: async (id, version) => {
      const record = await reader.find(id);
      if (record === undefined) throw await reader.notFound(id);
      // Opening a file that is not there would make it.
      const archive = existsSync(databasePath) ? await SqlitePolicyArchive.openToRead(databasePath) : undefined;
      const versions = new ArchivedVersions(archive);
      try {
        return await replay(
          { version: (name, wanted, semantics) => versions.get(name, wanted, semantics) },
          record,
          version,
        );
      } finally {
        await versions.stop();
        await archive?.close();
      }
    },
    close: () => reader.close(),
  };
}
