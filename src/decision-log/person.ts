import { pointerStep } from '../core/json-pointer.js';
import { quote } from '../core/quote.js';
import { type ErasableMembers, eraseFromRecord } from './erasure/erase-record.js';

/**
 * How a record concerns a person. `about`: its subject or its resource has the id. `names`: another value is equal to it.
 */
export type Relation = 'about' | 'names';

/**
 * How a record concerns the person with an id; undefined: not at all. By construction it is what an erasure of the id
 * changes in the record.
 *
 *     {subject: {id: 'dana'}, …}                                    →  about
 *     {subject: {id: 'ann', attributes: {manager: 'dana'}}, …}      →  names
 *     {subject: {id: 'ann', attributes: {note: 'dana left'}}, …}    →  undefined
 */
export function relationTo(record: ErasableMembers, id: string): Relation | undefined {
  const order = { id: '', time: 0, digest: '' };
  const covering = (value: string) => (value === id ? order : undefined);
  const erased = eraseFromRecord(record, order.time, { covering });
  return erased && (erased.about.length > 0 ? 'about' : 'names');
}

/**
 * Texts of which each record that concerns the person has one in its JSON: the id as it is written in a text, as a step
 * of a pointer, and as a message quotes it.
 */
export function textsOfPerson(id: string): readonly string[] {
  const texts = new Set([id, pointerStep(id), quote(id).slice(1, -1)]);
  return [...texts].map((text) => JSON.stringify(text).slice(1, -1));
}
