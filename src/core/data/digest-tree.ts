/**
 * A set of SHA-256 digests with one digest of them all, which follows a change of one among a million by hashing a few
 * nodes again. It depends on the digests alone, and not on how they came to be there.
 *
 * What is hashed, so that any other tool can compute it. A node stands for all digests that share their first bytes: the
 * root for all, a node below it for those that share one byte more. The digest of a node is the SHA-256 of
 *
 *     up to 256 digests      00, then the digests, 32 bytes each, in ascending order
 *     more than 256          01, then for each next byte that one of them has, in ascending order:
 *                            that byte, and the digest of the node below (32 bytes)
 */
import type { Sha256 } from '../sha-256.js';
import { itemsPerStep } from '../steps.js';

const mostInLeaf = 256;
const digestBytes = 32;

/** A digest as 32 characters from U+0000 to U+00FF: in memory a text is the smallest thing that holds them. */
export type Digest = string;

/** @param hexadecimal 64 digits, the letters small */
export function digestFromHex(hexadecimal: string): Digest {
  const bytes = new Array<number>(digestBytes);
  for (let at = 0; at < digestBytes; at++) {
    bytes[at] = 16 * valueOfDigit(hexadecimal.charCodeAt(2 * at)) + valueOfDigit(hexadecimal.charCodeAt(2 * at + 1));
  }
  // At once: a text that is put together byte by byte is a chain of texts in memory.
  return String.fromCharCode(...bytes);
}

function valueOfDigit(digit: number): number {
  return digit < 0x3a ? digit - 0x30 : digit - 0x57;
}

/** The bytes of one digest or of several in a row. */
export function bytesOf(digests: string): Uint8Array {
  const bytes = new Uint8Array(digests.length);
  for (let at = 0; at < digests.length; at++) bytes[at] = digests.charCodeAt(at);
  return bytes;
}

interface Leaf {
  readonly count: number;
  readonly digest: Digest;
  /** In ascending order, one behind the other. */
  readonly digests: string;
}

interface Branch {
  readonly count: number;
  readonly digest: Digest;
  /** By the next byte. */
  readonly children: readonly (TreeNode | undefined)[];
}

type TreeNode = Leaf | Branch;

export class DigestTree {
  private constructor(
    private readonly node: TreeNode,
    private readonly sha256: Sha256,
  ) {}

  static empty(sha256: Sha256): DigestTree {
    return new DigestTree(leafOf([], sha256), sha256);
  }

  /** Number of digests. */
  get size(): number {
    return this.node.count;
  }

  get root(): Digest {
    return this.node.digest;
  }

  /** The tree with other digests: those that are added are not in this one, those that are removed are. */
  *changed(added: readonly Digest[], removed: readonly Digest[]): Generator<void, DigestTree> {
    const node = yield* changedNode(this.node, 0, added, removed, this.sha256);
    return new DigestTree(node ?? leafOf([], this.sha256), this.sha256);
  }
}

/** Undefined if no digest is left. */
function* changedNode(
  node: TreeNode | undefined,
  depth: number,
  added: readonly Digest[],
  removed: readonly Digest[],
  sha256: Sha256,
): Generator<void, TreeNode | undefined> {
  if (node === undefined || 'digests' in node) {
    const gone = new Set(removed);
    const kept = digestsIn(node).filter((digest) => !gone.has(digest));
    const all = kept.length === 0 ? added : [...kept, ...added];
    if (all.length === 0) return undefined;
    return all.length <= mostInLeaf ? leafOf(all, sha256) : yield* changedBranch([], depth, all, [], sha256);
  }
  return yield* changedBranch(node.children, depth, added, removed, sha256);
}

function* changedBranch(
  before: readonly (TreeNode | undefined)[],
  depth: number,
  added: readonly Digest[],
  removed: readonly Digest[],
  sha256: Sha256,
): Generator<void, TreeNode | undefined> {
  const children = before.slice();
  const [come, gone] = [yield* byByte(added, depth), yield* byByte(removed, depth)];
  for (let byte = 0; byte < 256; byte++) {
    const [new_, old] = [come[byte], gone[byte]];
    if (new_ === undefined && old === undefined) continue;
    children[byte] = yield* changedNode(children[byte], depth + 1, new_ ?? none, old ?? none, sha256);
    if (depth === 0) yield;
  }
  const count = children.reduce((sum, child) => sum + (child?.count ?? 0), 0);
  if (count > mostInLeaf) return branchOf(children, count, sha256);
  return count === 0 ? undefined : leafOf(children.flatMap(digestsIn), sha256);
}

const none: readonly Digest[] = Object.freeze([]);

function* byByte(digests: readonly Digest[], depth: number): Generator<void, readonly (Digest[] | undefined)[]> {
  const parts: (Digest[] | undefined)[] = [];
  for (let at = 0; at < digests.length; at++) {
    if (at % itemsPerStep === itemsPerStep - 1) yield;
    const digest = digests[at] as Digest;
    const byte = digest.charCodeAt(depth);
    const part = parts[byte];
    if (part === undefined) parts[byte] = [digest];
    else part.push(digest);
  }
  return parts;
}

function digestsIn(node: TreeNode | undefined): readonly Digest[] {
  if (node === undefined) return [];
  if ('children' in node) return node.children.flatMap(digestsIn);
  const digests: Digest[] = [];
  for (let at = 0; at < node.digests.length; at += digestBytes) digests.push(node.digests.slice(at, at + digestBytes));
  return digests;
}

function leafOf(unsorted: readonly Digest[], sha256: Sha256): Leaf {
  const digests = [...unsorted].sort().join('');
  return Object.freeze({
    count: unsorted.length,
    digest: digestFromHex(sha256([bytesOf('\u0000'), bytesOf(digests)])),
    digests,
  });
}

function branchOf(children: readonly (TreeNode | undefined)[], count: number, sha256: Sha256): Branch {
  let text = '\u0001';
  for (const [byte, child] of children.entries()) {
    if (child !== undefined) text += String.fromCharCode(byte) + child.digest;
  }
  return Object.freeze({ count, digest: digestFromHex(sha256([bytesOf(text)])), children: Object.freeze(children) });
}
