/**
 * Signatures of archives and indexes: JWS (RFC 7515) by Ed25519 or ES256. `typ` says what was signed, so neither can pass
 * for the other; `kid` says by which key; the key says by which algorithm.
 *
 *     archive   a detached signature in the compact form, `<protected>..<signature>`, in a file beside the archive. The
 *               payload is the archive itself and not its base64 (RFC 7797, `"b64": false`)
 *     index     the flattened JSON form, `{"protected": …, "payload": …, "signature": …}`: one file, so an index and its
 *               signature cannot be of different times
 */
import { errors, type FlattenedJWS, FlattenedSign, flattenedVerify } from 'jose';
import { BundleError } from './bundle-error.js';
import type { BundleKeys, SigningKey, VerificationKey } from './bundle-keys.js';

const types = { archive: 'verdict-bundle', index: 'verdict-bundle-index' } as const;
type Signed = keyof typeof types;

/** Largest signature of an archive in bytes. */
export const maxSignatureBytes = 4_096;

export async function signArchive(archive: Uint8Array, { kid, algorithm: alg, key }: SigningKey): Promise<string> {
  const jws = await new FlattenedSign(archive)
    .setProtectedHeader({ alg, kid, typ: types.archive, b64: false, crit: ['b64'] })
    .sign(key);
  return `${jws.protected}..${jws.signature}`;
}

/**
 * @param name of the archive, for messages
 * @returns the id of the key
 * @throws BundleError `bundle_signature_invalid`, `bundle_key_unknown`
 */
export async function verifyArchive(
  archive: Uint8Array,
  signature: string,
  keys: BundleKeys,
  name: string,
): Promise<string> {
  const what = `the signature of ${name}`;
  const [, header, value] = /^([\w-]+)\.\.([\w-]+)\s*$/.exec(signature) ?? [];
  if (header === undefined || value === undefined) throw invalid(what, 'it is not a detached JWS');
  const key = keyFor(header, 'archive', keys, what);
  await verify({ protected: header, payload: archive, signature: value }, key, what);
  return key.kid;
}

/** The text of a signed `index.json`. */
export async function signIndex(index: string, { kid, algorithm: alg, key }: SigningKey): Promise<string> {
  const {
    payload,
    protected: header,
    signature,
  } = await new FlattenedSign(Buffer.from(index)).setProtectedHeader({ alg, kid, typ: types.index }).sign(key);
  return `${JSON.stringify({ protected: header, payload, signature }, null, 2)}\n`;
}

/**
 * The index in a text that is, or is not, signed.
 *
 * @param keys undefined: no signature is asked for, and none is looked at
 * @throws BundleError `bundle_unsigned`, `bundle_signature_invalid`, `bundle_key_unknown`, `bundle_index_invalid`
 */
export async function verifiedIndex(
  text: string,
  keys: BundleKeys | undefined,
): Promise<{ readonly text: string; readonly isSigned: boolean }> {
  const what = 'the signature of the index';
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new BundleError('bundle_index_invalid', 'the index is refused: it is not JSON');
  }
  const isObject = typeof parsed === 'object' && parsed !== null;
  const jws = (isObject ? parsed : {}) as Record<string, unknown>;
  if (!('payload' in jws) || !('signature' in jws)) {
    if (keys === undefined) return { text, isSigned: false };
    throw new BundleError('bundle_unsigned', 'the index is not signed', { hint: unsignedHint });
  }
  const { protected: header, payload, signature } = jws;
  if (typeof header !== 'string' || typeof payload !== 'string' || typeof signature !== 'string') {
    throw invalid(what, 'it is not a JWS in the flattened form');
  }
  if (keys !== undefined) {
    await verify({ protected: header, payload, signature }, keyFor(header, 'index', keys, what), what);
  }
  return { text: Buffer.from(payload, 'base64url').toString('utf8'), isSigned: true };
}

export const unsignedHint = 'push it with the key that VERDICT_BUNDLE_KEYS has the public part of';

/** The key that a header names; what else the header says is held against that key. */
function keyFor(header: string, signed: Signed, keys: BundleKeys, what: string): VerificationKey {
  let read: Record<string, unknown>;
  try {
    read = JSON.parse(Buffer.from(header, 'base64url').toString('utf8')) as Record<string, unknown>;
  } catch {
    throw invalid(what, 'its header is not JSON');
  }
  const { kid, alg, typ, b64 } = read ?? {};
  if (typ !== types[signed]) throw invalid(what, `its typ is not ${types[signed]}: something else was signed`);
  if (b64 !== (signed === 'archive' ? false : undefined))
    throw invalid(what, 'b64 of its header is not as it should be');
  const key = typeof kid === 'string' ? keys.find(kid) : undefined;
  if (key === undefined) {
    const named = typeof kid === 'string' ? `the key ${JSON.stringify(kid.slice(0, 64))}` : 'no key';
    throw new BundleError(
      'bundle_key_unknown',
      `${what} names ${named}, and the keys that count are ${keys.ids.join(', ')}`,
    );
  }
  if (typeof alg !== 'string' || !key.algorithms.includes(alg)) {
    throw invalid(what, `its alg is not ${key.algorithms.join(' or ')}, as the key ${key.kid} wants`);
  }
  return key;
}

async function verify(
  jws: FlattenedJWS | (Omit<FlattenedJWS, 'payload'> & { payload: Uint8Array }),
  key: VerificationKey,
  what: string,
): Promise<void> {
  try {
    await flattenedVerify(jws, key.key, { algorithms: [...key.algorithms] });
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    throw invalid(what, `it is not one of the key ${key.kid} over these bytes`);
  }
}

function invalid(what: string, message: string): BundleError {
  return new BundleError('bundle_signature_invalid', `${what} is refused: ${message}`);
}
