import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOf, DigestTree, digestFromHex } from '../../../src/core/data/digest-tree.js';
import { finish } from '../../../src/core/steps.js';
import { sha256 } from '../../../src/digest/sha-256.js';

const hash = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();

/** The digest as the file that defines it says, computed anew. */
function rootOf(digests: readonly Buffer[], depth = 0): Buffer {
  if (digests.length <= 256) return hash(Buffer.of(0), ...digests.toSorted(Buffer.compare));
  const parts: Buffer[] = [Buffer.of(1)];
  for (let byte = 0; byte < 256; byte++) {
    const below = digests.filter((digest) => digest[depth] === byte);
    if (below.length > 0) parts.push(Buffer.of(byte), rootOf(below, depth + 1));
  }
  return hash(...parts);
}

/** Digests of which many begin alike, so that the tree is deep. */
function digestOf(number: number): Buffer {
  const digest = hash(Buffer.from(String(number)));
  if (number % 3 === 0) digest.fill(7, 0, 2);
  return digest;
}
const textOf = (digest: Buffer) => digestFromHex(digest.toString('hex'));

describe('a tree of digests', () => {
  it.each([0, 1, 255, 256, 257, 258, 3_000])('has the root that its definition gives, of %i digests', (count) => {
    const digests = Array.from({ length: count }, (_, number) => digestOf(number));
    const tree = finish(DigestTree.empty(sha256).changed(digests.map(textOf), []));
    expect(Buffer.from(bytesOf(tree.root))).toEqual(rootOf(digests));
    expect(tree.size).toBe(count);
  });

  it('has the same root whatever came and went before', () => {
    const changes = fc.array(fc.array(fc.nat(900), { maxLength: 500 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(changes, (drawn) => {
        let tree = DigestTree.empty(sha256);
        const present = new Set<number>();
        for (const numbers of drawn) {
          // What is there goes, what is not comes.
          const toggled = [...new Set(numbers)];
          const [gone, come] = [toggled.filter((n) => present.has(n)), toggled.filter((n) => !present.has(n))];
          const before = tree.root;
          const after = finish(tree.changed(come.map(digestOf).map(textOf), gone.map(digestOf).map(textOf)));
          expect(tree.root).toBe(before);
          tree = after;
          for (const number of gone) present.delete(number);
          for (const number of come) present.add(number);
          expect(tree.size).toBe(present.size);
          expect(Buffer.from(bytesOf(tree.root))).toEqual(rootOf([...present].map(digestOf)));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('hashes three nodes for one digest among 100,000', () => {
    let hashed = 0;
    const counting: typeof sha256 = (parts) => {
      hashed++;
      return sha256(parts);
    };
    const digests = Array.from({ length: 100_000 }, (_, number) => textOf(hash(Buffer.from(String(number)))));
    const tree = finish(DigestTree.empty(counting).changed(digests, []));
    hashed = 0;
    finish(tree.changed([textOf(hash(Buffer.from('another')))], [digests[0]!]));
    expect(hashed).toBeLessThanOrEqual(5);
  });
});
