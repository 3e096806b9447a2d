/**
 * Counts decisions by reading the journal's texts (group-text.ts), where no count was kept: after a crash for the newest,
 * after the loss of an index for all. The database parses them, on a thread of its own; encrypted ones are parsed here.
 */
import { isDamaged, type SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { Turns } from '../../turns/turns.js';
import type { CodedRow, GroupCoding } from '../group-coding.js';
import { briefRecordsOf } from '../group-text.js';
import { Tally, type TallyRow, tallyFields } from '../tally.js';
import { type DamagedRange, findRowIn, placesOfRows } from './damaged-rows.js';
import { putFresh } from './tally-table.js';

/** Records that one statement reads, and groups, of which a quiet service has one a record. Some ten milliseconds. */
const recordsAtOnce = 4_096;
const groupsAtOnce = 1_024;
/** Rows that the event loop takes at a time. */
const rowsAtOnce = 512;
/** Texts that are decoded at a time at most, and their bytes. */
const decodedAtOnce = 64;
const decodedBytes = 2 ** 21;

/** The last sequence of a run of whole groups after `after` and up to `end` that one statement may read. */
export async function endOfStep(connection: SqliteConnection, after: number, end: number): Promise<number> {
  const [row] = await connection.query<{ last: number | null }>(
    `SELECT max(last) AS last FROM (
       SELECT first + count - 1 AS last FROM journal.journal WHERE first > ?1 AND first <= min(?2, ?1 + ${recordsAtOnce})
       ORDER BY first LIMIT ${groupsAtOnce})`,
    [after, end],
  );
  if (row?.last != null) return row.last;
  // What lies there was deleted, or never was.
  const [next] = await connection.query<{ first: number | null }>(
    'SELECT min(first) AS first FROM journal.journal WHERE first > ?',
    [after],
  );
  return Math.min(end, (next?.first ?? end + 1) - 1);
}

/** Hands the counts of the groups after a sequence and up to another to `addFresh`. */
export async function recountFresh(
  connection: SqliteConnection,
  coding: GroupCoding,
  after: number,
  last: number,
): Promise<void> {
  if (!coding.isPlain) {
    const { rows } = await countDecoded(connection, coding, after, last);
    await putFresh(connection, rows, coding);
    return;
  }
  await connection.query(`INSERT INTO temp.fresh ${countsSql}`, [after, last]);
}

/**
 * The counts of the groups after a sequence and up to `end`, for a connection that writes nothing; some at a time. Groups
 * that cannot be read count nothing, and `damaged` hears of them.
 */
export async function* recount(
  connection: SqliteConnection,
  coding: GroupCoding,
  after: number,
  end: number,
  damaged: (range: DamagedRange) => void,
): AsyncGenerator<TallyRow[]> {
  for (let from = after; from < end; ) {
    try {
      const last = await endOfStep(connection, from, end);
      yield* countedRows(connection, coding, from, last, damaged);
      from = last;
    } catch (error) {
      if (!isDamaged(error)) throw error;
      const last = Math.min(end, from + recordsAtOnce);
      yield* recountAround(connection, coding, from, last, damaged);
      from = last;
    }
  }
}

/** The same, group by group; one that `last` lies in is counted by the step that begins in it. */
async function* recountAround(
  connection: SqliteConnection,
  coding: GroupCoding,
  after: number,
  last: number,
  damaged: (range: DamagedRange) => void,
): AsyncGenerator<TallyRow[]> {
  for await (const place of placesOfRows(findRowIn(connection, 'journal'), after + 1, last + 1)) {
    if ('after' in place) {
      damaged(place);
      continue;
    }
    const before = place.first - 1;
    try {
      yield* countedRows(connection, coding, before, before + place.count, damaged);
    } catch (error) {
      if (!isDamaged(error)) throw error;
      damaged({ after: before, count: place.count });
    }
  }
}

/** The rows, `rowsAtOnce` at a time: parsing all of them at once would be a long turn. */
async function* countedRows(
  connection: SqliteConnection,
  coding: GroupCoding,
  after: number,
  last: number,
  damaged: (range: DamagedRange) => void,
): AsyncGenerator<TallyRow[]> {
  if (!coding.isPlain) {
    const { rows, unreadable } = await countDecoded(connection, coding, after, last);
    for (const range of unreadable) damaged(range);
    for (let i = 0; i < rows.length; i += rowsAtOnce) yield rows.slice(i, i + rowsAtOnce);
    return;
  }
  // First, so that nothing is handed over of what cannot all be read.
  const chunks = await connection.query<{ rows: string; total: number }>(
    `SELECT json_group_array(json_array(minute, ${tallyFields.join(', ')}, count)) AS rows, sum(count) AS total
     FROM (SELECT *, row_number() OVER () AS place FROM (${countsSql})) GROUP BY place / ${rowsAtOnce}`,
    [after, last],
  );
  const [stored] = await connection.query<{ total: number }>(
    'SELECT coalesce(sum(count), 0) AS total FROM journal.journal WHERE first > ? AND first <= ?',
    [after, last],
  );
  const counted = chunks.reduce((sum, { total }) => sum + total, 0);
  if (counted < stored!.total)
    for (const range of await unreadableTexts(connection, coding, after, last)) damaged(range);
  for (const { rows } of chunks) {
    yield (JSON.parse(rows) as [number, string, string, string, string, string, number][]).map(
      ([minute, policySet, policyVersion, decision, reason, caller, count]) => {
        return { minute, policySet, policyVersion, decision, reason, caller, count };
      },
    );
  }
}

/** The groups after a sequence and up to another of which the text is damaged, though their pages can be read. */
export async function unreadableTexts(
  connection: SqliteConnection,
  coding: GroupCoding,
  after: number,
  last: number,
): Promise<readonly DamagedRange[]> {
  if (!coding.isPlain) return (await countDecoded(connection, coding, after, last)).unreadable;
  return connection.query<DamagedRange>(
    `SELECT first - 1 AS after, count FROM journal.journal
     WHERE first > ? AND first <= ? AND NOT json_valid('[' || replace(records, char(10), ',') || ']') ORDER BY first`,
    [after, last],
  );
}

/**
 * The same counts of texts that SQL cannot read, with the groups of which some record cannot be read; a few texts are in
 * memory at a time.
 */
async function countDecoded(
  connection: SqliteConnection,
  coding: GroupCoding,
  after: number,
  last: number,
): Promise<{ readonly rows: readonly TallyRow[]; readonly unreadable: readonly DamagedRange[] }> {
  const tally = new Tally();
  const unreadable: DamagedRange[] = [];
  const turns = new Turns();
  for (let from = after; ; ) {
    const stored = await connection.query<CodedRow>(
      `SELECT first, count, records FROM journal.journal WHERE first > ?1 AND first <= ?2
         AND first <= coalesce((SELECT max(first) FROM (
           SELECT first, sum(octet_length(records)) OVER (ORDER BY first) AS bytes, row_number() OVER (ORDER BY first) AS place
           FROM (SELECT first, records FROM journal.journal WHERE first > ?1 AND first <= ?2 ORDER BY first LIMIT ${decodedAtOnce}))
           WHERE bytes <= ${decodedBytes} OR place = 1), 0)
       ORDER BY first`,
      [from, last],
    );
    if (stored.length === 0) return { rows: tally.rows(), unreadable };
    for (const row of stored) {
      let isWhole = true;
      const group = coding.decode(row);
      for (const record of briefRecordsOf(group, () => {
        isWhole = false;
      })) {
        if (record.time !== undefined) tally.add(record, record.time);
        if (turns.isOver) await turns.next();
      }
      if (!isWhole) unreadable.push({ after: row.first - 1, count: row.count });
    }
    from = stored.at(-1)!.first;
  }
}

/** The text's first line has what the records share; older groups have whole records in their lines, and no such line. */
const own = (name: string) => `coalesce(line.value ->> '${name}', part.common ->> '${name}')`;

const minuteOfRecord = `CASE WHEN line.value ->> 'time' IS NULL THEN (${millisecondsOf(`line.value ->> 'id'`)}) / 60000
  ELSE unixepoch(line.value ->> 'time') / 60 END`;

/** A group whose text is damaged counts nothing, and keeps nothing else from being counted. */
const countsSql = `
  SELECT ${minuteOfRecord} AS minute, ${own('policySet')} AS policySet, ${own('policyVersion')} AS policyVersion,
    ${own('decision')} AS decision, line.value -> 'reason' ->> 'code' AS reason, ${own('caller')} AS caller, count(*) AS count
  FROM (
    SELECT substr(records, 1, instr(records || char(10), char(10)) - 1) AS common,
      '[' || replace(records, char(10), ',') || ']' AS lines
    FROM journal.journal WHERE first > ? AND first <= ?) part
  CROSS JOIN json_each(CASE WHEN json_valid(part.lines) THEN part.lines ELSE '[]' END) line
  WHERE line.value ->> 'id' IS NOT NULL
  GROUP BY 1, 2, 3, 4, 5, 6`;

/** The milliseconds since 1970 in a UUIDv7: SQLite reads no hexadecimal numbers, so it adds digits up. */
function millisecondsOf(id: string): string {
  const places = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13];
  const digits = places.map((place, i) => {
    return `${16 ** (places.length - 1 - i)} * (instr('0123456789abcdef', substr(${id}, ${place}, 1)) - 1)`;
  });
  return digits.join(' + ');
}
