import type { TallyField } from './tally.js';

export type StatsItem = {
  /** When the bucket begins. */
  readonly time?: string;
  readonly count: number;
  /** Fields of `by` that are missing here, since their values were too many to be kept apart: the count is of all those. */
  readonly other?: readonly TallyField[];
} & { readonly [field in TallyField]?: string };

export interface DecisionStats {
  /** In order of time, then the most frequent first. */
  readonly items: readonly StatsItem[];
  readonly total: number;
  /**
   * Decisions that are not in `total` and may belong there: they pass all filters but one on a field whose values were too
   * many to be kept apart. Not given when there are none.
   */
  readonly uncertain?: number;
  /** Given while counts are being made anew: some decisions since `countedTo` are missing here. */
  readonly complete?: false;
  readonly countedTo?: string;
  /** Given where `top` asks for it. */
  readonly top?: TopIds;
}

/** The ids that decisions are about most often. */
export interface TopIds {
  /** The most frequent first, and among equals in order of their ids. */
  readonly ids: readonly { readonly id: string; readonly count: number }[];
  /** How many records were counted. */
  readonly examined: number;
  /** Given when that were not all that match: those from this time on were counted. */
  readonly searchedTo?: string;
}
