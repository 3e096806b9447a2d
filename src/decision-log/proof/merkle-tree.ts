/**
 * The append-only Merkle tree of RFC 9162 (section 2.1), over entries of which each is given by its leaf hash.
 *
 * A *perfect* subtree has 2^level entries and begins at a multiple of that. The *frontier* of a tree of n entries are the
 * largest perfect subtrees that it consists of, from left to right: one for each bit that is set in n. It says all that is
 * needed to append, to compute the root, and to take the place of the first n entries in proofs about later ones.
 *
 * With each entry is kept the *node* that appending it completed: the largest perfect subtree that ends with it. Any other
 * perfect subtree is found from those of a few entries, so a proof reads some dozens of entries of a tree of any size.
 */
import { hash } from 'node:crypto';

export const hashBytes = 32;
/** A SHA-256 digest. */
export type TreeHash = Buffer;

/** The root of a tree without entries. */
export const emptyRoot: TreeHash = sha256Of(Buffer.alloc(0));

const pair = Buffer.alloc(1 + 2 * hashBytes, 1);

/** The hash of an inner node. */
export function nodeHash(left: TreeHash, right: TreeHash): TreeHash {
  left.copy(pair, 1);
  right.copy(pair, 1 + hashBytes);
  return sha256Of(pair);
}

/** As a text it comes back in half the time that a new buffer of OpenSSL's takes. */
export function sha256Of(bytes: Uint8Array): TreeHash {
  return Buffer.from(hash('sha256', bytes, 'binary'), 'latin1');
}

/** The largest perfect subtrees of a tree, from left to right. Immutable. */
export class Frontier {
  constructor(
    /** Number of entries. */
    readonly size: number,
    readonly nodes: readonly TreeHash[],
  ) {
    if (nodes.length !== bitsOf(size)) throw new WrongFrontier(size);
  }

  static readonly empty = new Frontier(0, []);

  /** The frontier with one more entry; its last node is the one that this entry completed. */
  append(leaf: TreeHash): Frontier {
    const nodes = [...this.nodes];
    let node = leaf;
    for (let rest = this.size; rest % 2 === 1; rest = (rest - 1) / 2) node = nodeHash(nodes.pop()!, node);
    nodes.push(node);
    return new Frontier(this.size + 1, nodes);
  }

  get root(): TreeHash {
    return this.nodes.reduceRight<TreeHash | undefined>(joined, undefined) ?? emptyRoot;
  }

  /** As bytes: the nodes, `hashBytes` each. */
  encode(): Buffer {
    return Buffer.concat(this.nodes);
  }

  static decode(size: number, bytes: Buffer): Frontier {
    const count = bytes.length / hashBytes;
    return new Frontier(
      size,
      Array.from({ length: count }, (_, i) => Buffer.from(bytes.subarray(i * hashBytes, (i + 1) * hashBytes))),
    );
  }
}

/** Nodes that a tree of that size does not consist of. */
export class WrongFrontier extends Error {
  override readonly name = 'WrongFrontier';

  constructor(size: number) {
    super(`a tree of ${size} entries has another frontier`);
  }
}

function joined(right: TreeHash | undefined, left: TreeHash): TreeHash {
  return right === undefined ? left : nodeHash(left, right);
}

function bitsOf(size: number): number {
  let bits = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) bits += rest % 2;
  return bits;
}

/** What a tree keeps of an entry. */
export interface TreeEntry {
  /** Its leaf hash. */
  readonly leaf: TreeHash;
  /** The node that it completed. */
  readonly node: TreeHash;
}

/** A tree as it is stored. */
export interface StoredTree {
  /** The frontier of the entries that are not kept any more; empty while all are. */
  readonly anchor: Frontier;

  /** @throws when the entry, which is not below the anchor, is not there */
  entry(index: number): Promise<TreeEntry>;
}

/** The frontier of the first `size` entries. */
export async function frontierOf(tree: StoredTree, size: number): Promise<Frontier> {
  const nodes: TreeHash[] = [];
  for (let begin = 0; begin < size; ) {
    const width = widthBelow(size - begin + 1);
    nodes.push(await perfectNode(tree, begin, width));
    begin += width;
  }
  return new Frontier(size, nodes);
}

/** The audit path of an entry in the tree of the first `size` entries (section 2.1.3.1). */
export async function inclusionProof(tree: StoredTree, index: number, size: number): Promise<TreeHash[]> {
  const path: TreeHash[] = [];
  let [begin, end] = [0, size];
  while (end - begin > 1) {
    const middle = begin + widthBelow(end - begin);
    if (index < middle) {
      path.push(await rangeNode(tree, middle, end));
      end = middle;
    } else {
      path.push(await rangeNode(tree, begin, middle));
      begin = middle;
    }
  }
  return path.reverse();
}

/** Proves that the tree of the first `from` entries is the beginning of that of the first `to` (section 2.1.4.1). */
export async function consistencyProof(tree: StoredTree, from: number, to: number): Promise<TreeHash[]> {
  if (from === 0 || from === to) return [];
  const path: TreeHash[] = [];
  let [begin, end] = [0, to];
  while (from !== end) {
    const middle = begin + widthBelow(end - begin);
    if (from <= middle) {
      path.push(await rangeNode(tree, middle, end));
      end = middle;
    } else {
      path.push(await rangeNode(tree, begin, middle));
      begin = middle;
    }
  }
  // The verifier has the root of the old tree already: it is left out where it is a node of the new one.
  if (begin > 0) path.push(await rangeNode(tree, begin, end));
  return path.reverse();
}

/** The root that an audit path leads to (section 2.1.3.2); undefined where the path does not fit. */
export function rootOfInclusion(
  leaf: TreeHash,
  index: number,
  size: number,
  path: readonly TreeHash[],
): TreeHash | undefined {
  if (index >= size) return undefined;
  let [fn, sn] = [index, size - 1];
  let root = leaf;
  for (const node of path) {
    if (sn === 0) return undefined;
    if (fn % 2 === 1 || fn === sn) {
      root = nodeHash(node, root);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn / 2, half(sn)];
    } else root = nodeHash(root, node);
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 ? root : undefined;
}

/** Whether a proof shows that the tree with the root `oldRoot` is the beginning of the other (section 2.1.4.2). */
export function isConsistent(
  from: { readonly size: number; readonly root: TreeHash },
  to: { readonly size: number; readonly root: TreeHash },
  proof: readonly TreeHash[],
): boolean {
  if (from.size > to.size) return false;
  if (from.size === to.size) return proof.length === 0 && from.root.equals(to.root);
  if (from.size === 0) return proof.length === 0 && from.root.equals(emptyRoot);
  let [fn, sn] = [from.size - 1, to.size - 1];
  while (fn % 2 === 1) [fn, sn] = [half(fn), half(sn)];
  const path = [...proof];
  const start = fn === 0 ? from.root : path.shift();
  if (start === undefined) return false;
  let [oldRoot, newRoot] = [start, start];
  for (const node of path) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      oldRoot = nodeHash(node, oldRoot);
      newRoot = nodeHash(node, newRoot);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn / 2, half(sn)];
    } else newRoot = nodeHash(newRoot, node);
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 && oldRoot.equals(from.root) && newRoot.equals(to.root);
}

/** The root of the entries from `begin`, where a subtree can begin, up to `end`. */
async function rangeNode(tree: StoredTree, begin: number, end: number): Promise<TreeHash> {
  const width = widthBelow(end - begin + 1);
  if (width === end - begin) return perfectNode(tree, begin, width);
  return nodeHash(await perfectNode(tree, begin, width), await rangeNode(tree, begin + width, end));
}

async function perfectNode(tree: StoredTree, begin: number, width: number): Promise<TreeHash> {
  const { anchor } = tree;
  const end = begin + width;
  if (end <= anchor.size) return anchorNode(anchor, begin, width);
  const last = await tree.entry(end - 1);
  if ((begin / width) % 2 === 0) return last.node;
  // The entry completed a larger one. The left neighbours on the way up to this one were completed by theirs.
  let node = last.leaf;
  for (let w = 1; w < width; w *= 2) node = nodeHash(await completedNode(tree, end - 2 * w, w), node);
  return node;
}

/** A perfect subtree that is the left one of its parent. */
async function completedNode(tree: StoredTree, begin: number, width: number): Promise<TreeHash> {
  if (begin + width <= tree.anchor.size) return anchorNode(tree.anchor, begin, width);
  return (await tree.entry(begin + width - 1)).node;
}

function anchorNode({ size, nodes }: Frontier, begin: number, width: number): TreeHash {
  let at = 0;
  for (const node of nodes) {
    const next = widthBelow(size - at + 1);
    if (at === begin && next === width) return node;
    at += next;
  }
  throw new Error(`the tree is not kept below entry ${size}`);
}

/** The largest power of two below `count`. */
function widthBelow(count: number): number {
  let width = 1;
  while (width * 2 < count) width *= 2;
  return width;
}

function half(n: number): number {
  return Math.floor(n / 2);
}
