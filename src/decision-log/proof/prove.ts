import { invalidParameter, VerdictError } from '../../errors.js';
import type { RecordedDecisions } from '../recorded-decisions.js';
import type { CheckpointPage, DecisionProof, StoredProofs, TreeConsistency } from './decision-proofs.js';
import { groupPath, hasSalt, saltBytes } from './group-hashes.js';
import { consistencyProof, hashBytes, inclusionProof, type StoredTree, type TreeHash } from './merkle-tree.js';

/** How long until the next checkpoint, at most, in seconds. */
const checkpointSeconds = 60;

/** A log that answers about its proof. */
export interface ProvenLog extends Pick<RecordedDecisions, 'find' | 'notFound'> {
  readonly proofs: StoredProofs;
}

/**
 * Proves that a record is in the log that a checkpoint signs.
 *
 * @throws VerdictError `decision_not_found`, `no_proof`, `proof_pending`
 */
export async function proveDecision(log: ProvenLog, id: string): Promise<DecisionProof> {
  const record = await log.find(id);
  if (record === undefined) throw await log.notFound(id);
  const { sequence } = record;
  const group = await log.proofs.groupOf(record);
  if (group === 'pending') throw pending(id, 1);
  if (group === undefined) throw noProof(`Nothing proves the decision "${id}": it was recorded without.`);
  const { tree, entry, first, count, leaves, salts, provable } = group;
  const range = { tree, before: Number.MAX_SAFE_INTEGER, limit: 1, entries: provable };
  const [checkpoint] = await log.proofs.checkpoints(range);
  if (checkpoint === undefined || checkpoint.entries <= entry) {
    if (provable === undefined) throw pending(id, checkpointSeconds);
    throw noProof(`What would prove the decision "${id}" was removed by the retention.`);
  }
  const place = sequence - first;
  const salt = salts.subarray(place * saltBytes, (place + 1) * saltBytes);
  const path = await inTree(log.proofs, tree, (stored) => inclusionProof(stored, entry, checkpoint.entries), entry);
  return {
    id,
    sequence,
    ...(hasSalt(salts, place) && { salt: salt.toString('base64') }),
    ...(record.erased !== undefined && { erased: record.erased }),
    leaf: leaves.toString('base64', place * hashBytes, (place + 1) * hashBytes),
    group: { first, count, path: groupPath(leaves, place).map(pathText) },
    entry,
    path: pathText(path),
    checkpoint: checkpoint.note,
  };
}

/**
 * Proves that a tree of `from` entries is the beginning of the same tree with `to` entries.
 *
 * @param name that of the tree; undefined: that of the newest checkpoint
 * @throws VerdictError `invalid_request`, `no_proof`
 */
export async function proveConsistency(
  proofs: StoredProofs,
  from: number,
  to: number,
  name: string | undefined,
): Promise<TreeConsistency> {
  const [newest] = await proofs.checkpoints({ tree: name, before: Number.MAX_SAFE_INTEGER, limit: 1 });
  if (newest === undefined) throw noProof('There is no checkpoint of such a tree.');
  if (from > to) throw invalidParameter('from', 'is greater than `to`');
  if (to > newest.entries) throw invalidParameter('to', `is greater than ${newest.entries}, which is signed`);
  const path = await inTree(proofs, newest.tree, async (tree) => {
    if (from < tree.anchor.size && from > 0) {
      throw invalidParameter('from', `is less than ${tree.anchor.size}; what was before is not kept any more`);
    }
    return consistencyProof(tree, from, to);
  });
  return { tree: newest.tree, from, to, path: pathText(path) };
}

/** A page of checkpoints, the newest first. */
export async function pageOfCheckpoints(
  proofs: StoredProofs,
  query: { readonly tree?: string | undefined; readonly cursor?: string | undefined; readonly limit: number },
): Promise<CheckpointPage> {
  const { tree, limit, cursor } = query;
  const before = cursor === undefined ? Number.MAX_SAFE_INTEGER : decodeCursor(cursor);
  const found = await proofs.checkpoints({ tree, before, limit: limit + 1 });
  // Of one millisecond all are on one page: the cursor is a time.
  const items = found.slice(0, limit).map((stored) => ({ ...stored, time: new Date(stored.time).toISOString() }));
  if (found.length <= limit) return { items };
  return { items, nextCursor: Buffer.from(`c:${found[limit - 1]!.time}`).toString('base64url') };
}

function decodeCursor(cursor: string): number {
  const time = /^c:(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'))?.[1];
  if (time === undefined) throw invalidParameter('cursor', 'is not a cursor of this list');
  return Number(time);
}

function inTree<T>(
  proofs: StoredProofs,
  name: string,
  work: (tree: StoredTree) => Promise<T>,
  entry?: number,
): Promise<T> {
  const found = async (tree: StoredTree | undefined) => {
    if (tree === undefined) throw noProof('The tree is not kept any more.');
    return work(tree);
  };
  return proofs.inTree(name, found, entry);
}

function pathText(path: readonly TreeHash[]): string {
  return Buffer.concat(path).toString('base64');
}

function noProof(detail: string): VerdictError {
  return new VerdictError('no_proof', detail);
}

function pending(id: string, retryAfter: number): VerdictError {
  return new VerdictError('proof_pending', `No checkpoint is about the decision "${id}" yet.`, { retryAfter });
}
