import { likePattern, type RecordFilter, scannedTexts } from '../record-filter.js';
import type { IndexedField } from '../record-keys.js';
import type { Candidate } from './candidates.js';
import type { LogTransaction } from './row-walk.js';
import type { CodedText } from './shared-keys.js';

/** A row whose text was read. */
export interface ReadRow {
  readonly candidate: Candidate;
  readonly records: string;
}

/** Fields whose value is in a record's own line always, never in the one of shared members. */
const ownFields: readonly IndexedField[] = ['requestId', 'subject', 'resource', 'action', 'reason', 'decision'];
/** Few records have a value of these, most of a row's lines do not. */
const rareFields: readonly IndexedField[] = ['requestId', 'subject', 'resource'];

/**
 * Reads the texts of rows, as far as they may hold a match: PostgreSQL looks for what is neither in the keys nor in the index.
 * Where few lines of a row match, it sends those alone and leaves the others empty: that is a fifth of the time that this
 * process would need for the whole text.
 *
 * @returns in the order of the candidates
 */
export async function readTexts(
  transaction: LogTransaction,
  candidates: readonly Candidate[],
  filter: RecordFilter,
): Promise<readonly ReadRow[]> {
  const days = new Map<string, Candidate[]>();
  for (const candidate of candidates) {
    const day = new Date(candidate.until).toISOString().slice(0, 10);
    const sameDay = days.get(day);
    if (sameDay === undefined) days.set(day, [candidate]);
    else sameDay.push(candidate);
  }
  const texts = new Map<string, string>();
  // A day at a time: a statement over all partitions would take longer to be planned than to be run.
  for (const [day, rows] of days) {
    for (const { writer, first, records } of await readDay(transaction, day, rows, filter)) {
      texts.set(`${writer}:${first}`, records);
    }
  }
  return candidates.flatMap((candidate) => {
    const records = texts.get(`${candidate.writer}:${candidate.first}`);
    return records === undefined ? [] : [{ candidate, records }];
  });
}

async function readDay(
  transaction: LogTransaction,
  day: string,
  rows: readonly Candidate[],
  filter: RecordFilter,
): Promise<readonly Pick<CodedText, 'writer' | 'first' | 'records'>[]> {
  const { client, table, keys } = transaction;
  const values: (string | readonly number[])[] = [
    day,
    rows.map(({ writer }) => writer),
    rows.map(({ first }) => first),
  ];
  const parameter = (value: string) => `$${values.push(value)}::text`;
  const conditions = scannedTexts(filter).map((text) => {
    return `strpos(g.records COLLATE "C", ${parameter(text)}) > 0`;
  });
  if (filter.q !== undefined) {
    // As SQLite's LIKE: A–Z match in either case, and no other letters.
    conditions.push(`lower(g.records COLLATE "C") LIKE ${parameter(likePattern(filter.q))}`);
  }
  // With OFFSET each row is looked up by its key. A join would be planned as one read of the whole day, with every text of it
  // looked through, since PostgreSQL takes no account of how long that takes.
  // One that is encrypted is looked through here.
  const rowsRead = await client.query<CodedText>(
    `SELECT g.writer, g.first, g.count, ${records(filter, parameter)} AS records, g.sealed, g.data_key
     FROM unnest($2::int4[], $3::int8[]) wanted (writer, first)
     CROSS JOIN LATERAL (
       SELECT r.writer, r.first, r.count, r.records, r.sealed, r.data_key FROM ${table('decision_group')} r
       WHERE r.day = $1::date AND r.writer = wanted.writer AND r.first = wanted.first OFFSET 0) g
     WHERE g.sealed IS NOT NULL OR (${['true', ...conditions].join(' AND ')})`,
    values,
  );
  return keys.decoded(transaction, rowsRead);
}

/** The text of a row, whole, or with those lines emptied that cannot match. Lines of shared members stay as they are. */
function records({ equal }: RecordFilter, parameter: (value: string) => string): string {
  const own = equal.filter(({ field }) => ownFields.includes(field));
  if (own.length < 2 && !own.some(({ field }) => rareFields.includes(field))) return 'g.records';
  const tests = own.map(({ value }) => `strpos(line COLLATE "C", ${parameter(JSON.stringify(value))}) > 0`);
  return `(SELECT string_agg(CASE WHEN NOT starts_with(line, '{"id":') OR ${tests.join(' AND ')} THEN line ELSE '' END,
    E'\\n' ORDER BY place) FROM unnest(string_to_array(g.records, E'\\n')) WITH ORDINALITY lines (line, place))`;
}
