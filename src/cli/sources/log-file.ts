/** Reads the decision log in a database without the service. It loads database drivers: import it when needed. */
import { replay } from '../../pdp/replay.js';
import { ArchivedVersions } from '../../policy-store/archive/archived-versions.js';
import { openArchive, openDecisionLog } from './database.js';
import type { LogSource } from './log-source.js';

/**
 * Opens the log of a service's database, which may be in use; no record is written. In PostgreSQL it is the log of all
 * replicas, with what they have shipped.
 *
 * @param database an SQLite file or a `postgres://` URL
 * @throws UsageError when there is no log
 */
export async function logOfDatabase(database: string): Promise<LogSource> {
  const reader = await openDecisionLog(database);
  return {
    search: (query) => reader.search(query),
    export: (query) => reader.export(query),
    stats: (query) => reader.stats(query),
    replay: async (id, version) => {
      const record = await reader.find(id);
      if (record === undefined) throw await reader.notFound(id);
      const archive = await openArchive(database);
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
