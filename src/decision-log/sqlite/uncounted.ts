import type { TallyRow } from '../tally.js';

/** A committed group whose decisions the index does not count yet. */
export interface UncountedGroup {
  /** Sequences of its first and last record. */
  readonly first: number;
  readonly last: number;
  readonly rows: readonly TallyRow[];
}
