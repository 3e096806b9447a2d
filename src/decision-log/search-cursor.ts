import { createHash } from 'node:crypto';
import { invalidParameter, VerdictError } from '../errors.js';

/**
 * Where a page ended: the sequence below which the next one begins. New records have higher sequences, so a page never
 * shifts. A cursor carries the name of its journal, since a sequence means nothing in another one, and a digest of the
 * filters, since a position means nothing under others.
 */
export function encodeCursor(before: number, filters: unknown, journal: string | undefined): string {
  return Buffer.from(`2:${before}:${filterDigest(filters)}:${journal}`).toString('base64url');
}

/**
 * Throws VerdictError `cursor_expired` for a cursor of version 0.1, which named no journal, and `invalid_request` for a
 * text that is not a cursor, or one of another journal or other filters.
 */
export function decodeCursor(cursor: string, filters: unknown, journal: string | undefined): number {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  if (isOldCursor(cursor)) {
    throw cursorRefusal('cursor_expired', 'was given out by an earlier version; begin at the first page again');
  }
  const parts = /^2:([1-9][0-9]{0,14}):([0-9a-f]{16}):([0-9a-z-]{1,64})$/.exec(text);
  if (parts === null) throw cursorRefusal('invalid_request', 'is not a cursor of this service');
  if (parts[3] !== journal) throw cursorRefusal('invalid_request', 'belongs to another decision log');
  if (parts[2] !== filterDigest(filters))
    throw cursorRefusal('invalid_request', 'belongs to a query with other filters');
  return Number(parts[1]);
}

/** True for a cursor of version 0.1. */
export function isOldCursor(cursor: string): boolean {
  return /^1:[1-9][0-9]{0,14}:[0-9a-f]{16}$/.test(Buffer.from(cursor, 'base64url').toString('latin1'));
}

/** The refusal of the parameter `cursor`; `fault` ends a sentence that begins with its name. */
export function cursorRefusal(code: 'cursor_expired' | 'invalid_request', fault: string): VerdictError {
  return invalidParameter('cursor', fault, code);
}

/** 64 bits that tell one set of filters from another. */
export function filterDigest(filters: unknown): string {
  return createHash('sha256').update(JSON.stringify(filters)).digest('hex').slice(0, 16);
}
