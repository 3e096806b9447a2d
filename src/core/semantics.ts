/**
 * Which defaults a policy set is read with. Each default that changes what a set means is a part of this one number, so
 * that a decision of any day can be computed again as it was meant then.
 *
 * - 1: version 0.1.
 * - 2: what docs/policy-changes.md lists under "From 0.1".
 */
export type Semantics = 1 | 2;

/** The number that a set is read with by default. */
export const currentSemantics: Semantics = 2;

/** The number of records and archived versions that name none, which 0.1 wrote. */
export const semanticsBeforeNumbers: Semantics = 1;

/** True if this engine can read sets with that number. A record of a later engine may have a higher one. */
export function isSemantics(number: number): number is Semantics {
  return number === 1 || number === currentSemantics;
}
