/** Where a search goes on (section 8.2). The token holds it, so nothing is stored between two pages. */
import { hash } from 'node:crypto';
import type { Json } from '../core/request.js';
import { VerdictError } from '../errors.js';

export interface PagePlace {
  /** The last candidate that was examined; undefined if none was. */
  readonly after: string | undefined;
  /** The limit of the first page, used if a later request has none. */
  readonly limit: number;
}

/**
 * A token holds a digest of its query and is not encrypted: it shows nothing that its owner has not seen in a page, and
 * a forged token only starts a page elsewhere.
 */
export function pageToken({ after, limit }: PagePlace, query: Json): string {
  return Buffer.from(JSON.stringify([digestOf(query), limit, after ?? null])).toString('base64url');
}

/** @throws VerdictError `invalid_request` for a token that is made up, or was given for another query */
export function readPageToken(token: string, query: Json): PagePlace {
  const [digest, limit, after] = parse(token);
  const isPlace = Number.isInteger(limit) && (limit as number) >= 0 && (after === null || typeof after === 'string');
  if (!isPlace) throw refused('is not one that this service gave');
  if (digest !== digestOf(query)) throw refused('was given for another search; only page may differ from it');
  return { after: (after as string | null) ?? undefined, limit: limit as number };
}

export function refused(detail: string): VerdictError {
  return new VerdictError('invalid_request', `The request is not valid: page.token ${detail}.`, {
    errors: [{ pointer: '/page/token', detail: `page.token ${detail}` }],
  });
}

function parse(token: string): unknown[] {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    return Array.isArray(parsed) ? parsed : [];
  } catch {
    return [];
  }
}

/** The order of members says nothing (section 10.1.1), so it must not change the digest. */
function digestOf(query: Json): string {
  return hash('sha256', JSON.stringify(query, sortMembers), 'base64url').slice(0, 22);
}

function sortMembers(_name: string, value: Json): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
