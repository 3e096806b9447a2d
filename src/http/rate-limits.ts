import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import type { Rate } from '../auth/rate.js';
import type { LimitName } from './access.js';

/** What is left of a limit after a call. */
export interface Allowance {
  readonly limited: boolean;
  readonly remaining: number;
  /** Seconds until the limit is whole again, or until the next call may come. */
  readonly resetSeconds: number;
}

/** The burst beyond the steady rate is whole again after so many periods of the rate. */
const BURST_PERIODS = 10;

interface Limiter {
  readonly policy: string;
  readonly steady: RateLimiterMemory;
  /** What there is beyond the steady rate. */
  readonly extra: RateLimiterMemory | undefined;
}

/**
 * The rate limits: each counts its own calls, by credential where there is one and by address where there is none. They
 * live in this process; `rate-limiter-flexible` has the same limiter over PostgreSQL and Redis for when there are more.
 */
export class RateLimits {
  private readonly limiters: ReadonlyMap<LimitName, Limiter>;
  private readonly quotas = new Map<number, RateLimiterMemory>();

  /** Limits that are left out do not limit. */
  constructor(rates: { readonly [name in LimitName]?: Rate }) {
    this.limiters = new Map(
      Object.entries(rates).map(([name, rate]) => [name as LimitName, limiterOf(name as LimitName, rate)]),
    );
  }

  /** Whether calls of this kind are counted at all; asked before anything is spent on counting. */
  has(name: LimitName): boolean {
    return this.limiters.has(name);
  }

  /** For `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): how much the limit allows, and in how many seconds. */
  policy(name: LimitName): string {
    return this.limiters.get(name)?.policy ?? '';
  }

  async take(name: LimitName, key: string, points = 1): Promise<Allowance> {
    const limiter = this.limiters.get(name);
    if (limiter === undefined) return UNLIMITED;
    // The library's BurstyRateLimiter does the same, and takes four promises where this takes one.
    const left = await consume(limiter.steady, key, points);
    if (!left.limited || limiter.extra === undefined) return left;
    const extra = await consume(limiter.extra, key, points);
    return extra.limited
      ? { ...left, resetSeconds: Math.min(left.resetSeconds, extra.resetSeconds) }
      : { ...left, limited: false };
  }

  /** One of `quota` calls a day, by the calendar of UTC. */
  takeOfDay(quota: number, key: string, now: number, points = 1): Promise<Allowance> {
    let limiter = this.quotas.get(quota);
    if (limiter === undefined) {
      limiter = new RateLimiterMemory({ keyPrefix: '', points: quota, duration: DAY_SECONDS });
      this.quotas.set(quota, limiter);
    }
    const day = Math.floor(now / 1000 / DAY_SECONDS);
    const customDuration = DAY_SECONDS - (Math.floor(now / 1000) % DAY_SECONDS);
    return consume(limiter, `${day}:${key}`, points, { customDuration });
  }
}

const DAY_SECONDS = 86_400;

const UNLIMITED: Allowance = Object.freeze({ limited: false, remaining: 0, resetSeconds: 0 });

function limiterOf(name: LimitName, { points, seconds, burst }: Rate): Limiter {
  const policy = `"${name}";q=${points};w=${seconds}`;
  const steady = new RateLimiterMemory({ keyPrefix: '', points, duration: seconds });
  if (burst <= points) return { policy, steady, extra: undefined };
  const extra = new RateLimiterMemory({ keyPrefix: '', points: burst - points, duration: seconds * BURST_PERIODS });
  return { policy, steady, extra };
}

/** The library resolves with what is left and rejects with the same when nothing is. */
async function consume(
  limiter: RateLimiterMemory,
  key: string,
  points: number,
  options?: { customDuration: number },
): Promise<Allowance> {
  try {
    return toAllowance(await limiter.consume(key, points, options), false);
  } catch (left) {
    if (left instanceof Error) throw left;
    return toAllowance(left as RateLimiterRes, true);
  }
}

function toAllowance({ remainingPoints, msBeforeNext }: RateLimiterRes, limited: boolean): Allowance {
  return { limited, remaining: remainingPoints, resetSeconds: Math.max(1, Math.ceil(msBeforeNext / 1000)) };
}
