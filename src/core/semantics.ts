/**
 * Which defaults a policy set is read with. Each default that changes what a set means is a part of this one number, so
 * that a decision of any day can be computed again as it was meant then.
 *
 * - 1: version 0.1.
 * - 2: what docs/policy-changes.md lists under "From 0.1".
 */
export type Semantics = 1 | 2;

/** What a set is read with unless something older is asked for. */
export const currentSemantics: Semantics = 2;

/** Of records and archived versions that name no number: they are older than the number. */
export const semanticsBeforeNumbers: Semantics = 1;

/** Whether this engine can read sets with that number; a record of a later engine may have a higher one. */
export function isSemantics(number: number): number is Semantics {
  return number === 1 || number === currentSemantics;
}
