/**
 * Writes the counts of decisions that the index keeps (the tables are described in the migration). However many callers
 * there are, they stay few: a file keeps `names` values of a field apart and a period has `rows` rows in full; what comes
 * beyond is counted without these values. All of it happens in the database, so the event loop sees none of the rows.
 */

import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { type GroupCoding, plainCoding } from '../group-coding.js';
import { type TallyField, type TallyRow, tallyFields } from '../tally.js';
import { levelMinutes, openFields } from '../tally-question.js';
import { inTransaction } from './segment-merge.js';

export interface TallyLimits {
  /** Most values of a field that a file keeps apart. */
  readonly names: number;
  /** Most rows in full of a period, by level. As many again may lack the caller alone. */
  readonly rows: readonly [minute: number, quarter: number, day: number];
}

/** A day of a million decisions is about 40,000 rows with 20 callers, and never more than a few hundred thousand. */
export const tallyLimits: TallyLimits = { names: 1_000, rows: [256, 512, 2_048] };

/**
 * Temporary tables that a connection needs before `addFresh`: rows to be added, and their sums. They are kept in
 * memory.
 */
export const tallyScratch: readonly string[] = [
  'PRAGMA temp_store = MEMORY',
  `CREATE TEMP TABLE fresh (minute, ${tallyFields.join(', ')}, count)`,
  `CREATE TEMP TABLE incoming (period, ${tallyFields.join(', ')}, count, fits)`,
];

/** Periods that one statement forgets: rows for some ten milliseconds. */
const periodsForgotten = 60;
/** Rows that one statement hands over: their text is made in a fraction of a millisecond. */
const rowsAtOnce = 512;

/** Hands rows to `addFresh`. */
export async function putFresh(
  connection: SqliteConnection,
  rows: readonly TallyRow[],
  coding: GroupCoding = plainCoding,
): Promise<void> {
  const members = ['minute', ...tallyFields, 'count'];
  for (let i = 0; i < rows.length; i += rowsAtOnce) {
    await connection.query(
      `INSERT INTO temp.fresh SELECT ${members.map((name) => `value ->> '${name}'`).join(', ')} FROM json_each(?)`,
      [JSON.stringify(rows.slice(i, i + rowsAtOnce).map((row) => hiddenRow(row, coding)))],
    );
  }
}

/** The row with the names in it as the file may have them. */
function hiddenRow(row: TallyRow, coding: GroupCoding): TallyRow {
  if (coding.isPlain) return row;
  return { ...row, policySet: coding.hideName(row.policySet), caller: coding.hideName(row.caller) };
}

/** Adds what was handed over to the counts. Runs within the caller's transaction. */
export async function addFresh(connection: SqliteConnection, limits: TallyLimits = tallyLimits): Promise<void> {
  for (const field of tallyFields) {
    // The most frequent first, so that a crowd of names that come once does not displace them.
    await connection.query(
      `INSERT INTO tally_name (field, name)
       SELECT '${field}', ${field} FROM temp.fresh
       WHERE ${field} NOT IN (SELECT name FROM tally_name WHERE field = '${field}')
       GROUP BY ${field} ORDER BY sum(count) DESC, ${field} LIMIT ?`,
      [openFields.includes(field) ? await namesLeft(connection, field, limits.names) : -1],
    );
  }
  for (const [level, minutes] of levelMinutes.entries()) {
    await connection.query(`DELETE FROM temp.incoming`);
    await connection.query(
      `INSERT INTO temp.incoming
       SELECT minute / ${minutes}, ${tallyFields.map((field) => `coalesce(${field}_name.id, 0)`).join(', ')}, sum(count), 0
       FROM temp.fresh ${tallyFields.map(joinName).join(' ')} GROUP BY ${ordinals(1 + tallyFields.length)}`,
    );
    await addLevel(connection, level, limits.rows[level]!);
  }
  await connection.query('DELETE FROM temp.fresh');
}

async function namesLeft(connection: SqliteConnection, field: TallyField, limit: number): Promise<number> {
  const [row] = await connection.query<{ known: number }>('SELECT count(*) AS known FROM tally_name WHERE field = ?', [
    field,
  ]);
  return Math.max(0, limit - row!.known);
}

function joinName(field: TallyField): string {
  return `LEFT JOIN tally_name ${field}_name ON ${field}_name.field = '${field}' AND ${field}_name.name = fresh.${field}`;
}

/** Adds the incoming rows to a level: in full while the period has room, then without the caller, then by set and decision. */
async function addLevel(connection: SqliteConnection, level: number, limit: number): Promise<void> {
  if (await addFitting(connection, level, limit)) return;
  await fold(connection, ['caller']);
  if (await addFitting(connection, level, 2 * limit)) return;
  await fold(connection, openFields);
  await addFitting(connection, level, Number.MAX_SAFE_INTEGER);
}

/** Adds the rows that are there already or for which their period has room, and removes them; says whether that was all. */
async function addFitting(connection: SqliteConnection, level: number, limit: number): Promise<boolean> {
  const sameRow = tallyFields.map((field) => `t.${field} = i.${field}`).join(' AND ');
  await connection.query(
    `WITH known AS (
       SELECT i.rowid AS id, i.period, i.count, EXISTS (
         SELECT 1 FROM tally t WHERE t.level = ?1 AND t.period = i.period AND ${sameRow}) AS isKnown
       FROM temp.incoming i),
     present AS (
       SELECT period, (SELECT count(*) FROM tally t WHERE t.level = ?1 AND t.period = k.period) AS rows
       FROM known k GROUP BY period),
     placed AS (
       SELECT id, isKnown, rows + row_number() OVER (PARTITION BY known.period, isKnown ORDER BY count DESC, id) AS place
       FROM known JOIN present USING (period))
     UPDATE temp.incoming SET fits = 1
     WHERE rowid IN (SELECT id FROM placed WHERE isKnown OR place <= ?2)`,
    [level, limit],
  );
  const columns = `period, ${tallyFields.join(', ')}, count`;
  await connection.query(
    `INSERT INTO tally (level, ${columns}) SELECT ?, ${columns} FROM temp.incoming WHERE fits = 1
     ON CONFLICT DO UPDATE SET count = count + excluded.count`,
    [level],
  );
  await connection.query('DELETE FROM temp.incoming WHERE fits = 1');
  return (await connection.query('SELECT 1 FROM temp.incoming LIMIT 1')).length === 0;
}

/** Forgets the values of the fields; rows that agree in the others become one. */
async function fold(connection: SqliteConnection, fields: readonly TallyField[]): Promise<void> {
  const kept = tallyFields.map((field) => (fields.includes(field) ? '0' : field)).join(', ');
  await connection.query(
    `INSERT INTO temp.incoming
     SELECT period, ${kept}, sum(count), 2 FROM temp.incoming GROUP BY ${ordinals(1 + tallyFields.length)}`,
  );
  await connection.query('DELETE FROM temp.incoming WHERE fits = 0');
  await connection.query('UPDATE temp.incoming SET fits = 0');
}

/**
 * Forgets what happened before a minute (since 1970), some at a time. A quarter and a day that it divides keep what is in
 * the minutes after it. After a crash the next call does what is left.
 */
export async function forgetTallies(connection: SqliteConnection, minute: number): Promise<void> {
  for (const [level, minutes] of levelMinutes.entries()) {
    const first = Math.floor(minute / minutes);
    for (;;) {
      const [oldest] = await connection.query<{ period: number | null }>(
        'SELECT min(period) AS period FROM tally WHERE level = ?',
        [level],
      );
      if (oldest?.period == null || oldest.period >= first) break;
      const end = Math.min(first, oldest.period + periodsForgotten);
      await connection.query('DELETE FROM tally WHERE level = ? AND period < ?', [level, end]);
    }
    if (minute % minutes !== 0) await inTransaction(connection, () => countAgain(connection, level, first));
  }
}

/** Makes the rows of a period anew, out of its minutes. */
async function countAgain(connection: SqliteConnection, level: number, period: number): Promise<void> {
  const minutes = levelMinutes[level]!;
  await connection.query('DELETE FROM tally WHERE level = ? AND period = ?', [level, period]);
  await connection.query(
    `INSERT INTO tally (level, period, ${tallyFields.join(', ')}, count)
     SELECT ?, ?, ${tallyFields.join(', ')}, sum(count) FROM tally
     WHERE level = 0 AND period >= ? AND period < ? GROUP BY ${tallyFields.join(', ')}`,
    [level, period, period * minutes, (period + 1) * minutes],
  );
}

/** `1, 2, 3`: the first columns of a result. */
function ordinals(count: number): string {
  return Array.from({ length: count }, (_, i) => i + 1).join(', ');
}
