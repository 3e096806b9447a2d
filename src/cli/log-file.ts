/** The decision log in a database, read without the service; loads the drivers, so it is imported when it is needed. */
import { existsSync } from 'node:fs';
import { DecisionLogReader } from '../decision-log/decision-log-reader.js';
import { closedFiles, decisionLogPath } from '../decision-log/log-files.js';
import { replay } from '../pdp/replay.js';
import { ArchivedVersions } from '../policy-store/archived-versions.js';
import { PolicyArchive } from '../policy-store/policy-archive.js';
import { UsageError } from './exit-code.js';
import type { LogSource } from './log-source.js';

/**
 * `url` is that of the service's database, which may be in use; no record is written.
 *
 * @throws UsageError when there is no log beside it.
 */
export async function logOfDatabase(url: string): Promise<LogSource> {
  const path = decisionLogPath(url);
  if (!existsSync(path) && closedFiles(path).length === 0) {
    throw new UsageError(`there is no decision log ${path}`, '--database or VERDICT_DATABASE_URL name its database');
  }
  const reader = await DecisionLogReader.open(url);
  return {
    search: (query) => reader.search(query),
    export: (query) => reader.export(query),
    stats: (query) => reader.stats(query),
    replay: async (id, version) => {
      const record = await reader.find(id);
      if (record === undefined) throw await reader.notFound(id);
      const archivePath = url.slice('sqlite:'.length);
      // Opening a file that is not there would make it.
      const archive = existsSync(archivePath) ? await PolicyArchive.openToRead(archivePath) : undefined;
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
