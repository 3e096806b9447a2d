import { cursorRefusal, filterDigest, isOldCursor } from '../search-cursor.js';
import type { RecordPosition } from './record-position.js';

/** Where a page of the shared log ended. */
export interface SharedCursor {
  /** The next page has the records below this. */
  readonly below: RecordPosition;
  /** What the first page said of the log (`DecisionPage.completeTo`), in milliseconds since 1970; 0: nothing. */
  readonly completeTo: number;
}

/**
 * A cursor that any replica understands: it carries the name of the shared log, since a place means nothing in another one,
 * and a digest of the filters, since a place means nothing under others.
 */
export function encodeSharedCursor({ below, completeTo }: SharedCursor, filters: unknown, log: string): string {
  const { time, writer, sequence } = below;
  const text = ['3', time, writer, sequence, completeTo, filterDigest(filters), log].join(':');
  return Buffer.from(text).toString('base64url');
}

/**
 * Throws VerdictError `cursor_expired` for a cursor of version 0.1, and `invalid_request` for a text that is not a cursor, or
 * one of another log or other filters.
 */
export function decodeSharedCursor(cursor: string, filters: unknown, log: string): SharedCursor {
  if (isOldCursor(cursor)) {
    throw cursorRefusal('cursor_expired', 'was given out by an earlier version; begin at the first page again');
  }
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  const parts = grammar.exec(text);
  if (parts === null) {
    const isOfJournal = /^2:[0-9]{1,15}:[0-9a-f]{16}:/.test(text);
    throw cursorRefusal(
      'invalid_request',
      isOfJournal ? 'belongs to another decision log' : 'is not a cursor of this service',
    );
  }
  if (parts[6] !== log) throw cursorRefusal('invalid_request', 'belongs to another decision log');
  if (parts[5] !== filterDigest(filters)) {
    throw cursorRefusal('invalid_request', 'belongs to a query with other filters');
  }
  const [time, writer, sequence, completeTo] = parts.slice(1, 5).map(Number) as [number, number, number, number];
  return { below: { time, writer, sequence }, completeTo };
}

const grammar = /^3:([0-9]{1,15}):([0-9]{1,10}):([0-9]{1,16}):([0-9]{1,15}):([0-9a-f]{16}):([0-9a-f]{32})$/;
