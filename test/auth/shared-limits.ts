/** Replicas that count limits together, in simulated time, over a database in memory. */
import { vi } from 'vitest';
import { leasedLimiters } from '../../src/auth/leased-limiters.js';
import { LimitLeases } from '../../src/auth/limit-leases.js';
import { emptyUse, inPeriod, type LimitUse } from '../../src/auth/limit-use.js';
import { type ChargedUses, type LimitCharge, LimitUses } from '../../src/auth/limit-uses.js';
import type { LimitName } from '../../src/auth/limiters.js';
import { RateLimits } from '../../src/auth/rate-limits.js';
import type { Rate } from '../../src/config/rate.js';

/**
 * What a charge makes of a use, as PostgreSQL does.
 *
 * @param rate that of the charge before
 */
export function charged(
  before: LimitUse | undefined,
  charge: LimitCharge,
  period: number,
  rate: Rate = charge.counter.rate,
): LimitUse {
  const stays = before !== undefined && (before.period === period || before.period === period + 1);
  const use =
    before === undefined || before.period > period + 1
      ? emptyUse(period)
      : stays
        ? before
        : inPeriod(before, period, rate);
  return {
    ...use,
    used: Math.max(0, use.used + charge.points),
    asked: Math.max(0, use.asked + charge.asked),
  };
}

export class SimulatedUses extends LimitUses {
  readonly uses = new Map<string, LimitUse>();
  isAway = false;
  /** By how much its clock is ahead of that of the replicas, in milliseconds. */
  aheadMs = 0;

  constructor(public latencyMs: number) {
    super();
  }

  async prepare(): Promise<void> {}

  async charge(charges: readonly LimitCharge[]): Promise<ChargedUses> {
    await new Promise((resolve) => setTimeout(resolve, this.latencyMs / 2));
    if (this.isAway) throw new Error('away');
    const now = Date.now() + this.aheadMs;
    const uses = new Map<string, LimitUse>();
    for (const charge of charges) {
      const { id, rate, phaseMs } = charge.counter;
      const use = charged(this.uses.get(id), charge, Math.floor((now + phaseMs) / (rate.seconds * 1000)));
      this.uses.set(id, use);
      uses.set(id, use);
    }
    await new Promise((resolve) => setTimeout(resolve, this.latencyMs / 2));
    return { now, uses };
  }

  async prune(): Promise<ReadonlyMap<string, number>> {
    return new Map();
  }
}

export interface SimulatedReplica {
  readonly leases: LimitLeases;
  readonly limits: RateLimits;
}

/** Some replicas on one database that answers after `latencyMs`. Time goes on by `run` alone. */
export class SimulatedReplicas {
  readonly database: SimulatedUses;
  readonly replicas: readonly SimulatedReplica[];

  constructor(count: number, rates: { readonly [name in LimitName]?: Rate }, latencyMs = 4) {
    vi.useFakeTimers({ now: Date.UTC(2026, 10, 29, 12), toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const database = new SimulatedUses(latencyMs);
    this.database = database;
    this.replicas = Array.from({ length: count }, () => {
      const leases = new LimitLeases({
        uses: database,
        silentMs: () => 0,
        onProblem: () => this.onProblem(),
        clock: () => Date.now(),
      });
      leases.replicas = count;
      return { leases, limits: new RateLimits(rates, leasedLimiters(leases)) };
    });
  }

  /** What replicas say of the database comes here. */
  onProblem(): void {}

  /**
   * Goes on by `ms`. In each millisecond each replica is asked as many times as `calls` says; calls of less than one are
   * added up. Returns how many passed, by replica and by whole second since the run began.
   */
  async run(
    ms: number,
    calls: (replica: number, at: number) => number,
    take: (limits: RateLimits) => boolean = (limits) => !limits.take('decide', 'key shop').limited,
  ): Promise<number[][]> {
    const passed = this.replicas.map(() => Array<number>(Math.ceil(ms / 1000)).fill(0));
    const owed = this.replicas.map(() => 0);
    for (let at = 0; at < ms; at++) {
      this.replicas.forEach(({ limits }, n) => {
        for (owed[n]! += calls(n, at); owed[n]! >= 1; owed[n]!--) {
          if (take(limits)) passed[n]![Math.floor(at / 1000)]!++;
        }
      });
      await vi.advanceTimersByTimeAsync(1);
    }
    return passed;
  }
}
