/**
 * SHA-256 as the platform has it, handed to the core, which imports nothing of a platform. A bundle for browsers gets
 * `portable-sha-256.ts` in the place of this file: `browser` in package.json says so.
 */
import { createHash, hash as hashAtOnce } from 'node:crypto';
import type { Sha256 } from '../core/sha-256.js';

export const sha256: Sha256 = (parts) => {
  // Half the time for a short text, of which live data has one for each entry.
  if (Array.isArray(parts) && parts.length === 1) return hashAtOnce('sha256', parts[0] as string | Uint8Array, 'hex');
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};
