/** The identity of a policy set's content. */
import { createHash } from 'node:crypto';

export interface VersionedFile {
  /** Relative to the set's folder, with `/` between its parts: `model.conf`. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/**
 * The version of the policy set that is made of these files: `sha256:` and 64 hexadecimal digits. The order in which
 * they are given does not matter. What counts as part of a set (model, rules, manifest, entities, schema; no tests) is
 * the caller's to say.
 *
 * What is hashed, so that any other tool can compute it: for each file, in the order of the UTF-8 bytes of its path,
 *
 *     length of the path in bytes     4 bytes, big-endian
 *     path                            UTF-8
 *     length of the content in bytes  8 bytes, big-endian
 *     content
 *
 * The lengths keep a file's end from being taken for the next one's beginning.
 */
export function policySetVersion(files: readonly VersionedFile[]): string {
  const sorted = files
    .map(({ path, bytes }) => ({ path: Buffer.from(path, 'utf8'), bytes }))
    .sort((a, b) => Buffer.compare(a.path, b.path));
  const hash = createHash('sha256');
  for (const { path, bytes } of sorted) {
    const pathLength = Buffer.alloc(4);
    pathLength.writeUInt32BE(path.length);
    const contentLength = Buffer.alloc(8);
    contentLength.writeBigUInt64BE(BigInt(bytes.byteLength));
    hash.update(pathLength).update(path).update(contentLength).update(bytes);
  }
  return `sha256:${hash.digest('hex')}`;
}
