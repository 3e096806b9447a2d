import { existsSync, rmSync } from 'node:fs';
import { makeSafe } from '../../database/sqlite/database-watch.js';
import { isDamaged, SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { Catalog } from './catalog.js';
import { copyJournal, isKnown } from './journal-copy.js';
import { readBeginning, readFormat } from './journal-format.js';
import { catalogPathOf, closedPathOf, renameDurably } from './log-files.js';

/**
 * Reads what can still be read of a damaged open file, which was set aside as `damaged`, into a closed file of the journal;
 * `path` is where it lay. Pages that cannot be read are gaps in it. `end`: the last sequence, where it is known. Returns
 * how many records are lost, null where nobody can say; undefined when nothing could be read.
 */
export async function salvage(damaged: string, path: string, end?: number): Promise<number | null | undefined> {
  const copy = `${path}.salvaged`;
  let connection: SqliteConnection | undefined;
  try {
    connection = await SqliteConnection.open({ path: damaged, busyTimeoutMs: 1_000 });
    const format = await readFormat(connection, damaged);
    const beginning = format && (await readBeginning(connection, format));
    if (beginning === undefined) return undefined;
    const ranges = await copyJournal(connection, copy, end);
    if (existsSync(closedPathOf(path, beginning.start))) return undefined;
    await makeSafe(copy);
    renameDurably(copy, closedPathOf(path, beginning.start));
    const isComplete = ranges.every(({ count }) => isKnown(count));
    if (isComplete) {
      // Then the next file goes on right behind it.
      const catalog = await Catalog.open(catalogPathOf(path));
      await catalog.noteBegun(beginning);
      await catalog.close();
    }
    return isComplete ? ranges.reduce((sum, { count }) => sum + count, 0) : null;
  } catch (error) {
    if (!isDamaged(error)) throw error;
    return undefined;
  } finally {
    await connection?.close();
    rmSync(copy, { force: true });
  }
}
