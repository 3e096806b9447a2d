import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  entryOfGap,
  entryOfGroup,
  groupPath,
  groupRoot,
  hashGroup,
  leafHash,
  newSalts,
  rootOfGroupPath,
} from '../../../src/decision-log/proof/group-hashes.js';

const sha = (...parts: (string | Buffer)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const number64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};

describe('the hashes of a group', () => {
  it('are of a zero byte, the salt, the sequence and the text in UTF-8', () => {
    const salts = newSalts(3);
    const first = 2 ** 40 + 0xffff_ffff;
    const texts = ['{"id":"a"}', `{"id":"${'ü😀'.repeat(40_000)}"}`, '{}'];
    const { leaves } = hashGroup(first, texts, salts);
    for (const [i, text] of texts.entries()) {
      const salt = salts.subarray(16 * i, 16 * i + 16);
      const leaf = sha(Buffer.from([0]), salt, number64(first + i), text);
      expect(leaves.subarray(32 * i, 32 * i + 32)).toEqual(leaf);
      expect(leafHash(first + i, text, salt)).toEqual(leaf);
    }
  });

  it('come to a root by runs of four, and each leaf has a path to it, for sizes up to 140', () => {
    const all = hashGroup(
      1,
      Array.from({ length: 140 }, (_, i) => `{"n":${i}}`),
      newSalts(140),
    ).leaves;
    const naive = (nodes: Buffer[]): Buffer => {
      if (nodes.length === 1) return nodes[0]!;
      const runs = Array.from({ length: Math.ceil(nodes.length / 4) }, (_, i) => nodes.slice(4 * i, 4 * i + 4));
      return naive(runs.map((run) => sha(Buffer.from([2]), ...run)));
    };
    for (const count of [1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 140]) {
      const leaves = all.subarray(0, 32 * count);
      const nodes = Array.from({ length: count }, (_, i) => leaves.subarray(32 * i, 32 * i + 32));
      const root = groupRoot(leaves);
      expect(root).toEqual(naive(nodes));
      for (const [place, leaf] of nodes.entries()) {
        const path = groupPath(leaves, place);
        expect(rootOfGroupPath(leaf, place, path)).toEqual(root);
        if (count > 1) expect(rootOfGroupPath(leaf, (place + 1) % count, path)).not.toEqual(root);
      }
    }
    expect(groupPath(all.subarray(0, 32 * 128), 77).flat()).toHaveLength(3 + 3 + 3 + 1);
  });

  it('make an entry of where the group begins, how many records it has, and its root', () => {
    const root = sha('root');
    const count = Buffer.from([0, 0, 0, 7]);
    expect(entryOfGroup(2 ** 33 + 5, 7, root)).toEqual(sha(Buffer.from([0, 1]), number64(2 ** 33 + 5), count, root));
    const gap = { after: 7, lost: null, since: 1, until: 2, cause: 'not_flushed' } as const;
    const text = '{"after":7,"cause":"not_flushed","lost":null,"since":1,"until":2}';
    expect(entryOfGap(gap)).toEqual(sha(Buffer.from([0, 2]), text));
  });

  it('never use a salt twice', () => {
    const salts = newSalts(1_000);
    const each = Array.from({ length: 1_000 }, (_, i) => salts.toString('hex', 16 * i, 16 * i + 16));
    expect(new Set(each).size).toBe(1_000);
  });
});
