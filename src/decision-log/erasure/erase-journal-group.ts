import { groupOfText, type JournalGroup } from '../journal-group.js';
import type { NoteSigner } from '../proof/signed-note.js';
import { type ErasureCounts, eraseFromGroup, withoutSalts } from './erase-group.js';
import { signErasure } from './erasure-signature.js';
import type { ErasingOrders } from './erasures.js';

/** Erases persons from a group before it is shipped. One that names nobody is given back as it is. */
export function eraseFromJournalGroup(
  group: JournalGroup,
  orders: ErasingOrders,
  signer: NoteSigner | undefined,
  counts: ErasureCounts,
): JournalGroup {
  const { first, since, proof } = group;
  if (since > orders.standing.latest) return group;
  const sign =
    proof === undefined || signer === undefined
      ? undefined
      : (sequence: number, whole: string) => signErasure(proof.tree, sequence, whole, signer);
  const { text, places, counts: more } = eraseFromGroup(first, group.text.toString(), { ...orders, sign });
  counts.add(more);
  if (places.length === 0) return group;
  const { entries, tally, text: bytes } = groupOfText(first, text);
  return {
    ...group,
    entries,
    tally,
    text: bytes,
    proof: proof && { ...proof, salts: withoutSalts(proof.salts, places) },
  };
}
