/**
 * The keys that an operator gives (`VERDICT_ENCRYPTION_KEY`). They encrypt nothing but keys: what is stored is encrypted under
 * keys that are made where they are needed and stored beside it, *wrapped* by one of these. So an operator's key is replaced by
 * wrapping some short texts anew.
 *
 *     byte 0        1, the form of what follows
 *     bytes 1–8     fingerprint of the key that wraps: the first bytes of SHA-256("verdict encryption key" ‖ key)
 *     12 bytes      nonce, random
 *     32 bytes      the wrapped key, in AES-256-GCM; the additional data is "verdict " and what the key is for
 *     16 bytes      tag
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from 'node:crypto';

const keyBytes = 32;
const fingerprintBytes = 8;
const nonceBytes = 12;
const tagBytes = 16;
const form = 1;
const wrappedBytes = 1 + fingerprintBytes + nonceBytes + keyBytes + tagBytes;

interface EncryptionKey {
  /** 16 hexadecimal digits. */
  readonly fingerprint: string;
  readonly key: KeyObject;
}

/** Something is encrypted and the key that it takes is not among those that were given. */
export class MissingEncryptionKey extends Error {
  override readonly name = 'MissingEncryptionKey';

  /**
   * @param what what is encrypted
   * @param fingerprint of the key that is needed
   */
  constructor(
    what: string,
    readonly fingerprint: string,
    given: readonly string[],
  ) {
    super(
      `${what} is encrypted, and the key ${fingerprint} is needed to read it: VERDICT_ENCRYPTION_KEY ` +
        (given.length === 0 ? 'is not set' : `has ${given.join(', ')}`),
    );
  }
}

/** Why a text holds no encryption keys, in words that follow the name of where it stands; undefined when it does. */
export function whyNotEncryptionKeys(text: string): string | undefined {
  const keys = keysIn(text);
  if (keys.length === 0) return 'must be keys of 32 random bytes in base64: `openssl rand -base64 32` makes one';
  const which = (i: number): string => (keys.length === 1 ? 'its key' : `its key ${i + 1} of ${keys.length}`);
  for (const [i, key] of keys.entries()) {
    const bytes = Buffer.from(key, 'base64');
    if (bytes.length !== keyBytes || bytes.toString('base64') !== key) {
      return `must be 32 random bytes in base64 (\`openssl rand -base64 32\`): ${which(i)} is not`;
    }
    if (bytes.every((byte) => byte === bytes[0])) return `must be random bytes: ${which(i)} is one byte repeated`;
    const same = keys.indexOf(key);
    if (same < i) return `must hold each key once: ${which(i)} is its key ${same + 1}`;
  }
  return undefined;
}

/** The same for a text that must be one key. */
export function whyNotEncryptionKey(text: string): string | undefined {
  return keysIn(text).length > 1 ? 'must be one key' : whyNotEncryptionKeys(text);
}

function keysIn(text: string): string[] {
  return text.split(/[\s,]+/).filter((part) => part !== '');
}

/**
 * Keys that wrap and unwrap others.
 *
 *     const keys = EncryptionKeys.of(process.env.VERDICT_ENCRYPTION_KEY);
 *     const wrapped = keys.wrap(dataKey, 'text of …');        // under the first key
 *     keys.unwrap(wrapped, 'text of …', 'verdict.decisions.sqlite')
 */
export class EncryptionKeys {
  private constructor(private readonly keys: readonly EncryptionKey[]) {}

  /** No key: nothing can be unwrapped, and it is said which key is needed. */
  static readonly none = new EncryptionKeys([]);

  /**
   * @param text keys in base64, the newest first, with blanks, line feeds or commas between them
   * @throws Error when it holds anything else
   */
  static of(text: string): EncryptionKeys {
    const fault = whyNotEncryptionKeys(text);
    if (fault !== undefined) throw new Error(`VERDICT_ENCRYPTION_KEY ${fault}`);
    return new EncryptionKeys(
      keysIn(text).map((encoded) => {
        const bytes = Buffer.from(encoded, 'base64');
        const digest = createHash('sha256').update('verdict encryption key').update(bytes).digest();
        return { fingerprint: digest.toString('hex', 0, fingerprintBytes), key: createSecretKey(bytes) };
      }),
    );
  }

  /** The fingerprints, that of the newest first. */
  get fingerprints(): readonly string[] {
    return this.keys.map(({ fingerprint }) => fingerprint);
  }

  /** Wraps a key of 32 bytes under the newest key. `use`: what it is for, to be said again by `unwrap`. */
  wrap(key: Buffer, use: string): Buffer {
    const [newest] = this.keys;
    if (newest === undefined) throw new Error('there is no key to encrypt with');
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', newest.key, nonce).setAAD(additionalData(use));
    const encrypted = Buffer.concat([cipher.update(key), cipher.final()]);
    return Buffer.concat([
      Buffer.from([form]),
      Buffer.from(newest.fingerprint, 'hex'),
      nonce,
      encrypted,
      cipher.getAuthTag(),
    ]);
  }

  /**
   * @param what where it stands, for errors
   * @throws MissingEncryptionKey
   * @throws Error for one that was changed, or is for something else
   */
  unwrap(wrapped: Buffer, use: string, what: string): Buffer {
    if (wrapped.length !== wrappedBytes || wrapped[0] !== form) throw new WrongWrappedKey(what);
    const fingerprint = fingerprintOf(wrapped);
    const wrapping = this.keys.find((known) => known.fingerprint === fingerprint);
    if (wrapping === undefined) throw new MissingEncryptionKey(what, fingerprint, this.fingerprints);
    const nonceAt = 1 + fingerprintBytes;
    const keyAt = nonceAt + nonceBytes;
    const decipher = createDecipheriv('aes-256-gcm', wrapping.key, wrapped.subarray(nonceAt, keyAt))
      .setAAD(additionalData(use))
      .setAuthTag(wrapped.subarray(-tagBytes));
    try {
      return Buffer.concat([decipher.update(wrapped.subarray(keyAt, -tagBytes)), decipher.final()]);
    } catch {
      throw new WrongWrappedKey(what);
    }
  }

  /** True if the newest key wraps it. */
  isNewest(wrapped: Buffer): boolean {
    return fingerprintOf(wrapped) === this.keys[0]?.fingerprint;
  }
}

export class WrongWrappedKey extends Error {
  override readonly name = 'WrongWrappedKey';

  constructor(what: string) {
    super(`the key that ${what} is encrypted with was changed, or is that of something else`);
  }
}

function fingerprintOf(wrapped: Buffer): string {
  return wrapped.toString('hex', 1, 1 + fingerprintBytes);
}

function additionalData(use: string): Buffer {
  return Buffer.from(`verdict ${use}`);
}

/** A key of 32 random bytes. */
export function newKey(): Buffer {
  return randomBytes(keyBytes);
}
