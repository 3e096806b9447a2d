import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { isOldCursor } from '../decision-log/search-cursor.js';
import { invalidParameter } from '../errors.js';

const cipherName = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;
/** Texts are padded to a multiple of this length, so that it reveals nothing about the numbers in them. */
const paddedTo = 64;

/**
 * Cursors for callers who may read some policy sets alone. A cursor of the log tells how many records there are of all
 * sets; here it is encrypted with a key of the service, so that it tells nothing, and cannot be made up.
 *
 *     cursors.open(cursors.seal('120:57')) // '120:57'
 */
export class SealedCursors {
  private key: Buffer = Buffer.alloc(0);

  /** Uses this key of 32 bytes from now on. Before there is one, nothing can be sealed. */
  use(key: Buffer): void {
    this.key = key;
  }

  /** The page with its cursor sealed, unless the caller may read all sets (`policySets` is undefined). */
  sealPage<Page extends { readonly nextCursor?: string }>(page: Page, policySets: readonly string[] | undefined): Page {
    if (policySets === undefined || page.nextCursor === undefined) return page;
    return { ...page, nextCursor: this.seal(page.nextCursor) };
  }

  /** The query with its cursor as the log gave it out. Throws VerdictError `invalid_request` for any other text. */
  openQuery<Query extends { readonly cursor?: string }>(
    query: Query,
    policySets: readonly string[] | undefined,
  ): Query {
    if (policySets === undefined || query.cursor === undefined) return query;
    return { ...query, cursor: this.open(query.cursor) };
  }

  seal(text: string): string {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv(cipherName, this.key, nonce);
    const padded = text.padEnd(Math.ceil(text.length / paddedTo) * paddedTo);
    const sealed = [nonce, cipher.update(padded, 'latin1'), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(sealed).toString('base64url');
  }

  open(sealed: string): string {
    // Version 0.1 sealed none; the log says that they have expired.
    if (isOldCursor(sealed)) return sealed;
    const bytes = Buffer.from(sealed, 'base64url');
    try {
      const nonce = bytes.subarray(0, nonceBytes);
      const decipher = createDecipheriv(cipherName, this.key, nonce, { authTagLength: tagBytes });
      decipher.setAuthTag(bytes.subarray(-tagBytes));
      const text = decipher.update(bytes.subarray(nonceBytes, -tagBytes), undefined, 'latin1');
      return (text + decipher.final('latin1')).trimEnd();
    } catch {
      throw invalidParameter('cursor', 'is not a cursor of this service');
    }
  }
}
