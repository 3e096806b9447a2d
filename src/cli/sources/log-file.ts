/** Reads the decision log in a database without the service. It loads database drivers: import it when needed. */

import { readSecretVariable } from '../../config/secret-variable.js';
import type { DecisionQuery } from '../../decision-log/decision-query.js';
import type { SearchScope } from '../../decision-log/record-filter.js';
import type { RecordedVersions } from '../../decision-log/recorded-entities.js';
import { type ValueHash, valueHash } from '../../decision-log/value-hash.js';
import { whyNotEncryptionKey } from '../../encryption/encryption-keys.js';
import { replay } from '../../pdp/replay.js';
import { ArchivedEntities } from '../../policy-store/archive/archived-entities.js';
import { ArchivedVersions } from '../../policy-store/archive/archived-versions.js';
import { UsageError } from '../exit-code.js';
import { openArchive, openDecisionLog, openLiveData } from './database.js';
import { follow } from './follow.js';
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
  let opened: Promise<VersionsOfDatabase> | undefined;
  /** Opened for the queries that need it. */
  const scopeOf = async ({ filter, expand }: { filter?: string; expand?: string }): Promise<SearchScope> => {
    if (filter === undefined && expand === undefined) return {};
    opened ??= openVersions(database);
    return { versions: (await opened).versions };
  };
  const search = async (query: DecisionQuery) => reader.search(query, await scopeOf(query));
  return {
    search,
    follow: (filters, lines, signal) => follow(search, filters, lines, signal),
    export: async function* (query) {
      yield* reader.export(query, await scopeOf(query));
    },
    stats: (query) => reader.stats(query),
    replay: async (id, version) => {
      const record = await reader.find(id);
      if (record === undefined) throw await reader.notFound(id);
      const { versions, close } = await archivedVersions(database);
      try {
        return await replay(
          { version: (name, wanted, semantics) => versions.get(name, wanted, semantics) },
          record,
          version,
        );
      } finally {
        await close();
      }
    },
    close: async () => {
      await (await opened)?.close();
      await reader.close();
    },
  };
}

interface VersionsOfDatabase {
  readonly versions: RecordedVersions;
  close(): Promise<void>;
}

async function openVersions(database: string): Promise<VersionsOfDatabase> {
  const { archive, versions, close } = await archivedVersions(database);
  const served = new Map((await archive?.states())?.map(({ name, version }) => [name, version]));
  return {
    versions: new ArchivedEntities({
      version: (name, version, semantics) => versions.get(name, version, semantics),
      servedVersion: (name) => served.get(name),
    }),
    close,
  };
}

/** @throws UsageError for a key that is none */
function maskHash(): ValueHash | undefined {
  try {
    const key = readSecretVariable('VERDICT_MASK_KEY', process.env)?.trim();
    if (key === undefined) return undefined;
    const fault = whyNotEncryptionKey(key);
    if (fault !== undefined) throw new Error(`VERDICT_MASK_KEY ${fault}`);
    return valueHash(Buffer.from(key, 'base64'));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The versions of a database, with the live data that they had. */
async function archivedVersions(database: string) {
  const archive = await openArchive(database);
  const data = await openLiveData(database);
  const versions = new ArchivedVersions(archive, data, maskHash());
  return {
    archive,
    versions,
    close: async () => {
      await versions.stop();
      await data?.close();
      await archive?.close();
    },
  };
}
