import type { DecisionRecord } from './decision-record.js';
import type { LogGap } from './log-gap.js';

/** The answer to a `DecisionQuery`. */
export interface DecisionPage {
  /** Newest first. */
  readonly items: readonly DecisionRecord[];
  /** Missing on the last page. */
  readonly nextCursor?: string;
  /**
   * Given when the budget ran out before the page was full: every record from this time on was looked at, and
   * `nextCursor` goes on from there.
   */
  readonly searchedTo?: string;
  /** Records that are missing (mode `async`) among those that were looked at; not given when there are none. */
  readonly gaps?: readonly LogGap[];
}
