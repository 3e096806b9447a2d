import type { Rate } from '../config/rate.js';

/** The limits that are counted apart from each other. */
export const limitKinds = ['decide', 'search', 'export', 'keys', 'failures'] as const;
export type LimitName = (typeof limitKinds)[number];

/** What is counted: the limits, and quotas by the day. */
export const countedKinds = [...limitKinds, 'quota'] as const;
export type CountedKind = (typeof countedKinds)[number];

/** The state of a limit after a call. */
export interface Allowance {
  readonly limited: boolean;
  /** Points of the steady rate that are left in this period. */
  readonly remaining: number;
  /** Seconds until the steady rate is restored. For a refused call: until the same call passes if no other comes. */
  readonly resetSeconds: number;
  /** Set where a call is refused because its points cannot be counted now, whether or not any are left. */
  readonly isUncounted?: true;
}

/** Counts the points of one limit, by key. */
export interface Limiter {
  /** Takes all the points or none. */
  take(key: string, points: number): Allowance;

  /** Returns the points of a call that was refused afterwards. */
  giveBack(key: string, points: number): void;
}

/** Counts points by the day, by the calendar of UTC. */
export interface DayLimiter {
  /** Takes all the points of `quota` a day, or none. */
  take(quota: number, key: string, points: number): Allowance;

  giveBack(quota: number, key: string, points: number): void;
}

/** Where points are counted. */
export interface Limiters {
  ofRate(name: LimitName, rate: Rate): Limiter;
  readonly ofDays: DayLimiter;
}

/** @param time when it is, of the same clock as `now`, in milliseconds */
export function secondsTo(time: number, now: number): number {
  return Math.max(1, Math.ceil((time - now) / 1000));
}
