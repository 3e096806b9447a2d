import { rmSync } from 'node:fs';
import { isDamaged, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { type DamagedRange, findRowIn, placesOfRows } from './damaged-rows.js';

/** Rows that one statement copies, where nothing is damaged. */
const sequencesAtOnce = 8_192;

/** Behind any sequence. */
const unknownEnd = 2 ** 52;

/**
 * Copies the journal of a connection into a new file: all that was committed through it, whatever lies at its path by
 * now. Of a damaged one, all rows that can be read; what could not is returned. `end`: the last sequence, if it is known.
 */
export async function copyJournal(
  connection: SqliteConnection,
  to: string,
  end?: number,
): Promise<readonly DamagedRange[]> {
  const quoted = `'${to.replaceAll("'", "''")}'`;
  rmSync(to, { force: true });
  try {
    await connection.query(`VACUUM INTO ${quoted}`);
    return [];
  } catch (error) {
    if (!isDamaged(error)) throw error;
  }
  rmSync(to, { force: true });
  await connection.query(`ATTACH DATABASE ${quoted} AS copy`);
  try {
    return await copyReadable(connection, end);
  } finally {
    await connection.query('DETACH DATABASE copy');
  }
}

async function copyReadable(connection: SqliteConnection, end: number | undefined): Promise<readonly DamagedRange[]> {
  const objects = await connection.query<{ type: string; name: string; sql: string }>(
    `SELECT type, name, sql FROM main.sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
     ORDER BY type DESC`,
  );
  // As the definitions name no schema, each is made in the copy.
  for (const { sql } of objects) {
    await connection.query(sql.replace(/^CREATE (UNIQUE INDEX|INDEX|TABLE) /, 'CREATE $1 copy.'));
  }
  const [version] = await connection.query<{ user_version: number }>('PRAGMA main.user_version');
  await connection.query(`PRAGMA copy.user_version = ${version!.user_version}`);
  for (const { type, name } of objects) {
    // Spans only help to find rows by their time, and are written anew.
    if (type !== 'table' || name === 'journal' || name === 'span') continue;
    await copyTable(connection, name);
  }
  const damaged = await copyRows(connection, end);
  for (const range of damaged) await noteDamage(connection, range);
  return damaged;
}

/** Small tables: who writes the file, what is missing, the migrations. One that is damaged is copied as far as it goes. */
async function copyTable(connection: SqliteConnection, name: string): Promise<void> {
  try {
    await connection.query(`INSERT OR REPLACE INTO copy."${name}" SELECT * FROM main."${name}"`);
  } catch (error) {
    if (!isDamaged(error) || name === 'log') throw error;
  }
}

/** In the copy, what is missing is a gap between the times of its neighbours. */
async function noteDamage(connection: SqliteConnection, { after, count }: DamagedRange): Promise<void> {
  await connection.query(
    `INSERT INTO copy.gap (after, lost, since, until, cause) VALUES (?1, ?2,
       coalesce((SELECT until FROM copy.journal WHERE first <= ?1 ORDER BY first DESC LIMIT 1), 0),
       coalesce((SELECT since FROM copy.journal WHERE first > ?1 ORDER BY first LIMIT 1), ?3), 'file_damaged')`,
    [after, isKnown(count) ? count : null, Date.now()],
  );
}

/** Damage that reaches to the end of a file whose end nobody knows may have cost any number of records. */
export function isKnown(count: number): boolean {
  return count < unknownEnd / 2;
}

async function copyRows(connection: SqliteConnection, end: number | undefined): Promise<DamagedRange[]> {
  const damaged: DamagedRange[] = [];
  const copy = (from: number, beyond: number) =>
    connection.query('INSERT INTO copy.journal SELECT * FROM main.journal WHERE first >= ? AND first < ?', [
      from,
      beyond,
    ]);
  const find = findRowIn(connection, 'main');
  const copyOneByOne = async (from: number, beyond: number) => {
    for await (const place of placesOfRows(find, from, beyond)) {
      if ('after' in place) damaged.push(place);
      else {
        try {
          await copy(place.first, place.first + 1);
        } catch (error) {
          if (!isDamaged(error)) throw error;
          damaged.push({ after: place.first - 1, count: place.count });
        }
      }
    }
  };
  const [log] = await connection.query<{ start: number }>('SELECT start FROM main.log');
  // In large steps for as long as nothing is damaged: then there is a row at or behind each step.
  let from = log?.start ?? 1;
  for (;;) {
    const next = await find(from, unknownEnd).catch((error: unknown) => {
      if (!isDamaged(error)) throw error;
      return 'damaged' as const;
    });
    if (next === undefined) return damaged;
    if (next === 'damaged') break;
    const beyond = next.first + sequencesAtOnce;
    try {
      await copy(next.first, beyond);
    } catch (error) {
      if (!isDamaged(error)) throw error;
      await copyOneByOne(next.first, beyond);
    }
    from = beyond;
  }
  await copyOneByOne(from, end === undefined ? unknownEnd : end + 1);
  return damaged;
}
