/** Reads a journal file's own description, in both formats, on any connection that has the file. */

import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { sha256 } from '../../digest/sha-256.js';
import type { StoredGap } from '../log-gap.js';
import { Frontier } from '../proof/merkle-tree.js';

/**
 * 1: a file that version 0.1 made (1763700000000-journal.ts); 2: 1764300000000-journal-file.ts; 3: one that proves itself,
 * 1764700000000-journal-proof.ts; 4: the same, encrypted, 1764800000000-journal-encryption.ts.
 */
export type JournalFormat = 1 | 2 | 3 | 4;
const newestFormat = 4;
export const encryptedFormat = 4;

/** Whether files of a format prove themselves. */
export function isProven(format: JournalFormat): boolean {
  return format >= 3;
}

const knownMigrations: readonly string[] = [
  'Journal1763700000000',
  'Gaps1763700000002',
  'JournalFile1764300000000',
  'JournalProof1764700000000',
  'JournalEncryption1764800000000',
];

/** The bounds in time of a run of records, in milliseconds since 1970: of their times, and of the times in their ids. */
export interface Extent {
  readonly since: number;
  readonly until: number;
  readonly idSince: number;
  readonly idUntil: number;
}

export const emptyExtent: Extent = {
  since: Number.MAX_SAFE_INTEGER,
  until: 0,
  idSince: Number.MAX_SAFE_INTEGER,
  idUntil: 0,
};

export function joinExtents(a: Extent, b: Extent): Extent {
  return {
    since: Math.min(a.since, b.since),
    until: Math.max(a.until, b.until),
    idSince: Math.min(a.idSince, b.idSince),
    idUntil: Math.max(a.idUntil, b.idUntil),
  };
}

/** Whose file it is, and where it goes on from the one before. */
export interface Beginning {
  /** The journal's name: 128 bits in hexadecimal. */
  readonly name: string;
  /** 30 bits of which are in every id. */
  readonly writer: number;
  /** Sequence of the first record of this file. */
  readonly start: number;
  /** No id of an earlier file has a higher millisecond. */
  readonly floor: number;
  /** The tree that its groups go into; undefined for a file without proof. */
  readonly tree?: TreeEnd | undefined;
  /** What all files of the log mask the keys of their indexes with; a new key where it is left out and is needed. */
  readonly indexKey?: Buffer | undefined;
}

/** A writer's tree up to some entry. */
export interface TreeEnd {
  /** 128 bits in hexadecimal. */
  readonly name: string;
  readonly frontier: Frontier;
}

/**
 * The format of the journal in a database; undefined when there is none in it. Throws when a newer version of Verdict
 * made it: reading it by the rules of this one could be wrong.
 */
export async function readFormat(
  connection: SqliteConnection,
  path: string,
  schema: 'main' | 'journal' = 'main',
): Promise<JournalFormat | undefined> {
  const [version] = await connection.query<{ user_version: number }>(`PRAGMA ${schema}.user_version`);
  const tables = await connection.query<{ name: string }>(
    `SELECT name FROM ${schema}.sqlite_master WHERE type = 'table'`,
  );
  const has = (name: string): boolean => tables.some((table) => table.name === name);
  const migrations = has('migrations')
    ? await connection.query<{ name: string }>(`SELECT name FROM ${schema}.migrations ORDER BY timestamp`)
    : [];
  const format = version!.user_version;
  const unknown = migrations.findLast(({ name }) => !knownMigrations.includes(name));
  if (format > newestFormat || unknown !== undefined) {
    const made = unknown === undefined ? `format ${format}` : `format ${format}, ${unknown.name}`;
    throw new NewerJournalError(
      `${path} was written by a newer version of Verdict (${made}); this version reads up to format ${newestFormat}`,
    );
  }
  if (!has('journal')) return undefined;
  return journalFormat(format);
}

/** @param version `user_version` of a file with a journal */
export function journalFormat(version: number): JournalFormat {
  return version === 2 || version === 3 || version === 4 ? version : 1;
}

export class NewerJournalError extends Error {
  override readonly name = 'NewerJournalError';
}

/** Undefined where the file was made and the process ended before it said whose it is. */
export async function readBeginning(
  connection: SqliteConnection,
  format: JournalFormat,
  schema: 'main' | 'journal' = 'main',
): Promise<Beginning | undefined> {
  if (format === 2) {
    const [row] = await connection.query<Beginning>(`SELECT name, writer, start, floor FROM ${schema}.log`);
    return row;
  }
  if (isProven(format)) {
    const [row] = await connection.query<Beginning & { tree: string; entries: number; frontier: Buffer }>(
      `SELECT name, writer, start, floor, tree, entries, frontier FROM ${schema}.log`,
    );
    if (row === undefined) return undefined;
    const { tree, entries, frontier, ...beginning } = row;
    let decoded: Frontier | undefined;
    const end: TreeEnd = {
      name: tree,
      // Where it is damaged the records can be read still: only who asks for it is told.
      get frontier() {
        decoded ??= Frontier.decode(entries, frontier);
        return decoded;
      },
    };
    return { ...beginning, tree: end };
  }
  const columns = await connection.query<{ name: string }>(`PRAGMA ${schema}.table_info(log)`);
  const name = columns.some((column) => column.name === 'name') ? 'name' : 'NULL';
  const [row] = await connection.query<{ name: string | null; writer: number; start: number }>(
    `SELECT ${name} AS name, writer, coalesce((SELECT min(first) FROM ${schema}.journal), 1) AS start FROM ${schema}.log`,
  );
  return row === undefined ? undefined : { ...row, name: row.name ?? nameOfWriter(row.writer), floor: 0 };
}

/**
 * The name of a journal that version 0.1 gave none. It says nothing but the writer, so that the journal has one name, whether it
 * is read as it is, copied, or opened and told its name.
 */
function nameOfWriter(writer: number): string {
  return sha256([`verdict journal of writer ${writer}`]).slice(0, 32);
}

/** Sequence of the last record, lost ones included; that before `start` when there is none. */
export async function readLast(
  connection: SqliteConnection,
  start: number,
  schema: 'main' | 'journal' = 'main',
): Promise<number> {
  const [row] = await connection.query<{ last: number }>(
    `SELECT first + count - 1 AS last FROM ${schema}.journal ORDER BY first DESC LIMIT 1`,
  );
  const lost = lostRecords(await readGaps(connection, schema));
  return Math.max(row?.last ?? start - 1, ...lost.map(({ last }) => last));
}

/** The gaps of records that were committed once: their sequences and ids are used, up to `last` and `until`. */
export function lostRecords(gaps: readonly StoredGap[]): { readonly last: number; readonly until: number }[] {
  return gaps
    .filter(({ cause }) => cause === 'file_damaged' || cause === 'file_missing')
    .map(({ after, lost, until }) => ({ last: after + (lost ?? 0), until }));
}

/** The bounds of all records in the file. */
export async function readExtent(
  connection: SqliteConnection,
  format: JournalFormat,
  schema: 'main' | 'journal' = 'main',
): Promise<Extent> {
  if (format === 1) {
    // There the last row has the highest time so far, and how far any row reaches back behind the one before it.
    const [row] = await connection.query<{ since: number | null; until: number | null }>(
      `SELECT (SELECT since FROM ${schema}.journal ORDER BY first LIMIT 1)
         - (SELECT lag FROM ${schema}.journal ORDER BY first DESC LIMIT 1) AS since,
         (SELECT until FROM ${schema}.journal ORDER BY first DESC LIMIT 1) AS until`,
    );
    if (row?.since == null || row.until === null) return emptyExtent;
    return { since: row.since, until: row.until, idSince: row.since, idUntil: row.until };
  }
  const bounds = 'min(since) AS since, max(until) AS until, min(idSince) AS idSince, max(idUntil) AS idUntil';
  const [spans] = await connection.query<Extent & { last: number | null }>(
    `SELECT max(last) AS last, ${bounds} FROM ${schema}.span`,
  );
  const [rows] = await connection.query<Extent>(`SELECT ${bounds} FROM ${schema}.journal WHERE first > ?`, [
    spans?.last ?? 0,
  ]);
  return [spans, rows].reduce<Extent>((all, one) => (one?.since == null ? all : joinExtents(all, one)), emptyExtent);
}

export async function readGaps(
  connection: SqliteConnection,
  schema: 'main' | 'journal' = 'main',
): Promise<StoredGap[]> {
  const tables = await connection.query(`SELECT 1 FROM ${schema}.sqlite_master WHERE name = 'gap'`);
  if (tables.length === 0) return [];
  const columns = await connection.query<{ name: string }>(`PRAGMA ${schema}.table_info(gap)`);
  const proof = columns.some(({ name }) => name === 'entry') ? ', entry, lower(hex(node)) AS node' : '';
  return connection.query(
    `SELECT after, lost, since, until, cause${proof} FROM ${schema}.gap ORDER BY after DESC, id DESC`,
  );
}
