/** Limits that replicas count together: what passes, by simulated time. Real ones are in `test/operations/shared-limits.test.ts`. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { mostCounters, mostDue } from '../../src/auth/limit-leases.js';
import type { RateLimits } from '../../src/auth/rate-limits.js';
import { SimulatedReplicas } from './shared-limits.js';

afterEach(() => void vi.useRealTimers());

const rate = { points: 1_000, seconds: 1, burst: 1_000 };
const sum = (numbers: readonly number[]): number => numbers.reduce((all, each) => all + each, 0);
/** Of all replicas, by second. */
const bySecond = (passed: readonly (readonly number[])[]): number[] =>
  passed[0]!.map((_, second) => sum(passed.map((each) => each[second]!)));
const take = (limits: RateLimits, points = 1, key = 'key shop') => limits.take('decide', key, points);

describe('a limit of 1,000 a second', () => {
  it.each([
    ['evenly, three times the limit', 3, () => 1],
    ['evenly, thirty times the limit', 3, () => 10],
    ['a tenth more than the limit', 3, () => 0.37],
    ['three times the limit, all of it to one replica', 3, (n) => (n === 0 ? 3 : 0)],
    ['a hundred times as much to one replica as to another', 3, (n) => [3, 0.3, 0.03][n]!],
    ['thirty times the limit, unevenly', 3, (n) => [30, 3, 0.03][n]!],
    ['to one replica after the other, 100 ms each', 3, (n, at) => (Math.floor(at / 100) % 3 === n ? 3 : 0)],
    ['to one replica after the other, 400 ms each', 3, (n, at) => (Math.floor(at / 400) % 3 === n ? 3 : 0)],
    ['evenly to twenty replicas', 20, () => 0.15],
    ['to one of twenty replicas', 20, (n) => (n === 0 ? 3 : 0)],
  ] satisfies [string, number, (replica: number, at: number) => number][])(
    'passes 1,000 a second, within a twentieth: %s',
    async (_load, count, calls) => {
      const seconds = bySecond(await new SimulatedReplicas(count, { decide: rate }).run(8_000, calls));
      // A second of the run may hold the points of two periods, once.
      expect(sum(seconds)).toBeLessThanOrEqual(9_050);
      expect(sum(seconds)).toBeGreaterThanOrEqual(7_950);
      for (const each of seconds.slice(1)) expect(Math.abs(each - 1_000)).toBeLessThanOrEqual(50);
    },
  );

  it.each([
    ['evenly', 3, () => 0.3],
    ['to one replica', 3, (n) => (n === 0 ? 0.9 : 0)],
    ['unevenly', 3, (n) => [0.75, 0.13, 0.02][n]!],
    ['evenly to twenty replicas', 20, () => 0.045],
    ['to one of twenty replicas', 20, (n) => (n === 0 ? 0.9 : 0)],
  ] satisfies [string, number, (replica: number) => number][])(
    'refuses nothing while 900 a second come: %s',
    async (_load, count, calls) => {
      const passed = await new SimulatedReplicas(count, { decide: rate }).run(8_000, calls);
      expect(sum(bySecond(passed))).toBeGreaterThanOrEqual(7_200 - count);
    },
  );

  it('takes what passed beyond it off the next period', async () => {
    const simulated = new SimulatedReplicas(3, { decide: rate });
    const [one, ...others] = simulated.replicas;
    // From the beginning of a period on.
    const { phaseMs, id } = await phaseOf(simulated);
    await simulated.run(1_000 - ((Date.now() + phaseMs) % 1_000), () => 0);
    await simulated.run(500, (n) => (n === 0 ? 10 : 0));
    expect(take(one!.limits).limited).toBe(true);
    // They have not heard of this period.
    const late = others.map(({ limits }) => {
      let passed = 0;
      while (!take(limits).limited) passed++;
      return passed;
    });
    expect(sum(late)).toBeGreaterThan(100);
    expect(sum(late)).toBeLessThanOrEqual(1_000);
    await simulated.run(200, () => 0);
    const used = simulated.database.uses.get(id)!.used;
    expect(used).toBeGreaterThanOrEqual(1_000 + sum(late));
    await simulated.run(300, () => 0);
    const next = await simulated.run(990, () => 5);
    expect(Math.abs(sum(next.flat()) - (2_000 - used))).toBeLessThanOrEqual(50);
  });

  it('restores its burst after ten periods', async () => {
    const simulated = new SimulatedReplicas(2, { decide: { points: 100, seconds: 1, burst: 300 } });
    const seconds = bySecond(await simulated.run(30_000, () => 1));
    // 100 a second, and 200 more in each ten periods, of which the run meets four at most.
    expect(sum(seconds)).toBeLessThanOrEqual(31 * 100 + 4 * 200 + 50);
    expect(sum(seconds)).toBeGreaterThanOrEqual(29 * 100 + 3 * 200 - 50);
  });
});

/** Makes the counter known, and returns what it is. */
async function phaseOf(simulated: SimulatedReplicas): Promise<{ id: string; phaseMs: number }> {
  const charge = vi.spyOn(simulated.database, 'charge');
  for (const { limits } of simulated.replicas) take(limits);
  await simulated.run(100, () => 0);
  const { id, phaseMs } = charge.mock.calls[0]![0][0]!.counter;
  return { id, phaseMs };
}

describe('a leased limit', () => {
  it('passes the first call of a caller at once on every replica, also one that is larger than its lease', () => {
    const { replicas } = new SimulatedReplicas(3, { decide: rate });
    for (const { limits } of replicas) expect(take(limits, 900).limited).toBe(false);
    for (const { limits } of replicas) expect(take(limits)).toMatchObject({ limited: true, resetSeconds: 1 });
  });

  it('passes the burst and not a point more at once, where a replica is alone', () => {
    const { replicas } = new SimulatedReplicas(1, { decide: { points: 10, seconds: 1, burst: 15 } });
    const { limits } = replicas[0]!;
    expect(take(limits, 16).limited).toBe(true);
    expect([7, 7, 1].map((points) => take(limits, points).limited)).toEqual([false, false, false]);
    expect(take(limits, 1).limited).toBe(true);
  });

  it('has back what a call took that was refused later, also when that was charged', async () => {
    const simulated = new SimulatedReplicas(1, { decide: { points: 10, seconds: 60, burst: 10 } });
    const { limits } = simulated.replicas[0]!;
    expect(take(limits, 10).limited).toBe(false);
    await simulated.run(100, () => 0);
    expect(take(limits, 1).limited).toBe(true);
    limits.giveBack('decide', 'key shop', 10);
    await simulated.run(100, () => 0);
    expect([...simulated.database.uses.values()]).toMatchObject([{ used: 0 }]);
    expect([9, 1, 1].map((points) => take(limits, points).limited)).toEqual([false, false, true]);
  });

  it('says what is left of all, and when it passes again', async () => {
    const simulated = new SimulatedReplicas(2, { decide: { points: 100, seconds: 60, burst: 100 } });
    const [one, two] = simulated.replicas;
    take(one!.limits, 40);
    await simulated.run(100, () => 0);
    take(two!.limits, 1);
    await simulated.run(100, () => 0);
    expect(take(two!.limits, 1).remaining).toBe(58);
    const refused = take(two!.limits, 59);
    expect(refused).toMatchObject({ limited: true, remaining: 58 });
    await simulated.run(refused.resetSeconds * 1_000, () => 0);
    expect(take(two!.limits, 59).limited).toBe(false);
  });

  it('asks nothing while no call comes, and 50 times a second at most however many do', async () => {
    const simulated = new SimulatedReplicas(1, { decide: { points: 100_000, seconds: 1, burst: 100_000 } });
    const charge = vi.spyOn(simulated.database, 'charge');
    await simulated.run(5_000, () => 0);
    expect(charge).not.toHaveBeenCalled();
    let n = 0;
    await simulated.run(
      2_000,
      () => 200,
      (limits) => !take(limits, 1, `key ${n++ % 3_000}`).limited,
    );
    expect(charge.mock.calls.length).toBeLessThanOrEqual(100);
    expect(Math.max(...charge.mock.calls.map(([charges]) => charges.length))).toBe(1_000);
  });

  it('counts callers beyond the most counters by its share alone', async () => {
    const simulated = new SimulatedReplicas(2, { failures: { points: 10, seconds: 60, burst: 10 } });
    const { leases, limits } = simulated.replicas[0]!;
    vi.spyOn(simulated.database, 'prune').mockResolvedValue(new Map([['failures', mostCounters - 2]]));
    const fail = (address: string) => !limits.take('failures', address).limited;
    fail('address 0');
    await simulated.run(100, () => 0);
    // One more for each of the two replicas.
    for (const address of ['address 1', 'address 2']) fail(address);
    await simulated.run(100, () => 0);
    expect(simulated.database.uses.size).toBe(2);
    for (let period = 0; period < 3; period++) {
      const passed = Array.from({ length: 9 }, () => fail('address 2')).filter(Boolean).length;
      expect(passed).toBe(period === 0 ? 4 : 5);
      await simulated.run(60_000, () => 0);
    }
    expect(leases.untoldMs).toBe(0);
  });

  it('counts quotas beyond the most counters by its share of each day', async () => {
    const simulated = new SimulatedReplicas(2, {});
    const { limits } = simulated.replicas[0]!;
    vi.spyOn(simulated.database, 'prune').mockResolvedValue(new Map([['quota', mostCounters]]));
    limits.takeOfDay(10, 'key known');
    await simulated.run(100, () => 0);
    for (let day = 0; day < 3; day++) {
      const passed = Array.from({ length: 20 }, () => !limits.takeOfDay(10, 'key new').limited).filter(Boolean).length;
      expect(passed).toBe(5);
      await simulated.run(100, () => 0);
      vi.setSystemTime(Date.now() + 86_400_000);
    }
    expect(simulated.database.uses.size).toBe(1);
  });

  it('keeps a bounded number of accounts waiting while the database is away', async () => {
    const simulated = new SimulatedReplicas(1, { failures: { points: 10, seconds: 60, burst: 10 } });
    const { leases, limits } = simulated.replicas[0]!;
    simulated.database.isAway = true;
    for (let n = 0; n < mostDue + 5_000; n++) limits.take('failures', `address ${n}`);
    await simulated.run(2_000, () => 0);
    simulated.database.isAway = false;
    await simulated.run(10_000, () => 0);
    expect(simulated.database.uses.size).toBe(mostDue);
    expect(leases.untoldMs).toBe(0);
    // Others are charged when they come again.
    for (let n = mostDue; n < mostDue + 5_000; n++) limits.take('failures', `address ${n}`);
    await simulated.run(1_000, () => 0);
    expect(simulated.database.uses.size).toBe(mostDue + 5_000);
  });
});

describe('while the database is away', () => {
  const rates = { decide: { points: 90, seconds: 60, burst: 90 }, failures: { points: 30, seconds: 60, burst: 30 } };
  /** How many of 200 calls pass in a minute, two seconds apart at the least. */
  async function inAMinute(simulated: SimulatedReplicas, takeOne: (limits: RateLimits) => boolean): Promise<number[]> {
    const passed = simulated.replicas.map(() => 0);
    for (let n = 0; n < 200; n++) {
      simulated.replicas.forEach(({ limits }, replica) => {
        if (takeOne(limits)) passed[replica]!++;
      });
      await vi.advanceTimersByTimeAsync(300);
    }
    return passed;
  }

  it('rates are those of each replica alone', async () => {
    const simulated = new SimulatedReplicas(3, rates);
    simulated.database.isAway = true;
    await inAMinute(simulated, (limits) => !take(limits).limited);
    const passed = await inAMinute(simulated, (limits) => !take(limits).limited);
    for (const each of passed) expect(Math.abs(each - 90)).toBeLessThanOrEqual(1);
  });

  it('failures of authentication are limited to the share of each replica', async () => {
    const simulated = new SimulatedReplicas(3, rates);
    simulated.database.isAway = true;
    await inAMinute(simulated, (limits) => !limits.take('failures', 'address').limited);
    expect(await inAMinute(simulated, (limits) => !limits.take('failures', 'address').limited)).toEqual([10, 10, 10]);
    expect(simulated.replicas[0]!.limits.take('failures', 'address').limited).toBe(true);
  });

  it('quotas close, when what a replica has at hand is gone', async () => {
    const simulated = new SimulatedReplicas(3, {});
    const { limits } = simulated.replicas[0]!;
    const ofDay = (key: string) => limits.takeOfDay(600, key);
    expect(ofDay('shop').limited).toBe(false);
    await simulated.run(100, () => 0);
    simulated.database.isAway = true;
    let passed = 0;
    while (!ofDay('shop').limited) passed++;
    await simulated.run(2_000, () => 0);
    expect(passed).toBeLessThanOrEqual(200);
    expect(ofDay('shop')).toMatchObject({ limited: true, isUncounted: true, resetSeconds: 1 });
    expect(ofDay('another')).toMatchObject({ limited: true, isUncounted: true });
    // Another day, of which nothing is known.
    await simulated.run(86_400, () => 0);
    vi.setSystemTime(Date.now() + 86_400_000);
    expect(ofDay('shop')).toMatchObject({ limited: true, isUncounted: true });
    simulated.database.isAway = false;
    await simulated.run(1_000, () => 0);
    expect(ofDay('another').limited).toBe(false);
  });

  it('what passed is charged when it is back, of the period that it is then alone', async () => {
    const simulated = new SimulatedReplicas(3, rates);
    const passes = (limits: RateLimits) => !take(limits).limited;
    await inAMinute(simulated, passes);
    simulated.database.isAway = true;
    await inAMinute(simulated, passes);
    await inAMinute(simulated, passes);
    simulated.database.isAway = false;
    await inAMinute(simulated, passes);
    await inAMinute(simulated, passes);
    expect(Math.abs(sum(await inAMinute(simulated, passes)) - 90)).toBeLessThanOrEqual(5);
  });

  it('callers are charged when it is back, however often that was tried', async () => {
    const simulated = new SimulatedReplicas(1, {});
    const { leases, limits } = simulated.replicas[0]!;
    // As many counters may be made as there are callers.
    leases.replicas = mostCounters / 3;
    simulated.database.isAway = true;
    for (const key of ['a', 'b', 'c']) limits.takeOfDay(600, key);
    await simulated.run(5_000, () => 0);
    expect(leases.renewals.failed).toBeGreaterThan(3);
    simulated.database.isAway = false;
    await simulated.run(500, () => 0);
    expect(simulated.database.uses.size).toBe(3);
    expect(leases.isAway(Date.now())).toBe(false);
  });

  it('is over when all who could not be charged are beyond the most counters', async () => {
    const simulated = new SimulatedReplicas(2, {});
    const { leases, limits } = simulated.replicas[0]!;
    vi.spyOn(simulated.database, 'prune').mockImplementation(async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return new Map([['quota', mostCounters]]);
    });
    limits.takeOfDay(10, 'known');
    await simulated.run(100, () => 0);
    simulated.database.isAway = true;
    limits.takeOfDay(10, 'new');
    await simulated.run(100, () => 0);
    expect(leases.isAway(Date.now())).toBe(true);
    // There is no room any more, as it turns out.
    await simulated.run(1_000, () => 0);
    simulated.database.isAway = false;
    await simulated.run(1_000, () => 0);
    expect(leases.isAway(Date.now())).toBe(false);
    const passed = Array.from({ length: 10 }, () => !limits.takeOfDay(10, 'another').limited).filter(Boolean).length;
    expect(passed).toBe(5);
  });
});

describe('a database that answers late', () => {
  /** How many statements there were, and how many of them at once. */
  function watchCharges({ database }: SimulatedReplicas) {
    const seen = { all: 0, open: 0, mostOpen: 0 };
    const charge = database.charge.bind(database);
    vi.spyOn(database, 'charge').mockImplementation(async (charges) => {
      seen.all++;
      seen.mostOpen = Math.max(seen.mostOpen, ++seen.open);
      return charge(charges).finally(() => seen.open--);
    });
    return seen;
  }

  it('is charged every point once, by one statement at a time', async () => {
    const simulated = new SimulatedReplicas(1, {}, 3_000);
    const { limits } = simulated.replicas[0]!;
    const seen = watchCharges(simulated);
    limits.takeOfDay(600, 'shop');
    await simulated.run(1_500, () => 0);
    limits.takeOfDay(600, 'shop');
    await simulated.run(10_000, () => 0);
    expect([...simulated.database.uses.values()]).toMatchObject([{ used: 2 }]);
    expect(seen).toEqual({ all: 2, open: 0, mostOpen: 1 });
  });

  it('is charged again what it refused late', async () => {
    const simulated = new SimulatedReplicas(1, {}, 3_000);
    const { leases, limits } = simulated.replicas[0]!;
    const seen = watchCharges(simulated);
    simulated.database.isAway = true;
    limits.takeOfDay(600, 'shop');
    await simulated.run(1_600, () => 0);
    expect(leases.renewals).toEqual({ answered: 0, failed: 1 });
    simulated.database.isAway = false;
    await simulated.run(5_000, () => 0);
    expect(leases.renewals).toEqual({ answered: 1, failed: 1 });
    expect([...simulated.database.uses.values()]).toMatchObject([{ used: 1 }]);
    expect(seen).toEqual({ all: 2, open: 0, mostOpen: 1 });
  });

  it('is away from one second on, until it answers', async () => {
    const simulated = new SimulatedReplicas(1, {}, 1_500);
    const { leases, limits } = simulated.replicas[0]!;
    const isAway = () => leases.isAway(Date.now());
    const charge = vi.spyOn(simulated.database, 'charge');
    limits.takeOfDay(600, 'shop');
    while (charge.mock.calls.length === 0) await simulated.run(1, () => 0);
    await simulated.run(998, () => 0);
    expect(isAway()).toBe(false);
    await simulated.run(2, () => 0);
    expect(isAway()).toBe(true);
    await simulated.run(501, () => 0);
    expect(isAway()).toBe(false);
    expect(leases.untoldMs).toBe(0);
  });

  it('is told of once, and is away until an answer is in time, while calls go on', async () => {
    const simulated = new SimulatedReplicas(1, { decide: rate }, 1_500);
    const problem = vi.spyOn(simulated, 'onProblem');
    await simulated.run(10_000, () => 1);
    expect(problem).toHaveBeenCalledTimes(1);
    expect(simulated.replicas[0]!.leases.isAway(Date.now())).toBe(true);
    simulated.database.latencyMs = 4;
    await simulated.run(2_000, () => 1);
    expect(simulated.replicas[0]!.leases.isAway(Date.now())).toBe(false);
  });

  it('is waited for at a stop for one second', async () => {
    const simulated = new SimulatedReplicas(1, {}, 60_000);
    const { leases, limits } = simulated.replicas[0]!;
    limits.takeOfDay(600, 'shop');
    await simulated.run(100, () => 0);
    limits.takeOfDay(600, 'other');
    const stopped = vi.fn();
    void leases.stop().then(stopped);
    await simulated.run(999, () => 0);
    expect(stopped).not.toHaveBeenCalled();
    await simulated.run(2, () => 0);
    expect(stopped).toHaveBeenCalled();
  });
});

describe('a clock of the database that is set back', () => {
  it('locks nobody out for longer than a period: by an hour', async () => {
    const simulated = new SimulatedReplicas(1, { decide: { points: 10, seconds: 1, burst: 10 } });
    const { limits } = simulated.replicas[0]!;
    expect(take(limits, 10).limited).toBe(false);
    await simulated.run(100, () => 0);
    expect(take(limits).limited).toBe(true);
    simulated.database.aheadMs = -3_600_000;
    // The new time comes with the answer for another caller.
    take(limits, 1, 'key other');
    await simulated.run(1_000, () => 0);
    expect(take(limits, 10).limited).toBe(false);
    await simulated.run(100, () => 0);
    expect(take(limits)).toMatchObject({ limited: true, resetSeconds: 1 });
  });

  it.each([
    ['of the next period goes on', 2, true],
    ['of a later period begins again', 3, false],
  ])('a use that is then %s', async (_what, minutes, isLimited) => {
    const simulated = new SimulatedReplicas(1, { decide: { points: 10, seconds: 60, burst: 10 } });
    const { limits } = simulated.replicas[0]!;
    take(limits, 10);
    await simulated.run(100, () => 0);
    simulated.database.aheadMs = -minutes * 60_000;
    take(limits, 1, 'key other');
    // The period of the use is over by the clock that the replica knew.
    await simulated.run(60_000, () => 0);
    expect(take(limits, 10).limited).toBe(isLimited);
  });

  it('leaves the shares of replicas at one together, so that a rush at the beginning of a period passes no more', async () => {
    const simulated = new SimulatedReplicas(3, { decide: rate });
    await simulated.run(3_000, () => 100);
    simulated.database.aheadMs = -3_600_000;
    await simulated.run(2_000, () => 100);
    for (const each of bySecond(await simulated.run(4_000, () => 100))) {
      expect(Math.abs(each - 1_000)).toBeLessThanOrEqual(50);
    }
  });
});
