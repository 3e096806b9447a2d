import { hash } from 'node:crypto';
import type { Rate } from '../config/rate.js';
import { Generations } from './generations.js';
import { LimitAccount, type WhileAway } from './limit-account.js';
import type { LimitLeases } from './limit-leases.js';
import { burstPeriods, daySeconds } from './limit-use.js';
import type { LimitCounter } from './limit-uses.js';
import type { Allowance, CountedKind, DayLimiter, Limiter, Limiters } from './limiters.js';

/** A replica knows a caller that does not come for so long at least, in milliseconds. */
const leastKeptMs = 60_000;

/** Limits that all replicas count together, each by leases (`LimitAccount`). Periods are by the clock of the database. */
export function leasedLimiters(leases: LimitLeases): Limiters {
  return {
    ofRate: (name, rate) => new LeasedLimiter(name, rate, name === 'failures' ? 'share' : 'open', leases),
    ofDays: new LeasedDayLimiter(leases),
  };
}

class LeasedLimiter implements Limiter {
  private readonly accounts: Generations<LimitAccount>;

  constructor(
    private readonly kind: CountedKind,
    private readonly rate: Rate,
    private readonly whileAway: WhileAway,
    private readonly leases: LimitLeases,
  ) {
    this.accounts = new Generations(Math.max(leastKeptMs, rate.seconds * 1000 * burstPeriods));
  }

  take(key: string, points: number): Allowance {
    const { accounts, leases } = this;
    const now = leases.clock();
    let account = accounts.find(key, now);
    if (account === undefined) {
      account = new LimitAccount(this.counterOf(key), this.whileAway);
      accounts.add(key, account);
    }
    const allowance = account.take(points, now, leases);
    if (account.hasNews) leases.note(account, now, account.isShort);
    return allowance;
  }

  giveBack(key: string, points: number): void {
    const account = points === 0 ? undefined : this.accounts.peek(key);
    if (account === undefined) return;
    const now = this.leases.clock();
    account.giveBack(points, now);
    this.leases.note(account, now, false);
  }

  private counterOf(key: string): LimitCounter {
    const { kind, rate } = this;
    // Rates whose periods have other lengths are counted apart, as while a new configuration is rolled out.
    const digest = hash('sha256', `${kind} ${rate.seconds} ${key}`, 'buffer');
    // Days begin at midnight.
    const phaseMs = kind === 'quota' ? 0 : digest.readUInt32BE(16) % (rate.seconds * 1000);
    return { id: digest.toString('base64url', 0, 16), kind, rate, phaseMs };
  }
}

class LeasedDayLimiter implements DayLimiter {
  private readonly limiters = new Map<number, LeasedLimiter>();

  constructor(private readonly leases: LimitLeases) {}

  take(quota: number, key: string, points: number): Allowance {
    return this.limiterOf(quota).take(key, points);
  }

  giveBack(quota: number, key: string, points: number): void {
    this.limiterOf(quota).giveBack(key, points);
  }

  /** Limiters of several quotas count into one number a caller, so that a quota that is changed goes on with it. */
  private limiterOf(quota: number): LeasedLimiter {
    let limiter = this.limiters.get(quota);
    if (limiter === undefined) {
      const rate = { points: quota, seconds: daySeconds, burst: quota };
      limiter = new LeasedLimiter('quota', rate, 'close', this.leases);
      this.limiters.set(quota, limiter);
    }
    return limiter;
  }
}
