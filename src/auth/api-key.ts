/**
 * The text of an API key: `vd_<environment>_<secret>_<checksum>`.
 *
 * By prefix and checksum, secret scanners and this service recognise a key without knowing any. The environment keeps a
 * key of one deployment from being used in another. The secret is 256 random bits, which cannot be guessed, so its
 * plain SHA-256 can be stored without a slow hash.
 */
import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** 62^43 > 2^256 */
const secretLength = 43;
/** 62^6 > 2^32 */
const checksumLength = 6;

const apiKey = /^vd_([a-z0-9]{1,16})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})$/;

/** A new key from the system's generator. This is the only time that its text exists. */
export function makeApiKey(environment: string): string {
  const secret = base62(BigInt(`0x${randomBytes(32).toString('hex')}`), secretLength);
  const body = `vd_${environment}_${secret}`;
  return `${body}_${checksumOf(body)}`;
}

/** The environment of a key; undefined if the text is not a key or its checksum is wrong. */
export function environmentOf(key: string): string | undefined {
  const match = apiKey.exec(key);
  return match !== null && checksumOf(key.slice(0, -checksumLength - 1)) === match[3] ? match[1] : undefined;
}

/** SHA-256 in hexadecimal: all that is ever kept of a key. */
export function digestOf(key: string): string {
  return hash('sha256', key);
}

/** CRC-32, against typing slips and for scanners. It does not protect the key. */
function checksumOf(body: string): string {
  return base62(BigInt(crc32(body)), checksumLength);
}

function base62(value: bigint, length: number): string {
  let digits = '';
  for (let rest = value; digits.length < length; rest /= 62n) digits = alphabet[Number(rest % 62n)] + digits;
  return digits;
}
