import type { Rate } from '../config/rate.js';

/** The limits that are counted apart from each other. */
export const limitKinds = ['decide', 'search', 'export', 'keys', 'failures'] as const;
export type LimitName = (typeof limitKinds)[number];

/** The state of a limit after a call. */
export interface Allowance {
  readonly limited: boolean;
  /** Points of the steady rate that are left in this period. */
  readonly remaining: number;
  /** Seconds until the steady rate is restored. For a refused call: until the same call passes if no other comes. */
  readonly resetSeconds: number;
}

/** Periods of the rate after which the burst is restored. */
const burstPeriods = 10;

const daySeconds = 86_400;

const unlimited: Allowance = Object.freeze({ limited: false, remaining: 0, resetSeconds: 0 });

/**
 * The rate limits (P10): each counts its own points, by credential, or by address for requests without one. They are
 * kept in this process and use its monotonic clock, so a step of the wall clock does not change them.
 *
 *     const limits = new RateLimits({ decide: { points: 10, seconds: 1, burst: 15 } });
 *     limits.take('decide', 'key shop', 12)  // passes: 10 of the rate and 2 of the 5 beyond it
 *     limits.take('decide', 'key shop', 4)   // limited; nothing is taken
 *     limits.take('decide', 'key shop', 3)   // passes
 */
export class RateLimits {
  private readonly limiters: ReadonlyMap<LimitName, Limiter>;
  private readonly quotas = new Map<number, Limiter>();

  /** Omitted limits do not limit. `clock` returns milliseconds and never goes back. */
  constructor(
    rates: { readonly [name in LimitName]?: Rate },
    private readonly clock: () => number = () => performance.now(),
  ) {
    const named = Object.entries(rates) as [LimitName, Rate][];
    this.limiters = new Map(named.map(([name, rate]) => [name, new Limiter(rate)]));
  }

  /** True if calls of this kind are limited. */
  has(name: LimitName): boolean {
    return this.limiters.has(name);
  }

  /** For `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): how much the limit allows, and in how many seconds. */
  policy(name: LimitName): string {
    const rate = this.limiters.get(name)?.rate;
    return rate === undefined ? '' : `"${name}";q=${rate.points};w=${rate.seconds}`;
  }

  /** Most points that one call can take. */
  burst(name: LimitName): number {
    return this.limiters.get(name)?.rate.burst ?? Number.POSITIVE_INFINITY;
  }

  /** Takes all the points or none. */
  take(name: LimitName, key: string, points = 1): Allowance {
    return this.limiters.get(name)?.take(key, points, this.clock()) ?? unlimited;
  }

  /** Returns the points of a call that was refused afterwards. */
  giveBack(name: LimitName, key: string, points: number): void {
    this.limiters.get(name)?.giveBack(key, points, this.clock());
  }

  /** Takes points of `quota` a day, by the calendar of UTC; `now` in milliseconds since 1970. */
  takeOfDay(quota: number, key: string, now: number, points = 1): Allowance {
    const seconds = now / 1000;
    const untilMidnight = daySeconds - (seconds % daySeconds);
    return this.quotaOf(quota).take(dayKey(seconds, key), points, this.clock(), untilMidnight * 1000);
  }

  giveBackOfDay(quota: number, key: string, now: number, points: number): void {
    this.quotaOf(quota).giveBack(dayKey(now / 1000, key), points, this.clock());
  }

  private quotaOf(quota: number): Limiter {
    let limiter = this.quotas.get(quota);
    if (limiter === undefined) {
      limiter = new Limiter({ points: quota, seconds: daySeconds, burst: quota });
      this.quotas.set(quota, limiter);
    }
    return limiter;
  }
}

function dayKey(seconds: number, key: string): string {
  return `${Math.floor(seconds / daySeconds)}:${key}`;
}

/** Points that one key has used. Times are in milliseconds of `clock`. */
interface Use {
  periodEnds: number;
  used: number;
  burstEnds: number;
  /** Points used beyond the steady rate. */
  burstUsed: number;
}

/**
 * Most keys in one generation. With more, a generation ends early and forgets uses that still count. Memory stays
 * bounded, and a client with 65,536 addresses has that many limits anyway.
 */
const generationKeys = 65_536;

/** One limit. Uses are kept in two generations, the older of which is dropped whole: no timers, no sweep. */
class Limiter {
  private readonly periodMs: number;
  private readonly burstMs: number;
  private readonly beyond: number;
  private young = new Map<string, Use>();
  private old = new Map<string, Use>();
  private turnsOldAt = Number.NEGATIVE_INFINITY;

  constructor(readonly rate: Rate) {
    this.periodMs = rate.seconds * 1000;
    this.burstMs = this.periodMs * burstPeriods;
    this.beyond = rate.burst - rate.points;
  }

  take(key: string, points: number, now: number, periodMs = this.periodMs): Allowance {
    const use = this.useOf(key, now, periodMs);
    const steady = Math.min(points, Math.max(0, this.rate.points - use.used));
    const beyond = points - steady;
    if (beyond > this.beyond - use.burstUsed) return this.refuse(use, points, now);
    use.used += steady;
    if (beyond > 0) {
      if (use.burstUsed === 0) use.burstEnds = now + this.burstMs;
      use.burstUsed += beyond;
    }
    return { limited: false, remaining: this.rate.points - use.used, resetSeconds: secondsTo(use.periodEnds, now) };
  }

  giveBack(key: string, points: number, now: number): void {
    const use = points === 0 ? undefined : (this.young.get(key) ?? this.old.get(key));
    if (use === undefined) return;
    const beyond = now < use.burstEnds ? Math.min(points, use.burstUsed) : 0;
    use.burstUsed -= beyond;
    if (now < use.periodEnds) use.used = Math.max(0, use.used - (points - beyond));
  }

  private refuse(use: Use, points: number, now: number): Allowance {
    const burstLeft = use.burstEnds <= use.periodEnds ? this.beyond : this.beyond - use.burstUsed;
    const passesAt = points <= this.rate.points + burstLeft ? use.periodEnds : Math.max(use.periodEnds, use.burstEnds);
    return { limited: true, remaining: this.rate.points - use.used, resetSeconds: secondsTo(passesAt, now) };
  }

  private useOf(key: string, now: number, periodMs: number): Use {
    if (now >= this.turnsOldAt || this.young.size >= generationKeys) {
      this.old = this.young;
      this.young = new Map();
      // A use of the young generation began within one generation, so it no longer counts when it is dropped.
      this.turnsOldAt = now + this.burstMs;
    }
    let use = this.young.get(key);
    if (use === undefined) {
      use = this.old.get(key) ?? { periodEnds: now + periodMs, used: 0, burstEnds: 0, burstUsed: 0 };
      this.young.set(key, use);
    }
    if (now >= use.periodEnds) {
      use.periodEnds = now + periodMs;
      use.used = 0;
    }
    if (now >= use.burstEnds) use.burstUsed = 0;
    return use;
  }
}

function secondsTo(time: number, now: number): number {
  return Math.max(1, Math.ceil((time - now) / 1000));
}
