import { VerdictError } from '../core/errors.js';
import type { Json } from '../core/request.js';
import type { DecisionFilters } from './decision-query.js';
import type { DecisionRecord } from './decision-record.js';
import { encodeKey, type IndexedField, indexedFieldNames, indexedFields } from './record-keys.js';

/** What a caller may see; with nothing named, everything. */
export interface SearchScope {
  readonly policySets?: readonly string[] | undefined;
}

/** A query as the search runs it: what a record must be, and what narrows down where to look. */
export interface RecordFilter {
  /** The values that fields must have, the most selective first. */
  readonly equal: readonly { readonly field: IndexedField; readonly value: string }[];
  /** Milliseconds since 1970; `from` is within, `to` is not. */
  readonly from: number | undefined;
  readonly to: number | undefined;
  /** In lower case (A–Z alone). */
  readonly q: string | undefined;
  readonly policySets: readonly string[] | undefined;
}

/** Throws VerdictError `invalid_request` when a time is not one. */
export function readFilter(query: DecisionFilters, scope: SearchScope): RecordFilter {
  const [onlySet, ...otherSets] = scope.policySets ?? [];
  const values: { readonly [field in IndexedField]?: string } =
    onlySet !== undefined && otherSets.length === 0 ? { ...query, policySet: query.policySet ?? onlySet } : query;
  return {
    equal: indexedFieldNames.flatMap((field) => {
      const value = values[field];
      return value === undefined ? [] : [{ field, value }];
    }),
    from: readTime(query.from, 'from'),
    to: readTime(query.to, 'to'),
    q: query.q === undefined || query.q === '' ? undefined : asciiLower(query.q),
    policySets: scope.policySets,
  };
}

/** The index keys of the filter, the most selective first. */
export function filterKeys(filter: RecordFilter): Buffer[] {
  return filter.equal.map(({ field, value }) => encodeKey(field, value));
}

/** The pattern for SQLite's LIKE that the text of every record with `q` in it matches (and some others). */
export function likePattern(q: string): string {
  return `%${inJson(q).replace(/[\\%_]/g, '\\$&')}%`;
}

/** The records among a group's texts that match, newest first. */
export function* matchingRecords(texts: string, filter: RecordFilter): Generator<DecisionRecord> {
  for (const { record } of matching(texts, filter)) yield record;
}

/** The same as their exact texts; where everything matches they are not even parsed. */
export function* matchingTexts(texts: string, filter: RecordFilter): Generator<string> {
  const { equal, from, to, q, policySets } = filter;
  if (equal.length === 0 && (from ?? to ?? q ?? policySets) === undefined) yield* texts.split('\n').reverse();
  else for (const { text } of matching(texts, filter)) yield text;
}

function* matching(texts: string, filter: RecordFilter): Generator<{ text: string; record: DecisionRecord }> {
  // A text that does not hold the first value anywhere need not be parsed.
  const [first] = filter.equal;
  const needle = first === undefined ? '' : JSON.stringify(first.value);
  const q = filter.q === undefined ? '' : inJson(filter.q);
  let end = texts.length;
  while (end > 0) {
    const hit = needle === '' ? end - 1 : texts.lastIndexOf(needle, end - 1);
    if (hit < 0) return;
    const start = texts.lastIndexOf('\n', hit) + 1;
    const newline = texts.indexOf('\n', hit);
    const text = texts.slice(start, newline < 0 || newline > end ? end : newline);
    end = start - 1;
    if (q !== '' && !asciiLower(text).includes(q)) continue;
    const record = JSON.parse(text) as DecisionRecord;
    if (matches(record, filter)) yield { text, record };
  }
}

export function maySee(record: DecisionRecord, scope: SearchScope): boolean {
  return scope.policySets === undefined || scope.policySets.includes(record.policySet);
}

function matches(record: DecisionRecord, filter: RecordFilter): boolean {
  const { equal, from, to, q } = filter;
  if (!maySee(record, filter as SearchScope)) return false;
  if (!equal.every(({ field, value }) => indexedFields[field](record) === value)) return false;
  if (from !== undefined || to !== undefined) {
    const time = Date.parse(record.time);
    if ((from !== undefined && time < from) || (to !== undefined && time >= to)) return false;
  }
  return q === undefined || mentions(record, q);
}

function mentions(record: DecisionRecord, q: string): boolean {
  const { id, caller, requestId, traceId = '', reason, request, search } = record;
  const { subject, action, resource, attributes = {} } = request;
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

function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

const rfc3339 = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

/** Milliseconds since 1970. Throws VerdictError `invalid_request` that points at the parameter. */
export function readTime(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const time = rfc3339.test(text) ? Date.parse(text.toUpperCase()) : Number.NaN;
  if (Number.isNaN(time)) {
    const detail = 'is not a time such as 2026-11-21T18:30:00Z';
    throw new VerdictError('invalid_request', `${name} ${detail}`, { errors: [{ pointer: `/${name}`, detail }] });
  }
  return time;
}
