/**
 * A checkpoint says how far a writer's tree has grown, and with which root: a signed note in the form of C2SP tlog-checkpoint
 * (https://c2sp.org/tlog-checkpoint) with two lines more.
 *
 *     verdict/<name of the tree>
 *     <number of its entries>
 *     <root, base64>
 *     sequence <of the newest record; 0 before the first>
 *     time <RFC 3339>
 *
 *     — verdict-replica <signature>
 *
 * An *anchor* has a sixth line, `anchor`: it says that the retention removed all entries before it.
 */

import { hashBytes, type TreeHash } from './merkle-tree.js';
import { type NoteKey, type NoteSigner, openNote, signNote } from './signed-note.js';

export interface Checkpoint {
  /** The name of the tree. */
  readonly tree: string;
  readonly size: number;
  readonly root: TreeHash;
  readonly sequence: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly isAnchor: boolean;
}

export function signCheckpoint(checkpoint: Checkpoint, signer: NoteSigner): string {
  return signNote(checkpointText(checkpoint), [signer]);
}

function checkpointText({ tree, size, root, sequence, time, isAnchor }: Checkpoint): string {
  const at = new Date(time).toISOString();
  const text = `verdict/${tree}\n${size}\n${root.toString('base64')}\nsequence ${sequence}\ntime ${at}\n`;
  return isAnchor ? `${text}anchor\n` : text;
}

/** Reads what a note says without looking at its signatures; undefined for a text of another form. */
export function readCheckpoint(text: string): Checkpoint | undefined {
  const match = form.exec(text);
  if (match === null) return undefined;
  const [, tree, size, root, sequence, time, anchor] = match;
  const checkpoint = {
    tree: tree!,
    size: Number(size),
    root: Buffer.from(root!, 'base64'),
    sequence: Number(sequence),
    time: Date.parse(time!),
    isAnchor: anchor !== undefined,
  };
  if (checkpoint.root.length !== hashBytes || Number.isNaN(checkpoint.time)) return undefined;
  return checkpointText(checkpoint) === text ? checkpoint : undefined;
}

const form =
  /^verdict\/([0-9a-f]{32})\n(\d{1,16})\n([A-Za-z0-9+/]{43}=)\nsequence (\d{1,16})\ntime (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)\n(anchor\n)?$/;

/** Reads a checkpoint that one of these keys signed; undefined where none of them did, or for a text of another form. */
export function openCheckpoint(note: string, keys: readonly NoteKey[]): Checkpoint | undefined {
  const open = openNote(note, keys);
  return open === undefined || open.signers.length === 0 ? undefined : readCheckpoint(open.text);
}
