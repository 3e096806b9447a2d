/**
 * How records are found: each value of an indexed field becomes a 48-bit key, kept beside the group and in the index.
 * Two values can share a key, so readers by key must compare the record itself.
 */
import type { DecisionRecord, NewDecisionRecord } from './decision-record.js';
import type { CommonMembers } from './group-text.js';

/** The fields that have an index, the most selective first; their order is part of the file format. */
export const indexedFields = {
  requestId: (record: NewDecisionRecord | DecisionRecord): string => record.requestId,
  subject: (record: NewDecisionRecord | DecisionRecord): string => record.request.subject.id,
  resource: (record: NewDecisionRecord | DecisionRecord): string => record.request.resource.id,
  caller: (record: NewDecisionRecord | DecisionRecord): string => record.caller,
  policyVersion: (record: NewDecisionRecord | DecisionRecord): string => record.policyVersion,
  policySet: (record: NewDecisionRecord | DecisionRecord): string => record.policySet,
  action: (record: NewDecisionRecord | DecisionRecord): string => record.request.action.name,
  reason: (record: NewDecisionRecord | DecisionRecord): string => record.reason.code,
  decision: (record: NewDecisionRecord | DecisionRecord): string => record.decision,
} as const;

/** What of a record has keys. */
export type KeyedRecord = Pick<
  NewDecisionRecord,
  'requestId' | 'request' | 'caller' | 'policyVersion' | 'policySet' | 'reason' | 'decision'
>;

export type IndexedField = keyof typeof indexedFields;
export const indexedFieldNames = Object.keys(indexedFields) as readonly IndexedField[];

export const keyBytes = 6;
/** Bytes of a key with the mask of its places. */
export const entryBytes = keyBytes + 2;

/**
 * The keys of a group, each with the places of the records that have it: bit n is set if a record with the key is at a place
 * p (from 0) with p mod 16 = n. 0 says that all records may have it.
 */
export type GroupKeys = Map<number, number>;

/** The keys of the indexed fields that are common to a group. */
export function commonKeys({ caller, policyVersion, policySet }: CommonMembers): GroupKeys {
  return new Map([
    [hash(4, caller), 0],
    [hash(5, policyVersion), 0],
    [hash(6, policySet), 0],
  ]);
}

/** Adds the keys of every indexed field of the record that is not the common one. `place`: which record of the group it is. */
export function addRecordKeys(
  record: KeyedRecord,
  common: Partial<Pick<CommonMembers, 'caller' | 'policyVersion' | 'policySet'>>,
  keys: GroupKeys,
  place: number,
): void {
  const { requestId, request, caller, policyVersion, policySet, reason, decision } = record;
  const { subject, resource, action } = request;
  const values = {
    requestId,
    subject: subject.id,
    resource: resource.id,
    caller,
    policyVersion,
    policySet,
    action: action.name,
    reason: reason.code,
    decision,
  };
  addKeysOf(values, common, keys, place);
}

/** The same, of the values of these fields. */
export function addKeysOf(
  values: { readonly [field in IndexedField]: string },
  common: Partial<Pick<CommonMembers, 'caller' | 'policyVersion' | 'policySet'>>,
  keys: GroupKeys,
  place: number,
): void {
  const { requestId, subject, resource, caller, policyVersion, policySet, action, reason, decision } = values;
  const bit = 1 << (place & 15);
  add(keys, hash(1, requestId), bit);
  add(keys, hash(2, subject), bit);
  add(keys, hash(3, resource), bit);
  if (caller !== common.caller) add(keys, hash(4, caller), bit);
  if (policyVersion !== common.policyVersion) add(keys, hash(5, policyVersion), bit);
  if (policySet !== common.policySet) add(keys, hash(6, policySet), bit);
  add(keys, hash(7, action), bit);
  add(keys, hash(8, reason), bit);
  add(keys, hash(9, decision), bit);
}

function add(keys: GroupKeys, key: number, bit: number): void {
  const places = keys.get(key);
  // Where all records may have it, they still may.
  if (places !== 0) keys.set(key, places === undefined ? bit : places | bit);
}

/** The key of one value, as it stands in the index. */
export function encodeKey(field: IndexedField, value: string): Buffer {
  return encodeKeys([hash(indexedFieldNames.indexOf(field) + 1, value)], 1);
}

/** `count` keys, each in `keyBytes` bytes. */
export function encodeKeys(keys: Iterable<number>, count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count * keyBytes);
  let at = 0;
  for (const key of keys) at = bytes.writeUIntBE(key, at, keyBytes);
  return bytes;
}

/** An entry of `entryBytes` for each key of a group of `count` records; where all may have it, each place is named. */
export function encodeEntries(keys: GroupKeys, count: number): Buffer {
  const everywhere = count >= 16 ? 0xffff : (1 << count) - 1;
  const bytes = Buffer.allocUnsafe(keys.size * entryBytes);
  let at = 0;
  for (const [key, mask] of keys) {
    at = bytes.writeUIntBE(key, at, keyBytes);
    at = bytes.writeUInt16BE(mask === 0 ? everywhere : mask, at);
  }
  return bytes;
}

/**
 * Adds the keys of a group to those of a row that has several; the masks are turned to the places that its records have there.
 *
 * @param place how many records of the row are before the group's
 */
export function addGroupKeys(row: GroupKeys, entries: Buffer, place: number): void {
  for (let at = 0; at < entries.length; at += entryBytes) {
    const key = entries.readUIntBE(at, keyBytes);
    const mask = entries.readUInt16BE(at + keyBytes);
    row.set(key, (row.get(key) ?? 0) | turned(mask, place & 15));
  }
}

/** The 16 bits of a mask, moved up by `places`; those that leave it at the top come in at the bottom. */
function turned(mask: number, places: number): number {
  return ((mask << places) | (mask >>> (16 - places))) & 0xffff;
}

/**
 * cyrb53's two multiply-and-rotate lanes over UTF-16 code units (public domain, by bryc), cut to 48 bits. The field's
 * number is the seed, so that a subject and a resource of one name stay apart. It is part of the file format.
 */
function hash(seed: number, text: string): number {
  let high = 0xdeadbeef ^ seed;
  let low = 0x41c6ce57 ^ seed;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    high = Math.imul(high ^ unit, 2654435761);
    low = Math.imul(low ^ unit, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return (low & 0xffff) * 0x100000000 + (high >>> 0);
}
