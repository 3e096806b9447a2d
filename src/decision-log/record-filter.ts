import type { Json, JsonObject } from '../core/request.js';
import { readTimeRange } from '../query/time-range.js';
import type { Turns } from '../turns/turns.js';
import type { DecisionFilters } from './decision-query.js';
import type { DecisionRecord } from './decision-record.js';
import { recordsOf, type StoredGroup, type TextTest } from './group-text.js';
import { relationTo, textsOfPerson } from './person.js';
import { encodeKey, type IndexedField, indexedFieldNames, indexedFields } from './record-keys.js';
import type { RecordedVersions } from './recorded-entities.js';

/** The records that a caller may see; without `policySets`, all. */
export interface SearchScope {
  readonly policySets?: readonly string[] | undefined;
  /** Where the versions are that records name, for conditions and `expand`; without it none is there. */
  readonly versions?: RecordedVersions | undefined;
}

/** How records are compared without an index. */
interface ScannedTest {
  /** A text that each group has which holds a record with this value. */
  readonly text: (value: string) => string;
  readonly test: (record: DecisionRecord, value: string) => boolean;
}

/** Fields that are compared without an index: the texts of groups are read through within the budget of a page. */
const scannedFields = {
  traceId: { text: (value) => memberText('traceId', value), test: ({ traceId }, value) => traceId === value },
  instance: { text: (value) => memberText('instance', value), test: ({ instance }, value) => instance === value },
  via: { text: (value) => memberText('via', value), test: ({ via }, value) => via === value },
  subjectType: {
    text: (value) => memberText('type', value),
    test: ({ request }, value) => request.subject.type === value,
  },
  resourceType: {
    text: (value) => memberText('type', value),
    test: ({ request }, value) => request.resource.type === value,
  },
  obligation: {
    text: (value) => JSON.stringify(value),
    test: ({ obligations }, value) => obligations.some((obligation) => isCalled(obligation, value)),
  },
  disputed: { text: () => '"disputed":{', test: ({ disputed }) => disputed !== undefined },
} as const satisfies Readonly<Record<string, ScannedTest>>;
type ScannedField = keyof typeof scannedFields;
const scannedFieldNames = Object.keys(scannedFields) as readonly ScannedField[];

/** True for a text that is the name, and an object whose `id` or `type` it is, or that has a member of this name. */
function isCalled(obligation: Json, name: string): boolean {
  if (obligation === null || typeof obligation !== 'object' || Array.isArray(obligation)) return obligation === name;
  const { id, type } = obligation as JsonObject;
  return id === name || type === name || Object.hasOwn(obligation, name);
}

/** A query as the search runs it: what a record must be, and what narrows down where to look. */
export interface RecordFilter {
  /** The values that fields must have, the most selective first. */
  readonly equal: readonly { readonly field: IndexedField; readonly value: string }[];
  /** The values that fields without an index must have. */
  readonly scanned: readonly { readonly field: ScannedField; readonly value: string }[];
  /** Milliseconds since 1970; `from` is within, `to` is not. */
  readonly from: number | undefined;
  readonly to: number | undefined;
  /** In lower case (A–Z alone). */
  readonly q: string | undefined;
  /** The id of a person whom records must be about, or name. */
  readonly about: string | undefined;
  readonly policySets: readonly string[] | undefined;
}

/** Throws VerdictError `invalid_request` for a time, day or zone that does not exist. */
export function readFilter(query: DecisionFilters, scope: SearchScope): RecordFilter {
  const [onlySet, ...otherSets] = scope.policySets ?? [];
  const values: { readonly [field in IndexedField]?: string } =
    onlySet !== undefined && otherSets.length === 0 ? { ...query, policySet: query.policySet ?? onlySet } : query;
  const { from, to } = readTimeRange(query);
  return {
    equal: indexedFieldNames.flatMap((field) => {
      const value = values[field];
      return value === undefined ? [] : [{ field, value }];
    }),
    scanned: scannedFieldNames.flatMap((field) => {
      const value = query[field];
      return value === undefined ? [] : [{ field, value }];
    }),
    from,
    to,
    q: query.q === undefined || query.q === '' ? undefined : asciiLower(query.q),
    about: query.about,
    policySets: scope.policySets,
  };
}

/** The filter with further values that fields must have. */
export function withImplied(
  filter: RecordFilter,
  implied: readonly { readonly field: IndexedField | 'via'; readonly value: string }[],
): RecordFilter {
  if (implied.length === 0) return filter;
  const equal = [...filter.equal];
  const scanned = [...filter.scanned];
  for (const { field, value } of implied) {
    if (field === 'via') scanned.push({ field, value });
    else equal.push({ field, value });
  }
  equal.sort((a, b) => indexedFieldNames.indexOf(a.field) - indexedFieldNames.indexOf(b.field));
  return { ...filter, equal, scanned };
}

/** The index keys of the filter, the most selective first. */
export function filterKeys(filter: RecordFilter): Buffer[] {
  return filter.equal.map(({ field, value }) => encodeKey(field, value));
}

/** True if the texts of groups must be read to find those that may hold a match. */
export function readsTexts({ q, about, scanned }: RecordFilter): boolean {
  return q !== undefined || about !== undefined || scanned.length > 0;
}

/** Texts that every group has which holds a record with the values of fields without an index, and of a person. */
export function scannedTexts({ scanned, about }: RecordFilter): string[] {
  const texts = scanned.map(({ field, value }) => scannedFields[field].text(value));
  const ofPerson = about === undefined ? [] : textsOfPerson(about);
  // Of several texts any may be there.
  return ofPerson.length === 1 ? [...texts, ofPerson[0]!] : texts;
}

/** How a member of this value stands in the text of a record. */
function memberText(field: string, value: string): string {
  return `${JSON.stringify(field)}:${JSON.stringify(value)}`;
}

/**
 * The records of a group that match, newest first. Ends the turn whenever it is over, since records can be large.
 *
 * @param more further tests that a record's text must pass before it is parsed
 */
export async function* matchingRecords(
  group: StoredGroup,
  filter: RecordFilter,
  turns: Turns,
  unreadable: (sequence: number) => void = () => undefined,
  more: readonly TextTest[] = [],
): AsyncGenerator<DecisionRecord> {
  const tests: TextTest[] = [...more];
  // Parsing a record takes far longer than seeing that it cannot match.
  for (const { value } of filter.equal) {
    const text = JSON.stringify(value);
    tests.push((line) => line.includes(text));
  }
  for (const text of scannedTexts(filter)) tests.push((line) => line.includes(text));
  if (filter.about !== undefined) {
    const texts = textsOfPerson(filter.about);
    tests.push((line) => texts.some((text) => line.includes(text)));
  }
  if (filter.q !== undefined) {
    const q = inJson(filter.q);
    tests.push((text) => asciiLower(text).includes(q));
  }
  if (turns.isOver) await turns.next();
  for (const record of recordsOf(group, tests, unreadable)) {
    if (matchesFilter(record, filter)) yield record;
    if (turns.isOver) await turns.next();
  }
}

export function maySee(record: DecisionRecord, scope: SearchScope): boolean {
  return scope.policySets === undefined || scope.policySets.includes(record.policySet);
}

/** Whether a record passes the filters of a query. */
export function matchesFilter(record: DecisionRecord, filter: RecordFilter): boolean {
  const { equal, scanned, from, to, q, about } = filter;
  if (!maySee(record, filter as SearchScope)) return false;
  if (!scanned.every(({ field, value }) => scannedFields[field].test(record, value))) return false;
  if (!equal.every(({ field, value }) => indexedFields[field](record) === value)) return false;
  if (from !== undefined || to !== undefined) {
    const time = Date.parse(record.time);
    if ((from !== undefined && time < from) || (to !== undefined && time >= to)) return false;
  }
  if (about !== undefined && relationTo(record, about) === undefined) return false;
  return q === undefined || mentions(record, q);
}

function mentions(record: DecisionRecord, q: string): boolean {
  const { id, caller, requestId, traceId = '', reason, request, search } = record;
  const { subject, action, resource, attributes = {}, tokens = {} } = request;
  const searched = [
    id,
    caller,
    requestId,
    traceId,
    reason,
    subject,
    action,
    resource,
    attributes,
    tokens,
    search?.results ?? [],
  ];
  return searched.some((value) => holds(value as Json, q));
}

function holds(value: Json, q: string): boolean {
  if (typeof value === 'string') return asciiLower(value).includes(q);
  if (value === null || typeof value !== 'object') return String(value).includes(q);
  return Object.values(value).some((member) => holds(member, q));
}

/** Only A–Z, as SQLite's LIKE does it: otherwise the two would disagree about a record. */
function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** How a text is written within the JSON of a record: without the quotes around it. */
export function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/** The pattern for SQL's LIKE that the text of every record with `q` in it matches (and some others). */
export function likePattern(q: string): string {
  return `%${inJson(q).replace(/[\\%_]/g, '\\$&')}%`;
}
