/**
 * The hashes of a group's records and what they come to: what is kept beside its text.
 *
 *     leaf   = SHA-256(0x00 ‖ salt ‖ sequence ‖ record)
 *     root   : the leaves in runs of four, each run hashed as SHA-256(0x02 ‖ the run); the same with what that gives, until
 *              one is left
 *     entry  = SHA-256(0x00 ‖ 0x01 ‖ first ‖ count ‖ root)
 *
 * `salt`: 16 random bytes, so that nobody can guess a record from its leaf; an erasure destroys it. `sequence` and `first`: 8 bytes,
 * big-endian; `count`: 4. `record`: the record without `writer` and `sequence` as RFC 8785 writes it, in UTF-8. Runs of
 * four and not pairs: a hash costs about the same for 65 bytes as for 129, so that the root costs each record a third of a
 * hash instead of a whole one, and a path of ten hashes still leads to the root of 128. The entry is the leaf hash of the writer's tree (merkle-tree.ts).
 */
import { hash, randomFillSync } from 'node:crypto';
import type { GapCause, Loss } from '../log-gap.js';
import { canonicalJson } from './canonical-json.js';
import { hashBytes, sha256Of, type TreeEntry, type TreeHash } from './merkle-tree.js';

export const saltBytes = 16;
const runLength = 4;
const headBytes = 1 + saltBytes + 8;

/** Of the records of a group, in order. */
export interface GroupHashes {
  /** `hashBytes` a record. */
  readonly leaves: Buffer;
  /** `saltBytes` a record. One that was destroyed is zeros. */
  readonly salts: Buffer;
  readonly root: TreeHash;
}

/** False for one that was destroyed: it is zeros. */
export function hasSalt(salts: Buffer, place: number): boolean {
  for (let at = place * saltBytes; at < (place + 1) * saltBytes; at++) if (salts[at] !== 0) return true;
  return false;
}

let pool = Buffer.alloc(0);

/** Salts for some records. One call to the system's generator gives those of some hundred. */
export function newSalts(count: number): Buffer {
  const bytes = count * saltBytes;
  if (bytes > pool.length) pool = randomFillSync(Buffer.allocUnsafeSlow(Math.max(4_096, bytes)));
  const salts = pool.subarray(0, bytes);
  pool = pool.subarray(bytes);
  return salts;
}

/** Texts are encoded here; larger ones get a buffer of their own. */
let scratch = Buffer.alloc(64 * 1024);
const keptScratch = 1024 * 1024;

/**
 * @param first the sequence of the first record
 * @param texts the records' canonical texts
 */
export function hashGroup(first: number, texts: readonly string[], salts: Buffer): GroupHashes {
  const leaves = hashLeaves(first, texts, salts);
  return { leaves, salts, root: groupRoot(leaves) };
}

/** The leaves alone. */
export function hashLeaves(first: number, texts: readonly string[], salts: Buffer): Buffer {
  const leaves = Buffer.allocUnsafe(texts.length * hashBytes);
  for (let i = 0; i < texts.length; i++) {
    const text = texts[i]!;
    const room = headBytes + text.length * 3;
    const bytes = room <= scratch.length ? scratch : largerScratch(room);
    bytes[0] = 0;
    salts.copy(bytes, 1, i * saltBytes, (i + 1) * saltBytes);
    writeNumber(bytes, first + i, 1 + saltBytes);
    const end = headBytes + bytes.write(text, headBytes);
    leaves.write(hash('sha256', bytes.subarray(0, end), 'binary'), i * hashBytes, 'latin1');
  }
  return leaves;
}

function largerScratch(room: number): Buffer {
  const larger = Buffer.alloc(room);
  if (room <= keptScratch) scratch = larger;
  return larger;
}

/** The leaf of one record. */
export function leafHash(sequence: number, text: string, salt: Buffer): TreeHash {
  return hashLeaves(sequence, [text], salt);
}

const run = Buffer.alloc(1 + runLength * hashBytes, 2);

export function groupRoot(leaves: Buffer): TreeHash {
  let level = leaves;
  while (level.length > hashBytes) level = nextLevel(level);
  return Buffer.from(level);
}

function nextLevel(level: Buffer): Buffer {
  const runBytes = runLength * hashBytes;
  const next = Buffer.allocUnsafe(Math.ceil(level.length / runBytes) * hashBytes);
  for (let from = 0, at = 0; from < level.length; from += runBytes, at += hashBytes) {
    const copied = level.copy(run, 1, from, from + runBytes);
    next.write(hash('sha256', run.subarray(0, 1 + copied), 'binary'), at, 'latin1');
  }
  return next;
}

/** The others of the runs that a leaf is in, from its own up. */
export function groupPath(leaves: Buffer, place: number): TreeHash[][] {
  const path: TreeHash[][] = [];
  let at = place;
  for (let level = leaves; level.length > hashBytes; level = nextLevel(level)) {
    const begin = Math.floor(at / runLength) * runLength;
    const end = Math.min(begin + runLength, level.length / hashBytes);
    const others: TreeHash[] = [];
    for (let i = begin; i < end; i++) {
      if (i !== at) others.push(Buffer.from(level.subarray(i * hashBytes, (i + 1) * hashBytes)));
    }
    path.push(others);
    at = Math.floor(at / runLength);
  }
  return path;
}

/** The root that the path of a leaf leads to. */
export function rootOfGroupPath(leaf: TreeHash, place: number, path: readonly (readonly TreeHash[])[]): TreeHash {
  let node = leaf;
  let at = place;
  for (const others of path) {
    const own = at % runLength;
    node = sha256Of(Buffer.concat([runPrefix, ...others.slice(0, own), node, ...others.slice(own)]));
    at = Math.floor(at / runLength);
  }
  return node;
}

const runPrefix = Buffer.from([2]);

const groupEntry = Buffer.alloc(2 + 8 + 4 + hashBytes);
groupEntry[1] = 1;

/** The leaf hash of a group in its writer's tree. */
export function entryOfGroup(first: number, count: number, root: TreeHash): TreeHash {
  writeNumber(groupEntry, first, 2);
  groupEntry.writeUInt32BE(count, 10);
  root.copy(groupEntry, 14);
  return sha256Of(groupEntry);
}

/** A group as its writer's tree has it. */
export interface HashedGroup {
  readonly first: number;
  readonly count: number;
  /** The node that it completed. */
  readonly node: TreeHash;
  readonly leaves: Buffer;
}

export class GroupEntry implements TreeEntry {
  constructor(private readonly group: HashedGroup) {}

  get node(): TreeHash {
    return this.group.node;
  }

  /** Made when it is asked for: most entries are read for their nodes. */
  get leaf(): TreeHash {
    const { first, count, leaves } = this.group;
    return entryOfGroup(first, count, groupRoot(leaves));
  }
}

const gapPrefix = Buffer.from([0, 2]);

/** That of a note of records that are missing: SHA-256(0x00 ‖ 0x02 ‖ the note as RFC 8785 writes it). */
export function entryOfGap({ after, lost, since, until, cause }: Loss & { readonly cause: GapCause }): TreeHash {
  return sha256Of(Buffer.concat([gapPrefix, Buffer.from(canonicalJson({ after, lost, since, until, cause }))]));
}

/** 8 bytes, big-endian. `writeBigUInt64BE` would make a BigInt for each record. */
function writeNumber(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), at);
  bytes.writeUInt32BE(value % 2 ** 32, at + 4);
}
