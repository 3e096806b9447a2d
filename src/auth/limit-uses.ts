import type { Rate } from '../config/rate.js';
import type { LimitUse } from './limit-use.js';
import type { CountedKind } from './limiters.js';

/** What is counted by one number for all replicas. */
export interface LimitCounter {
  /** Names the limit and the caller, by a digest of 22 characters. */
  readonly id: string;
  readonly kind: CountedKind;
  readonly rate: Rate;
  /** How long before multiples of their length its periods begin, in milliseconds: not those of all callers begin at once. */
  readonly phaseMs: number;
}

/** What one replica has to tell of a counter. */
export interface LimitCharge {
  readonly counter: LimitCounter;
  /** Points that it passed, less those that were given back. */
  readonly points: number;
  /** Points that it was asked for, refused ones too. */
  readonly asked: number;
}

export interface ChargedUses {
  /** The clock that periods are counted by, as the charges were counted; milliseconds since 1970. */
  readonly now: number;
  /** By the counter's id, these charges included. */
  readonly uses: ReadonlyMap<string, LimitUse>;
}

/** The uses of limits by all replicas. */
export abstract class LimitUses {
  /** Makes ready, as far as that is possible now. Does not throw. */
  abstract prepare(): Promise<void>;

  /**
   * Counts charges, at most one a counter, into the period that it is by the clock of the database.
   *
   * @throws DatabaseError
   */
  abstract charge(charges: readonly LimitCharge[]): Promise<ChargedUses>;

  /**
   * Removes counters whose periods are over, and returns how many others there are of each kind.
   *
   * @throws DatabaseError
   */
  abstract prune(): Promise<ReadonlyMap<string, number>>;
}
