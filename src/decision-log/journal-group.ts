import { idMilliseconds } from './decision-ids.js';
import { type BriefRecord, briefRecordsOf } from './group-text.js';
import { addRecordKeys, encodeEntries, type GroupKeys } from './record-keys.js';
import { Tally, type TallyRow } from './tally.js';

/** A group of the journal as it is shipped: its text, and what PostgreSQL keeps beside it. Times in milliseconds since 1970. */
export interface JournalGroup {
  /** The sequence of its first record, and how many there are. */
  readonly first: number;
  readonly count: number;
  /** The lowest and highest times of its records, and in their ids. */
  readonly since: number;
  readonly until: number;
  readonly idSince: number;
  readonly idUntil: number;
  /** Its keys, each with the places of the records that have it (`encodeEntries`), in no order. */
  readonly entries: Buffer;
  readonly tally: readonly TallyRow[];
  /** The records' texts (group-text.ts) in UTF-8. */
  readonly text: Buffer;
  /** Undefined for a group that was committed without. */
  readonly proof?: GroupProof | undefined;
}

/** What proves a group (docs/decision-log-proof.md). */
export interface GroupProof {
  /** The name of the writer's tree. */
  readonly tree: string;
  /** Its place in that tree. */
  readonly entry: number;
  /** The node that it completed. */
  readonly node: Buffer;
  readonly leaves: Buffer;
  readonly salts: Buffer;
}

/** Each record has keys of its own. */
const nothingCommon = {};

/**
 * Reads what is kept beside a group from its text: for a group that this process did not write itself. Records that cannot
 * be read (a damaged page) are found under no key and counted nowhere.
 *
 * @param first the sequence of the first record
 * @param written how many records there were, of a text of which nothing is left
 */
export function groupOfText(first: number, records: string, written?: number): JournalGroup {
  const keys: GroupKeys = new Map();
  const tally = new Tally();
  const bounds = { since: Number.MAX_SAFE_INTEGER, until: 0, idSince: Number.MAX_SAFE_INTEGER, idUntil: 0 };
  let last = first - 1;
  const take = (record: BriefRecord): void => {
    const { time } = record;
    last = Math.max(last, record.sequence);
    if (time === undefined) return;
    const idTime = idMilliseconds(record.id) ?? time;
    addRecordKeys(record, nothingCommon, keys, record.sequence - first);
    tally.add(record, time);
    bounds.since = Math.min(bounds.since, time);
    bounds.until = Math.max(bounds.until, time);
    bounds.idSince = Math.min(bounds.idSince, idTime);
    bounds.idUntil = Math.max(bounds.idUntil, idTime);
  };
  const stored = { first, records, ...(written !== undefined && { count: written }) };
  for (const record of briefRecordsOf(stored, (sequence) => {
    last = Math.max(last, sequence);
  })) {
    take(record);
  }
  if (bounds.until === 0) Object.assign(bounds, { since: 0, idSince: 0 });
  const count = last - first + 1;
  // A NUL, which PostgreSQL refuses, is in no record that was not damaged.
  const text = Buffer.from(records.replaceAll('\0', '\ufffd'));
  return { first, count, ...bounds, entries: encodeEntries(keys, count), tally: tally.rows(), text };
}

/** The id of the last record in a group's text; undefined where it cannot be read. */
export function lastIdOf(text: Buffer): string | undefined {
  const start = text.lastIndexOf('\n') + 1;
  return /^\{"id":"([0-9a-f-]{36})"/.exec(text.toString('latin1', start, start + 64))?.[1];
}

/** Whether a group's text begins with what its records share, and not with a record, as it once did. */
export function hasCommonLine(text: Buffer): boolean {
  return text.toString('latin1', 0, wholeRecord.length) !== wholeRecord;
}

const wholeRecord = '{"id":';

/** The group without the records up to the sequence `after`, which lies within it. */
export function groupBeyond({ first, text }: JournalGroup, after: number): JournalGroup {
  const lines = text.toString().split('\n');
  const hasCommon = hasCommonLine(text);
  const own = lines.slice((hasCommon ? 1 : 0) + after - first + 1);
  return groupOfText(after + 1, [...(hasCommon ? [lines[0]!] : []), ...own].join('\n'));
}
