/**
 * How an encrypted file writes down what it keeps of records (docs/encryption.md).
 *
 * `records` is `nonce ‖ AES-256-GCM(salts ‖ text) ‖ tag` under the data key of the file (encryption/sealed-bytes.ts); a group
 * that was committed without salts has zeros in their place. The additional data is the tree's name and the sequence of the
 * group's first record, 8 bytes: so a text cannot be moved. `salts` is null. Index keys and names: keyed-index.ts.
 */
import { createSecretKey, type KeyObject } from 'node:crypto';
import { seal, unseal } from '../encryption/sealed-bytes.js';
import type { CodedGroup, CodedRow, DecodedGroup, GroupCoding } from './group-coding.js';
import { KeyedIndex } from './keyed-index.js';
import { saltBytes } from './proof/group-hashes.js';

export class EncryptedCoding implements GroupCoding {
  readonly locked = undefined;
  readonly isPlain = false;
  private readonly index: KeyedIndex;
  private readonly textKey: KeyObject;
  private readonly context: Buffer;

  /**
   * @param tree the name of the tree that the file's groups go into, 128 bits in hexadecimal
   * @param dataKey of the file, 32 bytes
   * @param indexKey of all files of the log, 32 bytes: what finds and counts records
   */
  constructor(tree: string, dataKey: Buffer, indexKey: Buffer) {
    this.textKey = createSecretKey(dataKey);
    this.index = new KeyedIndex(indexKey);
    this.context = Buffer.concat([Buffer.from(tree, 'hex'), Buffer.alloc(8)]);
  }

  get indexKey(): Buffer {
    return this.index.indexKey;
  }

  get keyedBy(): string {
    return this.index.keyedBy;
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
    return this.index.maskKeys(keys);
  }

  hideName(name: string): string {
    return this.index.hideName(name);
  }

  showName(hidden: string): string {
    return this.index.showName(hidden);
  }

  /** The buffer is used again by the next call. */
  private contextOf(first: number): Buffer {
    const at = this.context.length - 8;
    this.context.writeUInt32BE(Math.floor(first / 2 ** 32), at);
    this.context.writeUInt32BE(first % 2 ** 32, at + 4);
    return this.context;
  }
}
