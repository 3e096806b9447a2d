import { createHash } from 'node:crypto';
import { VerdictError } from '../core/errors.js';

/**
 * Where a page ended: the sequence below which the next one begins. New records have higher sequences, so a page never
 * shifts. It carries a digest of the filters, for a position means nothing under others.
 */
export function encodeCursor(before: number, filters: unknown): string {
  return Buffer.from(`1:${before}:${digest(filters)}`).toString('base64url');
}

/** Throws VerdictError `invalid_request` for a text that is no cursor, or that belongs to other filters. */
export function decodeCursor(cursor: string, filters: unknown): number {
  const parts = /^1:([1-9][0-9]{0,14}):([0-9a-f]{16})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
  if (parts === null) throw invalidCursor('is not a cursor of this service');
  if (parts[2] !== digest(filters)) throw invalidCursor('belongs to a query with other filters');
  return Number(parts[1]);
}

function invalidCursor(detail: string): VerdictError {
  return new VerdictError('invalid_request', `cursor ${detail}`, { errors: [{ pointer: '/cursor', detail }] });
}

function digest(filters: unknown): string {
  return createHash('sha256').update(JSON.stringify(filters)).digest('hex').slice(0, 16);
}
