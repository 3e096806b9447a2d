/**
 * How an encrypted log writes down what finds and counts its records (docs/encryption.md).
 *
 * - Index keys are masked: the first 48 bits of AES-256 over a block that holds the key. AES of one block under a key that
 *   nobody else has is a MAC of that block; an HMAC of each value would cost a decision ten times as much.
 * - Names in the counts are sealed with a nonce that is the HMAC of the name: the same name gives the same text, so that the
 *   counts of it can be added up, and no nonce is used for two names.
 */
import { createCipheriv, createHmac, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';
import { BoundedCache } from '../core/bounded-cache.js';
import { nonceBytes, seal, unseal } from '../encryption/sealed-bytes.js';
import { entryBytes, keyBytes } from './record-keys.js';
import { namedFields, type TallyField, type TallyRow } from './tally.js';

const blockBytes = 16;
const hiddenPrefix = 'enc:';
/** Names are few: callers and policy sets. */
const cachedNames = 4_096;

/** Masks keys and hides names under the index key of a log. */
export class KeyedIndex {
  /** Says whose `maskKeys` give the same. */
  readonly keyedBy: string;
  private readonly nameKey: KeyObject;
  private readonly nameNonceKey: Buffer;
  private readonly keyCipher: ReturnType<typeof createCipheriv>;
  private readonly hidden = new BoundedCache<string>(cachedNames);
  private readonly shown = new BoundedCache<string>(cachedNames);

  /** @param indexKey of all parts of the log, 32 bytes */
  constructor(readonly indexKey: Buffer) {
    const derived = (use: string): Buffer => Buffer.from(hkdfSync('sha256', indexKey, '', `verdict ${use}`, 32));
    this.keyedBy = derived('name of the index key').toString('hex', 0, 8);
    this.nameKey = createSecretKey(derived('names'));
    this.nameNonceKey = derived('nonces of names');
    // Without chaining and padding a block does not depend on those before it, so one cipher serves for all.
    this.keyCipher = createCipheriv('aes-256-ecb', derived('index keys'), null).setAutoPadding(false);
  }

  /** The keys of an index (record-keys.ts), `keyBytes` each. */
  maskKeys(keys: Buffer): Buffer {
    return this.masked(keys, keyBytes);
  }

  /** The same of entries, whose places stay as they are. */
  maskEntries(entries: Buffer): Buffer {
    return this.masked(entries, entryBytes);
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

  /** A name that was changed, or is in clear, is shown as it stands. */
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

  /** A value of a counted field as it is stored. */
  hideValue(field: TallyField, value: string): string {
    return namedFields.includes(field) ? this.hideName(value) : value;
  }

  /** Counts as they are stored. */
  hideNames(row: TallyRow): TallyRow {
    return { ...row, policySet: this.hideName(row.policySet), caller: this.hideName(row.caller) };
  }

  /** @param length of each entry; what follows the key in it stays */
  private masked(entries: Buffer, length: number): Buffer {
    const count = entries.length / length;
    // Byte by byte: a call of `copy` takes longer than six of them.
    const blocks = Buffer.alloc(count * blockBytes);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < keyBytes; j++) blocks[i * blockBytes + j] = entries[i * length + j]!;
    }
    const encrypted = this.keyCipher.update(blocks);
    const masked = length === keyBytes ? Buffer.allocUnsafe(entries.length) : Buffer.from(entries);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < keyBytes; j++) masked[i * length + j] = encrypted[i * blockBytes + j]!;
    }
    return masked;
  }
}

const noContext = Buffer.alloc(0);
