/** A group as a row of `journal`: the one way in which an erasure reads it and writes it anew, in all formats. */
import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { type ErasureCounts, eraseFromGroup, type GroupEraser, withoutSalts } from '../erasure/erase-group.js';
import type { GroupCoding } from '../group-coding.js';
import { groupOfText, type JournalGroup } from '../journal-group.js';
import { isRecordLine } from '../line-time.js';
import { addRecordKeys, commonKeys, encodeEntries, encodeKeys, type GroupKeys } from '../record-keys.js';
import { readCommonLine, readRecordLine } from '../recorded-lines.js';
import { encodeFacts } from './shipping-facts.js';

/** Columns that not every format has are undefined. */
export interface StoredGroupRow extends Pick<JournalGroup, 'first' | 'count' | 'since' | 'until'> {
  readonly idSince?: number;
  readonly idUntil?: number;
  readonly entry?: number | null;
  readonly salts?: Buffer | null;
  readonly shipping?: Buffer | null;
  /** As the file's coding writes it. */
  readonly records: string | Buffer;
}

const readColumns = ['first', 'count', 'since', 'until', 'idSince', 'idUntil', 'entry', 'salts', 'shipping', 'records'];

/** The columns of a file's `journal`, of those that an erasure reads. */
export async function storedColumns(connection: SqliteConnection, schema: 'main' | 'journal'): Promise<string> {
  const columns = await connection.query<{ name: string }>(
    `SELECT name FROM pragma_table_info('journal', '${schema}')`,
  );
  return readColumns.filter((name) => columns.some((column) => column.name === name)).join(', ');
}

/** @param columns as `storedColumns` gives them */
export function readStoredGroups(
  connection: SqliteConnection,
  schema: 'main' | 'journal',
  columns: string,
  after: number,
  most: number,
): Promise<StoredGroupRow[]> {
  return connection.query<StoredGroupRow>(
    `SELECT ${columns} FROM ${schema}.journal WHERE first > ? ORDER BY first LIMIT ?`,
    [after, most],
  );
}

/** What an erasure makes of a row. */
export interface ErasedRow {
  /** The columns that change, by their names; undefined where nothing does. */
  readonly changes: { readonly [column: string]: Buffer | string | null } | undefined;
  readonly counts: ErasureCounts;
}

/**
 * Erases from a row: its text, its keys and what is shipped of it are made anew, the salts of the records that are rewritten
 * destroyed. Leaves, node and times stay.
 */
export function eraseFromRow(row: StoredGroupRow, coding: GroupCoding, eraser: GroupEraser): ErasedRow {
  const { sign, ...others } = eraser;
  const stored = coding.decode(row);
  const { salts } = stored;
  // Nothing proves a group that is outside of the tree.
  const isProved = row.entry != null && salts !== null;
  // A damaged row may have something else than a text.
  const before = typeof stored.records === 'string' ? stored.records : '';
  const { text, places, records, counts } = eraseFromGroup(row.first, before, isProved ? eraser : others);
  counts.unreadable += Math.max(0, row.count - records);
  if (places.length === 0) return { changes: undefined, counts };
  const groupKeys = keysOfText(text);
  const keys = coding.maskKeys(encodeKeys(groupKeys.keys(), groupKeys.size));
  const rest = salts === null ? undefined : withoutSalts(salts, places);
  const coded = coding.encode(row.first, text, rest, row.count);
  return {
    changes: {
      records: coded.records,
      keys,
      ...(row.salts !== undefined && { salts: coded.salts }),
      ...(row.shipping != null && { shipping: encodeFacts(shippedGroup(row, text, groupKeys), keys) }),
    },
    counts,
  };
}

/** Writes a row anew. */
export async function writeErasedRow(
  connection: SqliteConnection,
  first: number,
  changes: NonNullable<ErasedRow['changes']>,
): Promise<void> {
  const names = Object.keys(changes);
  await connection.query(`UPDATE journal SET ${names.map((name) => `${name} = ?`).join(', ')} WHERE first = ?`, [
    ...Object.values(changes),
    first,
  ]);
}

/** The keys as they are kept beside a group that is committed. */
export function keysOfText(text: string): GroupKeys {
  const lines = text.split('\n');
  const common = isRecordLine(lines[0]!) ? undefined : readCommonLine(lines[0]!);
  const members = common?.members;
  const keys: GroupKeys = members === undefined ? new Map() : commonKeys(members);
  for (const [place, line] of lines.slice(members === undefined ? 0 : 1).entries()) {
    const record = readRecordLine(line, members ?? wholeLine);
    if (record !== undefined) addRecordKeys(record, members ?? {}, keys, place);
  }
  return keys;
}

/** Records of 0.1 share nothing: each line has all members. */
const wholeLine = {} as Parameters<typeof readRecordLine>[1];

function shippedGroup(row: StoredGroupRow, records: string, keys: GroupKeys): JournalGroup {
  const { first, count, since, until, idSince = since, idUntil = until } = row;
  const { tally } = groupOfText(first, records);
  return {
    first,
    count,
    since,
    until,
    idSince,
    idUntil,
    entries: encodeEntries(keys, count),
    tally,
    text: Buffer.from(records),
  };
}
