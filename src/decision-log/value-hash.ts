import { createHmac } from 'node:crypto';
import type { Json } from '../core/request.js';
import { canonicalJson } from './proof/canonical-json.js';

/** Gives the text that a record shows instead of a value: the same for the same value. */
export type ValueHash = (value: Json) => string;

const hashed = /^\[hash:[A-Za-z0-9_-]{22}\]$/;
const hashedLength = '[hash:]'.length + 22;

/** Whether a value is one that `valueHash` gave. */
export function isHashedValue(value: unknown): value is string {
  return typeof value === 'string' && value.length === hashedLength && hashed.test(value);
}

/**
 * Hashes values under a key: `[hash:…]` with the first 128 bits, in base64url, of the HMAC-SHA-256 of the value as RFC 8785 writes
 * it. Equal values have equal hashes wherever they are, and nobody can try values without the key.
 *
 *     valueHash(key)('078-05-1120')   →  '[hash:Zk3v…]'
 *
 * A hash stays as it is: what is stored is masked again when it is read. A caller who sends a text of this form can pretend
 * that its value was one of which it has seen the hash, and learns nothing.
 *
 * @param key 32 random bytes
 */
export function valueHash(key: Buffer): ValueHash {
  return (value) => {
    if (isHashedValue(value)) return value;
    const digest = createHmac('sha256', key).update(canonicalJson(value)).digest();
    return `[hash:${digest.toString('base64url', 0, 16)}]`;
  };
}
