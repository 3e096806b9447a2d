import { VerdictError } from '../../errors.js';
import type { Hold, NewHold } from './hold.js';

/** Most holds that are in force at once: each is looked at for each part of the log that retention would remove. */
export const mostHolds = 1_000;
/** Most released ones that are listed, the newest first. */
export const mostReleased = 1_000;

/** What retention and erasure need of the holds. */
export interface HoldGuard {
  /** Those in force, as they are now. */
  inForce(): Promise<readonly Hold[]>;

  /**
   * Removes records. `remove` gets the holds in force. Until it has ended none is added anywhere: one that was answered
   * before is seen, and one that is answered later found what was left. It should take less than a second.
   */
  guard<Result>(remove: (inForce: readonly Hold[]) => Promise<Result>): Promise<Result>;
}

/** For logs whose records no hold is about. */
export const noHolds: HoldGuard = { inForce: async () => [], guard: (remove) => remove([]) };

/**
 * The holds on records of the decision log, of all replicas. A hold that was released stays on the list, as what it was.
 *
 * This class is the token for the injector. The folders beside it (`sqlite/`, `postgres/`) implement it. What each
 * implementation must do is tested by one suite, `test/decision-log/holds/holds-suite.ts`.
 */
export abstract class Holds implements HoldGuard {
  /**
   * Adds a hold. When this resolves, no retention that begins later, on any replica, removes what it keeps.
   *
   * @param now milliseconds since 1970
   * @throws VerdictError `conflict` when there are `mostHolds` in force
   */
  abstract add(hold: NewHold, now: number): Promise<Hold>;

  /** Those in force, the newest first, then the newest `mostReleased` that were released. */
  abstract list(): Promise<readonly Hold[]>;

  /** @throws VerdictError `hold_not_found` */
  abstract find(id: string): Promise<Hold>;

  /**
   * Releases a hold. Of two that release it at once one succeeds.
   *
   * @throws VerdictError `hold_not_found` where there is none in force with this id
   */
  abstract release(id: string, by: string, now: number): Promise<Hold>;

  abstract inForce(): Promise<readonly Hold[]>;

  abstract guard<Result>(remove: (inForce: readonly Hold[]) => Promise<Result>): Promise<Result>;

  abstract close(): Promise<void>;
}

export function holdNotFound(id: string, which = ''): VerdictError {
  return new VerdictError('hold_not_found', `There is no hold "${id}"${which}.`);
}

export function tooManyHolds(): VerdictError {
  return new VerdictError('conflict', `There are ${mostHolds} holds in force, which is the most that there may be.`);
}
