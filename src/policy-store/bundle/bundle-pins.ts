import type { Semantics } from '../../core/semantics.js';
import type { IndexedBundle } from './bundle-index.js';
import type { FetchedBundle } from './fetch-bundle.js';

/** A bundle that every replica is to serve in place of the one that an index names. */
export interface SharedPin {
  /** As an index named it. */
  readonly bundle: IndexedBundle;
  /** The number of the defaults that it served under. */
  readonly semantics: Semantics;
  /** The digest of the bundle that the index named then; over another one the pin does not hold. */
  readonly over: string;
  /** The number of that index. */
  readonly number: number;
  /** The number of the first index of which another bundle was put into service; undefined while there is none. */
  readonly ended?: number | undefined;
}

/** Whether a replica that takes this bundle from an index of this number is to serve the pinned one in its place. */
export function holds(pin: SharedPin, named: IndexedBundle, number: number): boolean {
  // The archive that was named at the rollback may be published again later: that is meant then.
  return pin.over === named.digest && number < (pin.ended ?? Number.POSITIVE_INFINITY);
}

/**
 * What the sets of bundles were rolled back to: state that all replicas of a database follow, one pin a set. The bytes are
 * there too, for replicas that never had them, and are verified by each.
 *
 * `postgres/` implements it. One process alone remembers its rollbacks in its own folder (`bundle-shelf.ts`).
 */
export abstract class BundlePins {
  /** Also those that ended. */
  abstract all(): Promise<readonly SharedPin[]>;

  /** The bytes of a pinned bundle; undefined when another one is pinned by now. */
  abstract content(pin: SharedPin): Promise<FetchedBundle | undefined>;

  /**
   * Pins a bundle in place of whatever is pinned of its set. When this resolves, all replicas will follow.
   *
   * @param note `at` in milliseconds since 1970
   */
  abstract pin(
    pin: SharedPin,
    content: FetchedBundle,
    note: { readonly by: string; readonly at: number },
  ): Promise<void>;

  /** Ends the pin of a set at once, on all replicas. */
  abstract unpin(set: string): Promise<void>;

  /** Notes that the pin has ended with an index of this number; a replica that is behind holds it until then. */
  abstract end(pin: SharedPin, number: number): Promise<void>;
}
