/**
 * What replaces the hash of an erased record as its proof. Its leaf stays and its salt is gone, so that the leaf says nothing of what is
 * there now: a signed note (C2SP signed-note) of the log does, of which the record keeps the signature.
 *
 *     verdict erased
 *     <name of the tree>
 *     <sequence>
 *     <SHA-256 of the record as it is now, without this signature; base64>
 *
 *     — verdict-replica <signature>
 */
import { hash } from 'node:crypto';
import { type NoteKey, type NoteSigner, openNote, signNote } from '../proof/signed-note.js';
import type { RecordErasure } from './record-erasure.js';

/** @param whole the record's text as a whole, with `erased` that has no signature */
export function signErasure(tree: string, sequence: number, whole: string, signer: NoteSigner): string {
  const text = noteText(tree, sequence, whole);
  return signNote(text, [signer]).slice(text.length + 1, -1);
}

/** Whether one of the keys signed the record as it is, at this place. `whole`: as above. */
export function isSignedErasure(
  tree: string,
  sequence: number,
  whole: string,
  { signature }: RecordErasure,
  keys: readonly NoteKey[],
): boolean {
  if (typeof signature !== 'string') return false;
  const note = openNote(`${noteText(tree, sequence, whole)}\n${signature}\n`, keys);
  return note !== undefined && note.signers.length > 0;
}

function noteText(tree: string, sequence: number, whole: string): string {
  return `verdict erased\n${tree}\n${sequence}\n${hash('sha256', whole, 'base64')}\n`;
}
