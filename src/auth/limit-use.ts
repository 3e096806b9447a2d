import type { Rate } from '../config/rate.js';

/** Periods of a rate after which the burst is restored. */
export const burstPeriods = 10;

export const daySeconds = 86_400;

/**
 * What all replicas have used of one limit of one caller. Periods are numbered from 1970 on, and ten of them, from a multiple
 * of ten on, share one burst.
 */
export interface LimitUse {
  readonly period: number;
  /** Points used in this period. */
  readonly used: number;
  /** Points beyond the steady rate that were used in earlier periods of the ten. */
  readonly beyond: number;
  /** Points that were asked for in this period, refused ones too. */
  readonly asked: number;
  /** The same of the period before. */
  readonly askedBefore: number;
}

/** A use without anything. */
export function emptyUse(period: number): LimitUse {
  return { period, used: 0, beyond: 0, asked: 0, askedBefore: 0 };
}

/** Points that are left in its period, of the steady rate and beyond it. */
export function leftOf({ used, beyond }: LimitUse, { burst }: Rate): number {
  return Math.max(0, burst - beyond - used);
}

/**
 * What a use is in a later period. What was used beyond the burst, since replicas did not know of each other yet, is missing
 * in the next period, up to the whole of its steady rate: an error does not add up.
 *
 *     const rate = { points: 10, seconds: 1, burst: 15 };
 *     inPeriod({ period: 41, used: 12, … }, 42, rate)   // { period: 42, used: 0, beyond: 2, … }
 *     inPeriod({ period: 41, used: 18, … }, 42, rate)   // { period: 42, used: 3, beyond: 5, … }
 *     inPeriod({ period: 41, used: 18, … }, 43, rate)   // { period: 43, used: 0, beyond: 5, … }
 *     inPeriod({ period: 41, used: 18, … }, 50, rate)   // { period: 50, used: 0, beyond: 0, … }
 *
 * `PostgresLimitUses` has the same in SQL.
 */
export function inPeriod(use: LimitUse, period: number, { points, burst }: Rate): LimitUse {
  if (period <= use.period) return use;
  const isNext = period === use.period + 1;
  const gone = use.beyond + Math.max(0, use.used - points);
  const most = burst - points;
  const isSameBurst = Math.floor(period / burstPeriods) === Math.floor(use.period / burstPeriods);
  return {
    period,
    used: isNext ? Math.min(points, Math.max(0, gone - most)) : 0,
    beyond: isSameBurst ? Math.min(gone, most) : 0,
    asked: 0,
    askedBefore: isNext ? use.asked : 0,
  };
}

/**
 * The part of what is left that one replica may pass before it asks again: half of it is divided by what each was asked for
 * lately, half evenly. The parts of all replicas add up to one.
 *
 * @param own points that this replica was asked for, in the period of the use and the one before
 */
export function shareOf(own: number, { asked, askedBefore }: LimitUse, replicas: number): number {
  const all = asked + askedBefore;
  return all <= 0 ? 1 / replicas : (Math.min(1, own / all) + 1 / replicas) / 2;
}
