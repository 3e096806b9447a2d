/**
 * A Bloom filter of the keys (record-keys.ts) of a closed file: says for sure that a key is not in it, and is wrong about
 * 3 in 1,000 keys that are not.
 *
 * It is cut into blocks by the first bits of the key. A block holds twelve bits for each of its keys, of which a key sets
 * eight. The blocks of one number of all files lie side by side (catalog), so a look-up reads one run of them, however
 * many files there are.
 */

import type { SqliteConnection } from '../../database/sqlite/sqlite-connection.js';
import { keyBytes } from '../record-keys.js';

export const filterBlocks = 4_096;
const bitsPerKey = 12;
/**
 * A block of few keys has this many bits all the same: a small one would take other keys for those that all files have
 * (of a policy set, an action), and that in all files at once.
 */
const leastBits = 120;
const probes = 8;
/** Keys that a step takes at most, about: some milliseconds of the event loop. */
const keysPerStep = 16_384;
/** Keys of a record that no other record of its file has, about. */
const keysPerRecord = 3;

export interface FilterBlock {
  readonly block: number;
  readonly bits: Buffer;
}

/** The block that a key is in. */
export function blockOf(key: Buffer): number {
  return key.readUInt16BE(0) >>> 4;
}

/** True if a key may be in a block; `key` must belong to a block of this number. */
export function mayHoldKey(bits: Buffer, key: Buffer): boolean {
  for (const bit of bitsOf(key, 0, bits.length * 8)) if ((bits[bit >>> 3]! & (1 << (bit & 7))) === 0) return false;
  return true;
}

/** Number of steps, a power of two, in which the filter of a file with this number of records is made. */
export function filterSteps(records: number): number {
  let steps = 1;
  while (steps < filterBlocks / 16 && records * keysPerRecord > steps * keysPerStep) steps *= 2;
  return steps;
}

/** The blocks of one step, out of the index that `connection` has; blocks without keys are left out. */
export async function makeBlocks(connection: SqliteConnection, step: number, steps: number): Promise<FilterBlock[]> {
  const size = filterBlocks / steps;
  const bound = (block: number): Buffer => {
    const key = Buffer.alloc(keyBytes + 1, block === filterBlocks ? 0xff : 0);
    if (block < filterBlocks) key.writeUInt16BE(block << 4, 0);
    return key.subarray(0, block === filterBlocks ? keyBytes + 1 : keyBytes);
  };
  const [row] = await connection.query<{ keys: string | null }>(
    `SELECT group_concat(hex(key), '') AS keys FROM (
       SELECT DISTINCT k.key FROM segment s CROSS JOIN segment_key k
       WHERE k.segment = s.id AND k.key >= ? AND k.key < ? ORDER BY k.key)`,
    [bound(step * size), bound((step + 1) * size)],
  );
  return blocksOf(Buffer.from(row?.keys ?? '', 'hex'));
}

/** The blocks of keys that lie one behind another in order. */
export function blocksOf(keys: Buffer): FilterBlock[] {
  const blocks: FilterBlock[] = [];
  for (let start = 0; start < keys.length; ) {
    const block = keys.readUInt16BE(start) >>> 4;
    let end = start;
    while (end < keys.length && keys.readUInt16BE(end) >>> 4 === block) end += keyBytes;
    const bits = Buffer.alloc(Math.ceil(Math.max(leastBits, ((end - start) / keyBytes) * bitsPerKey) / 8));
    for (let at = start; at < end; at += keyBytes) {
      for (const bit of bitsOf(keys, at, bits.length * 8)) bits[bit >>> 3]! |= 1 << (bit & 7);
    }
    blocks.push({ block, bits });
    start = end;
  }
  return blocks;
}

const places = new Uint32Array(probes);

/** The bits that a key sets, by double hashing of what the block's number does not say. The next call overwrites them. */
function bitsOf(keys: Buffer, at: number, bits: number): Uint32Array {
  const rest = keys.readUInt32BE(at + 2) ^ Math.imul(keys.readUInt16BE(at) & 0xf, 0x9e3779b1);
  const first = Math.imul(rest ^ (rest >>> 15), 0x85ebca6b) >>> 0;
  const step = (Math.imul(rest ^ (rest >>> 13), 0xc2b2ae35) | 1) >>> 0;
  for (let i = 0; i < probes; i++) places[i] = ((first + Math.imul(i, step)) >>> 0) % bits;
  return places;
}
