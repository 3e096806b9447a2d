/**
 * The index of bundles: one JSON document, `index.json`, that names all sets. A replica polls it alone.
 *
 *     format     1
 *     number     rises with every index that is written, from 1 on
 *     created    RFC 3339
 *     expires    RFC 3339; from then on the index confirms nothing
 *     sets       in the order of their names, each with
 *       set        name
 *       revision   number of the set
 *       version    version of its files, `sha256:…`
 *       digest     of the archive, `sha256:…`
 *       size       of the archive in bytes
 *       address    of the archive, relative to the folder of the index; its signature lies beside it, with `.jws` behind
 *       rollback   true where a lower revision than the one before is meant; otherwise left out
 *     removed    sets that it named earlier, with their last `revision`, from which they go on when they come back, the
 *                one that was removed last at the end; left out where there are none
 *
 * Signed, it is the payload of a JWS in the flattened JSON form (`bundle-signature.ts`).
 */
import { parseRfc3339 } from '../../core/rfc3339.js';
import { BundleError } from './bundle-error.js';
import { bundleFormat, readDigest, readRevisionNumber, readSetName, readTime, requireFormat } from './bundle-format.js';
import { JsonMembers } from './json-members.js';

export const indexPath = 'index.json';
/** Largest index in bytes, its signature included. */
export const maxIndexBytes = 8 * 1024 * 1024;
/** Most sets of an index, and most that were removed. */
export const maxIndexSets = 10_000;

export interface IndexedBundle {
  readonly set: string;
  readonly revision: number;
  readonly version: string;
  readonly digest: string;
  readonly size: number;
  readonly address: string;
  readonly rollback: boolean;
}

export type RemovedSet = Pick<IndexedBundle, 'set' | 'revision'>;

export interface BundleIndex {
  readonly number: number;
  readonly created: string;
  readonly expires: string;
  readonly sets: readonly IndexedBundle[];
  readonly removed: readonly RemovedSet[];
}

export function writeIndex({ number, created, expires, sets, removed }: BundleIndex): string {
  const inOrder = sets
    .toSorted((a, b) => (a.set < b.set ? -1 : 1))
    .map(({ rollback, set, revision, version, digest, size, address }) => ({
      ...{ set, revision, version, digest, size, address },
      ...(rollback && { rollback }),
    }));
  const members = { format: bundleFormat, number, created, expires, sets: inOrder };
  return `${JSON.stringify({ ...members, ...(removed.length > 0 && { removed }) }, null, 2)}\n`;
}

/** @throws BundleError `bundle_index_invalid` */
export function readIndex(text: string): BundleIndex {
  const members = JsonMembers.parse(text, 'the index', refuse);
  requireFormat(members, refuse);
  const index = {
    number: members.integer('number', 1),
    created: readTime(members, 'created', refuse),
    expires: readTime(members, 'expires', refuse),
    sets: Object.freeze(readSets(members.list('sets'))),
    removed: Object.freeze(members.has('removed') ? readRemoved(members.list('removed')) : []),
  };
  members.end();
  return Object.freeze(index);
}

/** When an index expires, in milliseconds since 1970. */
export function indexExpiry({ expires }: BundleIndex): number {
  return parseRfc3339(expires) ?? Number.NEGATIVE_INFINITY;
}

/** Where the signature of an archive lies. */
export function signatureAddress(address: string): string {
  return `${address}.jws`;
}

function readSets(list: readonly unknown[]): IndexedBundle[] {
  if (list.length > maxIndexSets) throw refuse(`it names ${list.length} sets; ${maxIndexSets} are allowed`);
  const sets = list.map((value, at) => readIndexedBundle(value, `entry ${at + 1}`, refuse));
  const names = new Set<string>();
  for (const { set } of sets) {
    if (names.has(set)) throw refuse(`it names the set ${set} twice`);
    names.add(set);
  }
  return sets;
}

function readRemoved(list: readonly unknown[]): RemovedSet[] {
  if (list.length > maxIndexSets) throw refuse(`it has ${list.length} removed sets; ${maxIndexSets} are allowed`);
  return list.map((value, at) => {
    const members = new JsonMembers(value, `removed set ${at + 1}`, refuse);
    const removed = { set: readSetName(members), revision: readRevisionNumber(members) };
    members.end();
    return Object.freeze(removed);
  });
}

/** Parts of letters, digits and `.`, `_`, `-`, none of which begins with a dot: so no address leads out of the folder. */
const relativeAddress = /^(?=.{1,512}$)[A-Za-z0-9_-][A-Za-z0-9._-]*(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

/** @param what the entry in messages */
export function readIndexedBundle(value: unknown, what: string, refuse: (message: string) => Error): IndexedBundle {
  const members = new JsonMembers(value, what, refuse);
  const entry = {
    set: readSetName(members),
    revision: readRevisionNumber(members),
    version: readDigest(members, 'version'),
    digest: readDigest(members, 'digest'),
    size: members.integer('size', 1),
    address: members.text('address', relativeAddress, 'a path in the folder of the index'),
    rollback: members.flag('rollback'),
  };
  members.end();
  return Object.freeze(entry);
}

function refuse(message: string): BundleError {
  return new BundleError('bundle_index_invalid', `the index is refused: ${message}`);
}
