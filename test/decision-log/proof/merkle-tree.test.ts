import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  consistencyProof,
  emptyRoot,
  Frontier,
  frontierOf,
  inclusionProof,
  isConsistent,
  nodeHash,
  rootOfInclusion,
  sha256Of,
  type TreeHash,
} from '../../../src/decision-log/proof/merkle-tree.js';
import { MemoryTree } from './memory-tree.js';

const leafOf = (data: Buffer): TreeHash => sha256Of(Buffer.concat([Buffer.from([0]), data]));

/** Section 2.1.1, word by word. */
function naiveRoot(leaves: readonly TreeHash[]): TreeHash {
  if (leaves.length === 0) return sha256Of(Buffer.alloc(0));
  if (leaves.length === 1) return leaves[0]!;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

/** The data and roots that implementations of Certificate Transparency share. */
const known = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const knownRoots = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const numbered = (count: number): TreeHash[] => Array.from({ length: count }, (_, i) => leafOf(Buffer.from(`${i}`)));

describe('the tree of RFC 9162', () => {
  it('has the roots that other implementations have for the same data', () => {
    const tree = new MemoryTree();
    expect(tree.frontier.root.toString('hex')).toBe(hash('sha256', '', 'hex'));
    for (const [i, data] of known.entries()) {
      tree.append(leafOf(Buffer.from(data, 'hex')));
      expect(tree.frontier.root.toString('hex')).toBe(knownRoots[i]);
    }
  });

  it('proves what the examples of section 2.1.5 prove, with the nodes that they name', async () => {
    const [a, b, c, d, e, f, j] = numbered(7) as [TreeHash, TreeHash, TreeHash, TreeHash, TreeHash, TreeHash, TreeHash];
    const [g, h, i] = [nodeHash(a, b), nodeHash(c, d), nodeHash(e, f)];
    const [k, l] = [nodeHash(g, h), nodeHash(i, j)];
    const tree = MemoryTree.of([a, b, c, d, e, f, j]);
    expect(await inclusionProof(tree, 0, 7)).toEqual([b, h, l]);
    expect(await inclusionProof(tree, 3, 7)).toEqual([c, g, l]);
    expect(await inclusionProof(tree, 4, 7)).toEqual([f, j, k]);
    expect(await inclusionProof(tree, 6, 7)).toEqual([i, k]);
    expect(await consistencyProof(tree, 3, 7)).toEqual([c, d, g, l]);
    expect(await consistencyProof(tree, 4, 7)).toEqual([l]);
    expect(await consistencyProof(tree, 6, 7)).toEqual([i, j, k]);
  });

  it('agrees with a tree that is built anew, for every size up to 70, every entry and every earlier size', async () => {
    const leaves = numbered(70);
    const roots = Array.from({ length: 71 }, (_, size) => naiveRoot(leaves.slice(0, size)));
    const tree = MemoryTree.of(leaves);
    for (let size = 0; size <= 70; size++) {
      expect((await frontierOf(tree, size)).root).toEqual(roots[size]);
      for (let index = 0; index < size; index++) {
        const path = await inclusionProof(tree, index, size);
        expect(rootOfInclusion(leaves[index]!, index, size, path)).toEqual(roots[size]);
      }
      for (let from = 0; from <= size; from++) {
        const proof = await consistencyProof(tree, from, size);
        expect(isConsistent({ size: from, root: roots[from]! }, { size, root: roots[size]! }, proof)).toBe(true);
      }
    }
  });

  it('proves the same of what is left when its first entries are kept as their frontier alone', async () => {
    const leaves = numbered(70);
    const whole = MemoryTree.of(leaves);
    for (const removed of [1, 5, 32, 33, 63, 64, 69]) {
      const rest = await whole.without(removed);
      expect((await frontierOf(rest, 70)).root).toEqual(naiveRoot(leaves));
      for (let index = removed; index < 70; index++) {
        expect(await inclusionProof(rest, index, 70)).toEqual(await inclusionProof(whole, index, 70));
      }
      for (let from = removed; from <= 70; from++) {
        expect(await consistencyProof(rest, from, 70)).toEqual(await consistencyProof(whole, from, 70));
      }
      await expect(rest.entry(removed - 1)).rejects.toThrow();
    }
  });

  it('takes no changed, longer, shorter or misplaced proof', async () => {
    const leaves = numbered(23);
    const tree = MemoryTree.of(leaves);
    const root = tree.frontier.root;
    for (let index = 0; index < 23; index++) {
      const path = await inclusionProof(tree, index, 23);
      const wrong = [
        ...path.map((_, i) => path.map((node, j) => (i === j ? flipped(node) : node))),
        [...path, root],
        path.slice(1),
        path.slice(0, -1),
        path.toReversed(),
      ].filter((other) => !other.every((node, i) => path.length === other.length && node.equals(path[i]!)));
      for (const other of wrong) expect(rootOfInclusion(leaves[index]!, index, 23, other)).not.toEqual(root);
      for (let at = 0; at < 24; at++) {
        if (at !== index) expect(rootOfInclusion(leaves[index]!, at, 23, path)).not.toEqual(root);
      }
    }
    for (let from = 1; from < 23; from++) {
      const old = { size: from, root: (await frontierOf(tree, from)).root };
      const proof = await consistencyProof(tree, from, 23);
      expect(isConsistent({ ...old, root: flipped(old.root) }, { size: 23, root }, proof)).toBe(false);
      expect(isConsistent(old, { size: 23, root: flipped(root) }, proof)).toBe(false);
      expect(isConsistent(old, { size: 23, root }, [...proof, root])).toBe(false);
      expect(isConsistent(old, { size: 23, root }, proof.slice(0, -1))).toBe(false);
      for (const i of proof.keys()) {
        expect(isConsistent(old, { size: 23, root }, proof.with(i, flipped(proof[i]!)))).toBe(false);
      }
    }
    expect(isConsistent({ size: 0, root: emptyRoot }, { size: 23, root }, [])).toBe(true);
    expect(isConsistent({ size: 0, root }, { size: 23, root }, [])).toBe(false);
    expect(isConsistent({ size: 24, root }, { size: 23, root }, [])).toBe(false);
  });

  it('reads for a proof as many entries as the square of its height, at most', async () => {
    const tree = MemoryTree.of(numbered(1_000));
    tree.reads = 0;
    await inclusionProof(tree, 617, 1_000);
    expect(tree.reads).toBeLessThanOrEqual(10 * 10);
    expect(tree.reads).toBeGreaterThan(0);
  });

  it('keeps its frontier as bytes, and refuses one that is not of its size', () => {
    const { frontier } = MemoryTree.of(numbered(45));
    const read = Frontier.decode(45, frontier.encode());
    expect(read.root).toEqual(frontier.root);
    expect(() => Frontier.decode(46, Buffer.concat([frontier.encode(), Buffer.alloc(32)]))).toThrow();
    expect(() => Frontier.decode(47, frontier.encode())).toThrow();
  });
});

function flipped(node: TreeHash): TreeHash {
  const other = Buffer.from(node);
  other[7]! ^= 0x10;
  return other;
}
