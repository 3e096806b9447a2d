import type { OrderCounts } from './erase-group.js';
import type { ErasureOrder } from './standing-orders.js';

/** Whose id it is that is erased. */
export const erasedKinds = ['subject', 'resource'] as const;
export type ErasedKind = (typeof erasedKinds)[number];

export interface NewErasureOrder extends ErasureOrder {
  readonly kind: ErasedKind;
  readonly reason: string;
  /** The name of the caller. */
  readonly by: string;
}

export interface StoredErasureOrder extends NewErasureOrder, OrderCounts {
  readonly unreadable: number;
  /** When it was carried out everywhere, in milliseconds since 1970; null until then. */
  readonly finished: number | null;
  /** The instances that have not carried it out yet, where the log is one of many. */
  readonly waitingFor?: readonly string[];
}

/**
 * The orders to erase persons. Each stands for good: records that come to the log later, of decisions of before, are erased as they
 * come. None says whom it is about.
 *
 * The folders beside this file implement it; `test/decision-log/erasure/erasure-orders-suite.ts` is what each must do.
 */
export abstract class ErasureOrders {
  /** The key of the digests, 32 random bytes. */
  abstract key(): Promise<Buffer>;

  /** Commits an order. */
  abstract add(order: NewErasureOrder): Promise<void>;

  /** Undefined for one that is not there. */
  abstract find(id: string): Promise<StoredErasureOrder | undefined>;

  /** The newest first. `before`: the id of the last one of the page before. */
  abstract list(limit: number, before?: string): Promise<readonly StoredErasureOrder[]>;

  /**
   * When the last order was made or carried out, in milliseconds since 1970; undefined where there is none. What was copied out of the
   * log before can name a person who is erased.
   */
  abstract newest(): Promise<number | undefined>;

  /** Those that this process has to carry out, the oldest first. */
  abstract open(): Promise<readonly ErasureOrder[]>;

  /** Whether a process runs that carries orders out, as far as the store knows. */
  abstract isAttended(): Promise<boolean>;

  /** Adds to what became of records. */
  abstract count(id: string, counts: OrderCounts, unreadable: number): Promise<void>;

  /** Notes that this process has carried it out, at `time` in milliseconds since 1970. */
  abstract finish(id: string, time: number): Promise<void>;

  /** Has this process carry out all orders again; says whether it could note that. */
  abstract reopen(): Promise<boolean>;

  abstract close(): Promise<void>;
}
