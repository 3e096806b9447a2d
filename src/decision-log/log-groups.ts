import type { StoredGroup } from './group-text.js';
import type { LogGap } from './log-gap.js';

/** Which groups of a log are wanted. */
export interface GroupsQuery {
  readonly policySet: string;
  /** Milliseconds since 1970; `from` is within, `to` is not. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

/** Some groups of a log as they are stored, newest first. A group may hold records of other sets and times. */
export interface LogGroups {
  readonly groups: readonly StoredGroup[];
  /** Gaps of the time asked for that were not named before, whatever the set. */
  readonly gaps: readonly LogGap[];
  /** Replicas that may have decided more in the time asked for than is here. The first piece names them. */
  readonly unshipped?: readonly string[];
}
