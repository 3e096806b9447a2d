/** Reads the versions in a service's database. It loads database drivers, so import it only when needed. */
import { UsageError } from '../exit-code.js';
import { describeDatabase, openArchive, openLiveData } from './database.js';
import type { PolicyVersions } from './policy-versions.js';

/** How many versions are read from the database at a time. */
const pageSize = 1_000;

/**
 * The service may be running; nothing is written.
 *
 * @param database an SQLite file or a `postgres://` URL
 */
export async function versionsInDatabase(database: string): Promise<PolicyVersions> {
  const path = describeDatabase(database);
  const archive = await openArchive(database).catch(cannotRead(path));
  if (archive === undefined) throw new UsageError(`there is no database ${path}`);
  const data = await openLiveData(database).catch(cannotRead(path));
  return {
    async served() {
      const states = await archive.states().catch(cannotRead(path));
      return new Map(states.map(({ name, version }) => [name, version]));
    },
    async *list(set) {
      let after: string | undefined;
      do {
        const page = await archive.versions(set, pageSize, after).catch(cannotRead(path));
        yield* page.items;
        after = page.nextCursor;
      } while (after !== undefined);
    },
    async files(set, version) {
      const found = await archive.files(set, version).catch(cannotRead(path));
      if (found === undefined) throw new UsageError(`${set} never served ${version}`);
      return found.files;
    },
    async data(set, version) {
      const revision = (await archive.version(set, version).catch(cannotRead(path)))?.dataRevision;
      if (revision === undefined) {
        const states = await archive.states().catch(cannotRead(path));
        const isServed = states.some((state) => state.name === set && state.version === version);
        const now = isServed ? await data?.entries(set).catch(cannotRead(path)) : undefined;
        return now && { roles: now.roles, entities: now.entities };
      }
      const entries = await data?.entriesAt(set, revision).catch(cannotRead(path));
      if (entries === undefined) throw new UsageError(`the live data of ${set} ${version} is not kept any more`);
      return entries;
    },
    close: async () => {
      await data?.close();
      await archive.close();
    },
  };
}

function cannotRead(path: string) {
  return (error: Error): never => {
    throw new UsageError(`${path} cannot be read: ${error.message}`);
  };
}
