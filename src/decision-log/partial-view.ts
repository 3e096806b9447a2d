import type { DecisionRecord } from './decision-record.js';
import type { LogGap } from './log-gap.js';

/**
 * Records and gaps as somebody sees them. Who may read some policy sets alone does not see what counts the records of all:
 * the sequence, the place of a gap, and how many records are missing in it.
 */
export type SeenRecord = Omit<DecisionRecord, 'sequence'> & { readonly sequence?: number };
export type SeenGap = Omit<LogGap, 'after'> & { readonly after?: number };

export function recordForSome({ sequence: _, ...record }: DecisionRecord): SeenRecord {
  return record;
}

export function gapForSome({ from, to, cause }: LogGap): SeenGap {
  return { lost: null, from, to, cause };
}
