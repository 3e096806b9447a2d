import { existsSync } from 'node:fs';
import { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';

/** What the key index of the open file knows of the journal, by itself. */
export interface IndexKnowledge {
  /** The writer of the journal; undefined where the index does not say. */
  readonly writer: number | undefined;
  /** The highest sequence that was committed, as far as it knows; 0 when it knows of none. */
  readonly last: number;
  /** No record up to `last` has a higher time, nor an id with one, in milliseconds since 1970; undefined if it is not known. */
  readonly until: number | undefined;
}

/** What each table says; one that is not there says nothing. */
const sources: { readonly [table: string]: string } = {
  segment: 'SELECT coalesce(max(last), 0) AS last, NULL AS until FROM segment',
  counted: `SELECT last, (SELECT (max(period) + 1) * 60000 FROM tally WHERE level = 0) AS until FROM counted`,
  committed: 'SELECT last, nullif(until, 0) AS until FROM committed',
};

/** Reads an index before it is opened for writing; undefined when there is none. */
export async function readIndexKnowledge(path: string): Promise<IndexKnowledge | undefined> {
  if (!existsSync(path)) return undefined;
  try {
    const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
    try {
      return await read(connection);
    } finally {
      await connection.close();
    }
  } catch {
    // It cannot be read, but it is there.
    return { writer: undefined, last: 0, until: undefined };
  }
}

async function read(connection: SqliteConnection): Promise<IndexKnowledge> {
  const tables = await connection.query<{ name: string }>(`SELECT name FROM sqlite_master WHERE type = 'table'`);
  const has = (name: string): boolean => tables.some((table) => table.name === name);
  const [owner] = has('indexed_log')
    ? await connection.query<{ writer: number }>('SELECT writer FROM indexed_log')
    : [];
  let last = 0;
  let until: number | undefined;
  for (const [table, sql] of Object.entries(sources)) {
    if (!has(table)) continue;
    const [row] = await connection.query<{ last: number; until: number | null }>(sql);
    if (row === undefined || row.last < last) continue;
    // Times are only good for as far as they go.
    until = row.until ?? (row.last === last ? until : undefined);
    last = row.last;
  }
  return { writer: owner?.writer, last, until };
}
