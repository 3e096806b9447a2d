/**
 * Bytes in AES-256-GCM: a nonce of 12 random bytes, the ciphertext, a tag of 16.
 *
 * A key encrypts some millions of them at most, far from the 2^32 up to which random nonces of this length are taken to be
 * different (NIST SP 800-38D, 8.3). Counted nonces would repeat where a copy of a file is written on.
 */
import { createCipheriv, createDecipheriv, type KeyObject, randomFillSync } from 'node:crypto';

export const nonceBytes = 12;
const tagBytes = 16;
/** What sealing adds. */
export const sealBytes = nonceBytes + tagBytes;

let pool = Buffer.alloc(0);

/** One call to the system's generator gives the nonces of some hundred. */
function newNonce(): Buffer {
  if (pool.length < nonceBytes) pool = randomFillSync(Buffer.allocUnsafeSlow(340 * nonceBytes));
  const nonce = pool.subarray(0, nonceBytes);
  pool = pool.subarray(nonceBytes);
  return nonce;
}

/**
 * Encrypts `parts`, one behind the other.
 *
 * @param context where it belongs: nobody else's context opens it
 * @param nonce 12 bytes that were never used with the key; random ones where left out
 */
export function seal(
  key: KeyObject,
  context: Buffer,
  parts: readonly (Buffer | string)[],
  nonce: Buffer = newNonce(),
): Buffer {
  // In one piece: each call of the cipher costs about a microsecond.
  const plain = joined(parts);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(context);
  const encrypted = cipher.update(plain);
  cipher.final();
  const sealed = Buffer.allocUnsafe(encrypted.length + sealBytes);
  nonce.copy(sealed);
  encrypted.copy(sealed, nonceBytes);
  cipher.getAuthTag().copy(sealed, nonceBytes + encrypted.length);
  return sealed;
}

function joined(parts: readonly (Buffer | string)[]): Buffer {
  const lengths = parts.map((part) => Buffer.byteLength(part));
  const bytes = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const [i, part] of parts.entries()) {
    if (typeof part === 'string') bytes.write(part, at);
    else part.copy(bytes, at);
    at += lengths[i]!;
  }
  return bytes;
}

/** What was sealed; undefined where a bit of it, or its context, is another. */
export function unseal(key: KeyObject, context: Buffer, sealed: Buffer): Buffer | undefined {
  if (sealed.length < sealBytes) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes))
    .setAAD(context)
    .setAuthTag(sealed.subarray(-tagBytes));
  const bytes = decipher.update(sealed.subarray(nonceBytes, -tagBytes));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return bytes;
}
