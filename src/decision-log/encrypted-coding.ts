/**
 * How an encrypted file writes down what it keeps of records (docs/encryption.md).
 *
 * - `records` is `nonce ‖ AES-256-GCM(salts ‖ text) ‖ tag` under the data key of the file (encryption/sealed-bytes.ts); a group
 *   that was committed without salts has zeros in their place. The additional data is the tree's name and the sequence of the
 *   group's first record, 8 bytes: so a text cannot be moved. `salts` is null.
 * - Index keys are masked: the first 48 bits of AES-256 over a block that holds the key. AES of one block under a key that
 *   nobody else has is a MAC of that block; an HMAC of each value would cost a decision ten times as much.
 * - Names in the counts are sealed with a nonce that is the HMAC of the name: the same name gives the same text, so that the
 *   counts of it can be added up, and no nonce is used for two names.
 */
import { createCipheriv, createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { BoundedCache } from '../core/bounded-cache.js';
import { nonceBytes, seal, unseal } from '../encryption/sealed-bytes.js';
import type { CodedGroup, CodedRow, DecodedGroup, GroupCoding } from './group-coding.js';
import { saltBytes } from './proof/group-hashes.js';
import { keyBytes } from './record-keys.js';

const blockBytes = 16;
const hiddenPrefix = 'enc:';
/** Names are few: callers and policy sets. */
const cachedNames = 4_096;

export class EncryptedCoding implements GroupCoding {
  readonly locked = undefined;
  readonly isPlain = false;
  readonly keyedBy: string;
  private readonly textKey: KeyObject;
  private readonly nameKey: KeyObject;
  private readonly nameNonceKey: Buffer;
  private readonly keyCipher: ReturnType<typeof createCipheriv>;
  private readonly context: Buffer;
  private readonly hidden = new BoundedCache<string>(cachedNames);
  private readonly shown = new BoundedCache<string>(cachedNames);

  /**
   * @param tree the name of the tree that the file's groups go into, 128 bits in hexadecimal
   * @param dataKey of the file, 32 bytes
   * @param indexKey of all files of the log, 32 bytes: what finds and counts records
   */
  constructor(
    tree: string,
    dataKey: Buffer,
    readonly indexKey: Buffer,
  ) {
    this.textKey = createSecretKey(dataKey);
    const derived = (use: string): Buffer => Buffer.from(hkdfSync('sha256', indexKey, '', `verdict ${use}`, 32));
    this.keyedBy = derived('name of the index key').toString('hex', 0, 8);
    this.nameKey = createSecretKey(derived('names'));
    this.nameNonceKey = derived('nonces of names');
    // Without chaining and padding a block does not depend on those before it, so one cipher serves for all.
    this.keyCipher = createCipheriv('aes-256-ecb', derived('index keys'), null).setAutoPadding(false);
    this.context = Buffer.concat([Buffer.from(tree, 'hex'), Buffer.alloc(8)]);
  }

  encode(first: number, text: string, salts: Buffer | undefined, count: number): CodedGroup {
    const records = seal(this.textKey, this.contextOf(first), [salts ?? Buffer.alloc(count * saltBytes), text]);
    return { records, salts: null };
  }

  decode({ first, count, records }: CodedRow): DecodedGroup {
    const bytes = Buffer.isBuffer(records) ? unseal(this.textKey, this.contextOf(first), records) : undefined;
    const saltsEnd = count * saltBytes;
    if (bytes === undefined || bytes.length < saltsEnd) return { first, count, records: '', salts: null };
    return { first, count, records: bytes.toString('utf8', saltsEnd), salts: bytes.subarray(0, saltsEnd) };
  }

  maskKeys(keys: Buffer): Buffer {
    const count = keys.length / keyBytes;
    // Byte by byte: a call of `copy` takes longer than six of them.
    const blocks = Buffer.alloc(count * blockBytes);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < keyBytes; j++) blocks[i * blockBytes + j] = keys[i * keyBytes + j]!;
    }
    const encrypted = this.keyCipher.update(blocks);
    const masked = Buffer.allocUnsafe(keys.length);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < keyBytes; j++) masked[i * keyBytes + j] = encrypted[i * blockBytes + j]!;
    }
    return masked;
  }

  hideName(name: string): string {
    let hidden = this.hidden.get(name);
    if (hidden === undefined) {
      const nonce = createHmac('sha256', this.nameNonceKey).update(name).digest().subarray(0, nonceBytes);
      hidden = hiddenPrefix + seal(this.nameKey, noContext, [name], nonce).toString('base64url');
      this.hidden.set(name, hidden);
    }
    return hidden;
  }

  /** A name that was changed is shown as it stands. */
  showName(hidden: string): string {
    let name = this.shown.get(hidden);
    if (name === undefined) {
      const sealed = hidden.startsWith(hiddenPrefix)
        ? Buffer.from(hidden.slice(hiddenPrefix.length), 'base64url')
        : noContext;
      name = unseal(this.nameKey, noContext, sealed)?.toString() ?? hidden;
      this.shown.set(hidden, name);
    }
    return name;
  }

  /** The buffer is used again by the next call. */
  private contextOf(first: number): Buffer {
    const at = this.context.length - 8;
    this.context.writeUInt32BE(Math.floor(first / 2 ** 32), at);
    this.context.writeUInt32BE(first % 2 ** 32, at + 4);
    return this.context;
  }
}

const noContext = Buffer.alloc(0);
