/** Reads the versions in a service's database. It loads database drivers, so import it only when needed. */
import { UsageError } from '../exit-code.js';
import { describeDatabase, openArchive } from './database.js';
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
    close: () => archive.close(),
  };
}

function cannotRead(path: string) {
  return (error: Error): never => {
    throw new UsageError(`${path} cannot be read: ${error.message}`);
  };
}
