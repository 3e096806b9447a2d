/**
 * SHA-256 as the platform has it, handed to the core, which imports nothing of a platform. A bundle for browsers gets
 * `portable-sha-256.ts` in the place of this file: `browser` in package.json says so.
 */
import { createHash } from 'node:crypto';
import type { Sha256 } from '../core/policy/version.js';

export const sha256: Sha256 = (parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};
