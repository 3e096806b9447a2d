/** Cursors of lists of live data: the last entry of a page, and which list it is of, sealed. */

import { cursorRefusal, filterDigest } from '../decision-log/search-cursor.js';
import type { SealedCursors } from './sealed-cursors.js';

interface List {
  readonly kind: 'roles' | 'entities';
  readonly set: string;
  readonly filter: object;
}

/** @param position the columns of a role link, or type and id of an entity */
export function sealPosition(cursors: SealedCursors, list: List, position: readonly string[]): string {
  // What is sealed has a byte for each character.
  return cursors.seal(Buffer.from(JSON.stringify([digestOf(list), ...position])).toString('latin1'));
}

/** @throws VerdictError `invalid_request` for a text that is not a cursor, or one of another list */
export function openPosition(cursors: SealedCursors, list: List, cursor: string): readonly string[] {
  const [digest, ...position] = textsOf(Buffer.from(cursors.open(cursor), 'latin1').toString());
  if (digest === digestOf(list)) return position;
  throw cursorRefusal('invalid_request', 'belongs to a list of another policy set, or with other filters');
}

function digestOf({ kind, set, filter }: List): string {
  const filters = Object.entries(filter).filter(([, value]) => value !== undefined);
  return filterDigest(['live data', kind, set, ...filters.sort()]);
}

/** A cursor of the decision log is sealed with the same key, and is none of these. */
function textsOf(text: string): readonly string[] {
  try {
    const texts: unknown = JSON.parse(text);
    return Array.isArray(texts) ? texts : [];
  } catch {
    return [];
  }
}
