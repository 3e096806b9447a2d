import { idMilliseconds, idWriter } from '../decision-ids.js';
import type { DecisionRecord } from '../decision-record.js';
import { recordsOf, type StoredGroup } from '../group-text.js';
import { maySee, type SearchScope } from '../record-filter.js';
import { type LogTransaction, readDays } from './row-walk.js';
import { type CodedText, textColumns } from './shared-keys.js';

const dayMs = 86_400_000;
/**
 * The most that the ids of a row span which spans a second at most, and the most that a record's time is from its id, where the
 * id does not say whose it is; in milliseconds.
 */
const idSpanMs = 2_000;

/**
 * The record with this id, when `scope` lets it be seen. The id has a millisecond in it and 30 bits of its writer, which some
 * writers can share, and a journal that was given new ones keeps its records: rows of other writers are looked at last,
 * by their time.
 */
export async function lookUpRecord(
  transaction: LogTransaction,
  id: string,
  scope: SearchScope,
): Promise<DecisionRecord | undefined> {
  const milliseconds = idMilliseconds(id);
  if (milliseconds === undefined) return undefined;
  const { client, table } = transaction;
  const named = await client.query<{ writer: number }>(
    `SELECT writer FROM ${table('decision_writer')} WHERE id_writer = $1::int4`,
    [idWriter(id)!],
  );
  const writers = named.map(({ writer }) => writer);
  const days = await readDays(transaction);
  const near = days.filter((day) => Math.abs(Date.parse(day) - milliseconds) <= 2 * dayMs);
  // After a clock was set back, the times of records are far from those in their ids. To look at each day takes a while, which
  // ids that nobody gave out are not worth.
  const far = writers.length === 0 ? [] : days.filter((day) => !near.includes(day));
  const found =
    (await readWithId(transaction, near, id, milliseconds, ofWriters, writers)) ??
    (await readWithId(transaction, far, id, milliseconds, ofWriters, writers)) ??
    (await readWithId(transaction, near, id, milliseconds, ofTime, []));
  return found !== undefined && maySee(found, scope) ? found : undefined;
}

const ofWriters = 'writer = ANY ($6::int4[]) AND id_until <= $3::int8 + $5::int8';
const ofTime = 'writer <> ALL ($6::int4[]) AND until BETWEEN $3::int8 - $5::int8 AND $3::int8 + $5::int8';

/** Looks at the rows of a condition, and at all that span long. */
async function readWithId(
  transaction: LogTransaction,
  days: readonly string[],
  id: string,
  milliseconds: number,
  condition: string,
  writers: readonly number[],
): Promise<DecisionRecord | undefined> {
  if (days.length === 0) return undefined;
  const { client, table, keys } = transaction;
  const rows = (further: string) => `SELECT ${textColumns} FROM ${table('decision_group')}
    WHERE day BETWEEN $1::date AND $2::date AND id_until >= $3::int8 AND id_since <= $3::int8
      AND (sealed IS NOT NULL OR strpos(records COLLATE "C", $4::text) > 0) AND ${further}`;
  const found = await client.query<CodedText>(`${rows(condition)} UNION ALL ${rows('until - since > 1000')}`, [
    days.at(-1)!,
    days[0]!,
    milliseconds,
    `"id":"${id}"`,
    idSpanMs,
    writers,
  ]);
  return recordIn(await keys.decoded(transaction, found), id);
}

function recordIn(rows: readonly StoredGroup[], id: string): DecisionRecord | undefined {
  for (const row of rows) {
    for (const record of recordsOf(row, [(text) => text.includes(id)], () => undefined)) {
      // Another record may name the id in an attribute.
      if (record.id === id) return record;
    }
  }
  return undefined;
}

/** A writer that may still ship a record of this millisecond. */
export interface LateWriter {
  readonly writer: number;
  readonly instance: string;
  /** Milliseconds since 1970: every record from before is shipped. */
  readonly completeTo: number;
}

/** What is known of the writer that an id names. */
export interface NamedWriter {
  readonly isKnown: boolean;
  /** Given if it may still ship the record. */
  readonly late: LateWriter | undefined;
}

/**
 * Looks up the writer that an id names; the id is a UUIDv7.
 *
 * @param own the number of the own writer, which has been looked at
 */
export async function lookUpWriter(
  { client, table }: LogTransaction,
  id: string,
  own: number | undefined,
): Promise<NamedWriter> {
  const rows = await client.query<LateWriter & { readonly late: boolean }>(
    `SELECT writer, instance, complete_to AS "completeTo", state = 'running' AND complete_to <= $2::int8 AS late
     FROM ${table('decision_writer')} WHERE id_writer = $1::int4 ORDER BY complete_to`,
    [idWriter(id)!, idMilliseconds(id)!],
  );
  const late = rows.find((row) => row.late && row.writer !== own);
  return { isKnown: rows.length > 0, late };
}
