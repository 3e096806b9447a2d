import type { Rate } from '../config/rate.js';
import type { Allowance, Limiter, Limiters, LimitName } from './limiters.js';
import { localLimiters } from './local-limiters.js';

interface NamedLimit {
  readonly rate: Rate;
  readonly limiter: Limiter;
}

/** A body, or a message, costs one point of its limit for every 4 KiB, rounded up. */
const pointBytes = 4_096;

export function pointsOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / pointBytes));
}

const unlimited: Allowance = Object.freeze({ limited: false, remaining: 0, resetSeconds: 0 });

/**
 * The rate limits (P10): each counts its own points, by credential, or by address for requests without one. They are counted
 * in this process (`localLimiters`), or with PostgreSQL over all replicas (`leasedLimiters`).
 *
 *     const limits = new RateLimits({ decide: { points: 10, seconds: 1, burst: 15 } });
 *     limits.take('decide', 'key shop', 12)  // passes: 10 of the rate and 2 of the 5 beyond it
 *     limits.take('decide', 'key shop', 4)   // limited; nothing is taken
 *     limits.take('decide', 'key shop', 3)   // passes
 */
export class RateLimits {
  private readonly limits: ReadonlyMap<LimitName, NamedLimit>;

  /** Omitted limits do not limit. */
  constructor(
    rates: { readonly [name in LimitName]?: Rate },
    private readonly limiters: Limiters = localLimiters(),
  ) {
    const named = Object.entries(rates) as [LimitName, Rate][];
    this.limits = new Map(named.map(([name, rate]) => [name, { rate, limiter: limiters.ofRate(name, rate) }]));
  }

  /** True if calls of this kind are limited. */
  has(name: LimitName): boolean {
    return this.limits.has(name);
  }

  /** For `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): how much the limit allows, and in how many seconds. */
  policy(name: LimitName): string {
    const rate = this.limits.get(name)?.rate;
    return rate === undefined ? '' : `"${name}";q=${rate.points};w=${rate.seconds}`;
  }

  /** Most points that one call can take. */
  burst(name: LimitName): number {
    return this.limits.get(name)?.rate.burst ?? Number.POSITIVE_INFINITY;
  }

  /** Takes all the points or none. */
  take(name: LimitName, key: string, points = 1): Allowance {
    return this.limits.get(name)?.limiter.take(key, points) ?? unlimited;
  }

  /** Returns the points of a call that was refused afterwards. */
  giveBack(name: LimitName, key: string, points: number): void {
    this.limits.get(name)?.limiter.giveBack(key, points);
  }

  /** Takes points of `quota` a day, by the calendar of UTC. */
  takeOfDay(quota: number, key: string, points = 1): Allowance {
    return this.limiters.ofDays.take(quota, key, points);
  }

  giveBackOfDay(quota: number, key: string, points: number): void {
    this.limiters.ofDays.giveBack(quota, key, points);
  }
}
