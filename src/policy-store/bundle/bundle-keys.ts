/** The public keys whose signatures count, and the private key that signs. */
import { createPrivateKey, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { BundleError } from './bundle-error.js';

export interface VerificationKey {
  /** That of the JWK, else its thumbprint (RFC 7638). */
  readonly kid: string;
  /** The key alone says by which algorithm it verifies; what a signature says must be among these. */
  readonly algorithms: readonly string[];
  readonly key: KeyObject;
}

export interface SigningKey {
  readonly kid: string;
  readonly algorithm: string;
  readonly key: KeyObject;
  /** What verifies its signatures. */
  readonly verification: VerificationKey;
}

/** Public keys by their ids. */
export class BundleKeys {
  private constructor(private readonly byId: ReadonlyMap<string, VerificationKey>) {}

  static of(keys: readonly VerificationKey[]): BundleKeys {
    return new BundleKeys(new Map(keys.map((key) => [key.kid, key])));
  }

  /**
   * Reads keys from texts: public keys in PEM, as many as there are, a JWK or a JWKS. Of a JWKS, keys of other kinds are
   * left out, as RFC 7517 section 5 asks.
   *
   * @throws BundleError `bundle_keys_invalid`
   */
  static async read(texts: readonly { readonly place: string; readonly text: string }[]): Promise<BundleKeys> {
    const byId = new Map<string, VerificationKey>();
    for (const { place, text } of texts) {
      const keys = await keysIn(text, place);
      if (keys.length === 0) throw keysInvalid(place, 'it holds no Ed25519 or P-256 public key');
      for (const key of keys) {
        const twin = byId.get(key.kid);
        if (twin !== undefined && !twin.key.equals(key.key))
          throw keysInvalid(place, `two keys have the id ${key.kid}`);
        byId.set(key.kid, key);
      }
    }
    return new BundleKeys(byId);
  }

  find(kid: string): VerificationKey | undefined {
    return this.byId.get(kid);
  }

  /** A text that changes when keys come, go or change. */
  get fingerprint(): string {
    const of = ({ kid, key }: VerificationKey) => `${kid} ${key.export({ type: 'spki', format: 'pem' })}`;
    return [...this.byId.values()].map(of).sort().join();
  }

  /** In order. */
  get ids(): readonly string[] {
    return [...this.byId.keys()].sort();
  }
}

/**
 * Reads the key that signs: Ed25519 or P-256, in PEM or as a JWK.
 *
 * @throws BundleError `bundle_keys_invalid`; nothing of the text is in the message
 */
export async function readSigningKey(text: string, place: string): Promise<SigningKey> {
  let key: KeyObject;
  let kid: string | undefined;
  try {
    if (text.trimStart().startsWith('{')) {
      const jwk = JSON.parse(text) as JsonWebKey;
      key = createPrivateKey({ key: jwk, format: 'jwk' });
      kid = idOf(jwk);
    } else key = createPrivateKey(text);
  } catch {
    throw keysInvalid(place, 'it is not a private key in PEM or as a JWK');
  }
  const verification = await verificationKey(createPublicKey(key), kid);
  const [algorithm] = verification?.algorithms ?? [];
  if (verification === undefined || algorithm === undefined) {
    throw keysInvalid(place, 'the key that signs must be Ed25519 or on the curve P-256');
  }
  return { kid: verification.kid, algorithm, key, verification };
}

async function keysIn(text: string, place: string): Promise<VerificationKey[]> {
  return text.trimStart().startsWith('{') ? keysOfJson(text, place) : keysOfPem(text, place);
}

async function keysOfPem(text: string, place: string): Promise<VerificationKey[]> {
  const keys: VerificationKey[] = [];
  for (const [block] of text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----/g)) {
    if (block.includes('PRIVATE KEY')) throw keysInvalid(place, privateKey);
    let key: VerificationKey | undefined;
    try {
      key = await verificationKey(createPublicKey(block), undefined);
    } catch {
      throw keysInvalid(place, 'it holds a block that is not a public key');
    }
    if (key === undefined) throw keysInvalid(place, 'a key is neither Ed25519 nor on the curve P-256');
    keys.push(key);
  }
  return keys;
}

const privateKey = 'it holds a private key; put the public one here, and keep the private one with what signs';

async function keysOfJson(text: string, place: string): Promise<VerificationKey[]> {
  let read: { keys?: unknown } & JsonWebKey;
  try {
    read = JSON.parse(text) as typeof read;
  } catch {
    throw keysInvalid(place, 'it is not JSON');
  }
  const list: unknown = read.keys ?? [read];
  if (!Array.isArray(list)) throw keysInvalid(place, 'its keys are not a list');
  const keys: VerificationKey[] = [];
  for (const jwk of list as JsonWebKey[]) {
    if (typeof jwk !== 'object' || jwk === null) throw keysInvalid(place, 'one of its keys is not an object');
    if (jwk.d !== undefined || jwk.k !== undefined) throw keysInvalid(place, privateKey);
    if (jwk.use !== undefined && jwk.use !== 'sig') continue;
    let key: KeyObject;
    try {
      key = createPublicKey({ key: jwk, format: 'jwk' });
    } catch {
      continue;
    }
    const verification = await verificationKey(key, idOf(jwk));
    if (verification === undefined) continue;
    const { alg } = jwk as { alg?: unknown };
    if (alg !== undefined && !verification.algorithms.includes(alg as string)) continue;
    keys.push(verification);
  }
  return keys;
}

/** Undefined for a key of another kind. */
async function verificationKey(key: KeyObject, kid: string | undefined): Promise<VerificationKey | undefined> {
  const algorithms = algorithmsOf(key);
  if (algorithms === undefined) return undefined;
  return Object.freeze({ kid: kid ?? (await calculateJwkThumbprint(await exportJWK(key))), algorithms, key });
}

/** The first one is written. RFC 9864 gave EdDSA on this curve a name of its own, which few verifiers know so far. */
function algorithmsOf(key: KeyObject): readonly string[] | undefined {
  if (key.asymmetricKeyType === 'ed25519') return ['EdDSA', 'Ed25519'];
  const isP256 = key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
  return isP256 ? ['ES256'] : undefined;
}

function idOf(jwk: JsonWebKey): string | undefined {
  const { kid } = jwk as { kid?: unknown };
  return typeof kid === 'string' && kid !== '' ? kid : undefined;
}

function keysInvalid(place: string, message: string): BundleError {
  return new BundleError('bundle_keys_invalid', `${place} cannot be used: ${message}`);
}
