/** The identity of a policy set's content, which every answer names (P3). */
import { compareStrings } from '../matcher/values.js';
import type { Sha256 } from '../sha-256.js';
import { utf8Length } from '../utf8.js';

export interface VersionedFile {
  /** Relative to the set's folder, with `/` between its parts: `model.conf`. */
  readonly path: string;
  /** A text stands for its UTF-8 bytes. */
  readonly content: string | Uint8Array;
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
export function policySetVersion(files: readonly VersionedFile[], sha256: Sha256): string {
  return `sha256:${sha256(partsOf(files))}`;
}

function* partsOf(files: readonly VersionedFile[]): Generator<string | Uint8Array> {
  const sorted = files
    .map(({ path, content }) => ({ path: wellFormed(path), content }))
    .sort((a, b) => compareStrings(a.path, b.path));
  for (const { path, content } of sorted) {
    yield bigEndian(4, utf8Length(path));
    yield path;
    yield bigEndian(8, typeof content === 'string' ? utf8Length(content) : content.byteLength);
    yield content;
  }
}

/** As its UTF-8 bytes have it: U+FFFD for a surrogate without its other half. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

function bigEndian(bytes: number, value: number): Uint8Array {
  const encoded = new Uint8Array(bytes);
  for (let at = bytes - 1, rest = value; rest > 0; at--, rest = Math.floor(rest / 256)) encoded[at] = rest % 256;
  return encoded;
}
