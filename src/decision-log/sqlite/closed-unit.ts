/** Reading the closed files of the journal. They do not change, so they are read without locks and without a WAL. */
import { existsSync } from 'node:fs';
import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import type { ClosedUnit } from './catalog.js';
import { readBeginning, readExtent, readFormat, readGaps, readLast } from './journal-format.js';
import { closedIndexPathOf, closedPathOf } from './log-files.js';

/** A connection to a closed file's index, where there is one, with its journal attached as `journal`. */
export async function openClosedReader(path: string, first: number, withIndex = true): Promise<SqliteConnection> {
  const indexPath = closedIndexPathOf(path, first);
  return SqliteConnection.open({
    path: withIndex && existsSync(indexPath) ? indexPath : ':memory:',
    immutable: true,
    attached: { journal: closedPathOf(path, first) },
    busyTimeoutMs: 0,
  });
}

/** The content of a closed file, read from the file. */
export async function describeClosed(path: string, first: number): Promise<ClosedUnit> {
  const connection = await openClosedReader(path, first);
  try {
    const format = await readFormat(connection, closedPathOf(path, first), 'journal');
    const beginning = format && (await readBeginning(connection, format, 'journal'));
    if (format === undefined || beginning === undefined) throw new Error(`there is no journal in it`);
    return {
      name: beginning.name,
      first,
      last: await readLast(connection, first, 'journal'),
      format,
      extent: await readExtent(connection, format, 'journal'),
      indexedTo: await readIndexedTo(connection, first),
      gaps: await readGaps(connection, 'journal'),
    };
  } finally {
    await connection.close();
  }
}

/** The last sequence in the index; 0 if there is no index, or it belongs to another journal. */
export async function readIndexedTo(connection: SqliteConnection, first: number): Promise<number> {
  const [row] = await connection
    .query<{ last: number | null }>(
      `SELECT max(last) AS last FROM segment
       WHERE first >= ? AND EXISTS (SELECT 1 FROM indexed_log JOIN journal.log USING (writer))`,
      [first],
    )
    .catch(() => []);
  return row?.last ?? 0;
}
