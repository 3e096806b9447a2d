/**
 * What a journal that is shipped keeps beside a group, so that shipping it later, from the file, does not have to parse its
 * records again: that takes ten times as long as the rest. A column of its own, `shipping`, that readers of the file may
 * pass by; a group without it, or whose bytes are not those that were written, is read from its text (`groupOfText`).
 *
 *     byte 0        1, the form of what follows
 *     bytes 1–4     CRC-32 of the group's text, of `keys`, of the numbers in its row, and of all that follows here
 *     2 a key       the places of the records that have it, in the order of `keys` (record-keys.ts)
 *     the rest      JSON: the names that the counts use, then the counts, a minute, the places of five names and a number each
 *
 *     [["invoices","sha256:9f86…","allow","rule_allowed","billing"],[29406240,0,1,2,3,4,17]]
 */
import { crc32 } from 'node:zlib';
import type { GroupProof, JournalGroup } from '../journal-group.js';
import { entryBytes, keyBytes } from '../record-keys.js';
import { type TallyRow, tallyFields } from '../tally.js';

const form = 1;
const headBytes = 5;
const maskBytes = entryBytes - keyBytes;
const countedColumns = tallyFields.length + 2;

/** A row of `journal` with the column; its text as bytes. */
export interface FactsRow
  extends Pick<JournalGroup, 'first' | 'count' | 'since' | 'until' | 'idSince' | 'idUntil' | 'text'> {
  readonly keys: Buffer;
  readonly shipping: Buffer | null;
}

/** What proves a group, in a row of a file of format 3; null for one that was committed without. */
export interface ProofRow {
  readonly tree: string | null;
  readonly entry: number | null;
  readonly node: Buffer | null;
  readonly leaves: Buffer | null;
  readonly salts: Buffer | null;
}

export function proofOfRow({ tree, entry, node, leaves, salts }: ProofRow): GroupProof | undefined {
  if (tree === null || entry === null || node === null || leaves === null || salts === null) return undefined;
  return { tree, entry, node, leaves, salts };
}

/** @param keys as the journal keeps them: those of `group.entries` in their order */
export function encodeFacts(group: JournalGroup, keys: Buffer): Buffer {
  const { entries, tally } = group;
  const count = keys.length / keyBytes;
  const counts = Buffer.from(encodeTally(tally));
  const facts = Buffer.allocUnsafe(headBytes + count * maskBytes + counts.length);
  facts[0] = form;
  for (let i = 0; i < count; i++) {
    facts[headBytes + 2 * i] = entries[i * entryBytes + keyBytes]!;
    facts[headBytes + 2 * i + 1] = entries[i * entryBytes + keyBytes + 1]!;
  }
  counts.copy(facts, headBytes + count * maskBytes);
  facts.writeUInt32BE(checksum(group, keys, facts), 1);
  return facts;
}

/** The group as it was when it was committed; undefined where that must be read from its text. */
export function groupOfFacts(row: FactsRow): JournalGroup | undefined {
  const { first, count: records, since, until, idSince, idUntil, keys, shipping, text } = row;
  if (shipping === null || shipping.length < headBytes || shipping[0] !== form) return undefined;
  if (shipping.readUInt32BE(1) !== checksum(row, keys, shipping)) return undefined;
  const count = keys.length / keyBytes;
  const entries = Buffer.allocUnsafe(count * entryBytes);
  for (let i = 0, from = 0, at = 0; i < count; i++) {
    for (const end = from + keyBytes; from < end; ) entries[at++] = keys[from++]!;
    entries[at++] = shipping[headBytes + 2 * i]!;
    entries[at++] = shipping[headBytes + 2 * i + 1]!;
  }
  const tally = decodeTally(shipping.toString('utf8', headBytes + count * maskBytes));
  return { first, count: records, since, until, idSince, idUntil, entries, tally, text };
}

function checksum(row: Omit<FactsRow, 'keys' | 'shipping'>, keys: Buffer, facts: Buffer): number {
  const { first, count, since, until, idSince, idUntil, text } = row;
  const numbers = [first, count, since, until, idSince, idUntil].join();
  return crc32(facts.subarray(headBytes), crc32(numbers, crc32(keys, crc32(text))));
}

function encodeTally(rows: readonly TallyRow[]): string {
  const places = new Map<string, number>();
  const placeOf = (name: string): number => {
    const known = places.get(name);
    if (known !== undefined) return known;
    places.set(name, places.size);
    return places.size - 1;
  };
  const counts = rows.flatMap((row) => [row.minute, ...tallyFields.map((field) => placeOf(row[field])), row.count]);
  return JSON.stringify([[...places.keys()], counts]);
}

function decodeTally(json: string): TallyRow[] {
  // Sound: the checksum says that it is what `encodeTally` wrote.
  const [names, counts] = JSON.parse(json) as [string[], number[]];
  const rows: TallyRow[] = [];
  for (let at = 0; at < counts.length; at += countedColumns) {
    const [policySet, policyVersion, decision, reason, caller] = tallyFields.map((_, i) => names[counts[at + 1 + i]!]!);
    rows.push({
      minute: counts[at]!,
      policySet: policySet!,
      policyVersion: policyVersion!,
      decision: decision!,
      reason: reason!,
      caller: caller!,
      count: counts[at + countedColumns - 1]!,
    });
  }
  return rows;
}
