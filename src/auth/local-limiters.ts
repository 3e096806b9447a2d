import type { Rate } from '../config/rate.js';
import { Generations } from './generations.js';
import { burstPeriods, daySeconds } from './limit-use.js';
import { type Allowance, type DayLimiter, type Limiter, type Limiters, secondsTo } from './limiters.js';

/**
 * Limits that are counted in this process alone, by its monotonic clock, so a step of the wall clock does not change them. A
 * period begins with the first call of a key.
 *
 * @param clock returns milliseconds and never goes back
 * @param wallClock returns milliseconds since 1970, by which days are counted
 */
export function localLimiters(
  clock: () => number = () => performance.now(),
  wallClock: () => number = () => Date.now(),
): Limiters {
  return {
    ofRate: (_name, rate) => new LocalLimiter(rate, clock),
    ofDays: new LocalDayLimiter(clock, wallClock),
  };
}

/** Points that one key has used. Times are in milliseconds of the clock. */
interface Use {
  periodEnds: number;
  used: number;
  burstEnds: number;
  /** Points used beyond the steady rate. */
  burstUsed: number;
}

class LocalLimiter implements Limiter {
  private readonly periodMs: number;
  private readonly burstMs: number;
  private readonly beyond: number;
  private readonly uses: Generations<Use>;

  constructor(
    private readonly rate: Rate,
    private readonly clock: () => number,
  ) {
    this.periodMs = rate.seconds * 1000;
    this.burstMs = this.periodMs * burstPeriods;
    this.beyond = rate.burst - rate.points;
    // A use began within one generation, so it no longer counts when it is dropped.
    this.uses = new Generations(this.burstMs);
  }

  /** @param periodMs how long a period lasts that begins now, in milliseconds */
  take(key: string, points: number, periodMs = this.periodMs): Allowance {
    const now = this.clock();
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

  giveBack(key: string, points: number): void {
    const use = points === 0 ? undefined : this.uses.peek(key);
    if (use === undefined) return;
    const now = this.clock();
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
    let use = this.uses.find(key, now);
    if (use === undefined) {
      use = { periodEnds: now + periodMs, used: 0, burstEnds: 0, burstUsed: 0 };
      this.uses.add(key, use);
    }
    if (now >= use.periodEnds) {
      use.periodEnds = now + periodMs;
      use.used = 0;
    }
    if (now >= use.burstEnds) use.burstUsed = 0;
    return use;
  }
}

class LocalDayLimiter implements DayLimiter {
  private readonly limiters = new Map<number, LocalLimiter>();

  constructor(
    private readonly clock: () => number,
    private readonly wallClock: () => number,
  ) {}

  take(quota: number, key: string, points: number): Allowance {
    const seconds = this.wallClock() / 1000;
    const untilMidnight = daySeconds - (seconds % daySeconds);
    return this.limiterOf(quota).take(dayKey(seconds, key), points, untilMidnight * 1000);
  }

  giveBack(quota: number, key: string, points: number): void {
    this.limiterOf(quota).giveBack(dayKey(this.wallClock() / 1000, key), points);
  }

  private limiterOf(quota: number): LocalLimiter {
    let limiter = this.limiters.get(quota);
    if (limiter === undefined) {
      limiter = new LocalLimiter({ points: quota, seconds: daySeconds, burst: quota }, this.clock);
      this.limiters.set(quota, limiter);
    }
    return limiter;
  }
}

function dayKey(seconds: number, key: string): string {
  return `${Math.floor(seconds / daySeconds)}:${key}`;
}
