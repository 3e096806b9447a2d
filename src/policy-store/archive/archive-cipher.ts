import { createSecretKey, type KeyObject } from 'node:crypto';
import { seal, unseal } from '../../encryption/sealed-bytes.js';

/** What the key of an archive is for: the `use` that EncryptionKeys wants. */
export const archiveKeyUse = 'policy archive';

/** The first byte of a sealed content. Contents in clear are gzip, which begins with 0x1f. */
const sealedForm = 1;

/** Whether the stored content of a file is encrypted. */
export function isSealed(content: Buffer): boolean {
  return content[0] === sealedForm;
}

/**
 * Encrypts the files of archived versions: a byte 1, then AES-256-GCM of what is kept without a key (encryption/sealed-bytes.ts). The
 * additional data is the file's digest, so that a content cannot be put in the place of another.
 */
export class ArchiveCipher {
  private readonly key: KeyObject;

  /** @param dataKey 32 bytes */
  constructor(dataKey: Buffer) {
    this.key = createSecretKey(dataKey);
  }

  seal(digest: string, content: Buffer): Buffer {
    return Buffer.concat([Buffer.from([sealedForm]), seal(this.key, Buffer.from(digest), [content])]);
  }

  /** Undefined for one that was changed. */
  open(digest: string, sealed: Buffer): Buffer | undefined {
    return unseal(this.key, Buffer.from(digest), sealed.subarray(1));
  }
}
