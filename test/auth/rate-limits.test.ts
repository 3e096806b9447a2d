import { describe, expect, it } from 'vitest';
import { localLimiters } from '../../src/auth/local-limiters.js';
import { RateLimits } from '../../src/auth/rate-limits.js';

/** Ten a second, and fifteen at once; time goes on only where a test says so. */
function limited(rate = { points: 10, seconds: 1, burst: 15 }) {
  let now = 5_000;
  const limits = new RateLimits(
    { decide: rate },
    localLimiters(() => now),
  );
  return {
    take: (points: number, key = 'a') => limits.take('decide', key, points),
    giveBack: (points: number) => limits.giveBack('decide', 'a', points),
    passes: (points: number, key = 'a') => !limits.take('decide', key, points).limited,
    wait: (seconds: number) => {
      now += seconds * 1000;
    },
    limits,
  };
}

describe('a rate limit', () => {
  it.each([1, 10, 11, 14, 15])('of 10 with a burst of 15 passes %d points at once', (points) => {
    expect(limited().passes(points)).toBe(true);
  });

  it('does not pass more than the burst at once, whatever time goes by', () => {
    const { passes, wait } = limited();
    expect(passes(16)).toBe(false);
    wait(1_000);
    expect(passes(16)).toBe(false);
  });

  it('passes the burst in pieces and not a point more', () => {
    const { passes } = limited();
    expect([7, 7, 1].map((points) => passes(points))).toEqual([true, true, true]);
    expect(passes(1)).toBe(false);
  });

  it('takes nothing for what it refuses', () => {
    const { passes } = limited();
    expect([12, 4, 4, 3, 1].map((points) => passes(points))).toEqual([true, false, false, true, false]);
  });

  it('is whole again after its period, and its burst after ten of them', () => {
    const { passes, wait } = limited();
    expect(passes(15)).toBe(true);
    wait(0.999);
    expect(passes(1)).toBe(false);
    wait(0.001);
    expect([10, 1].map((points) => passes(points))).toEqual([true, false]);
    wait(8.999);
    expect(passes(11)).toBe(false);
    wait(0.001);
    expect(passes(15)).toBe(true);
  });

  it('says after how long the refused call passes, and it does', () => {
    for (const first of [1, 5, 10, 12, 15]) {
      for (const second of [1, 4, 10, 11, 15]) {
        const { take, passes, wait } = limited();
        take(first);
        const answer = take(second);
        if (!answer.limited) continue;
        wait(answer.resetSeconds);
        expect(passes(second), `${first}, then ${second}`).toBe(true);
      }
    }
  });

  it('has back what a call took that was refused later', () => {
    const { passes, giveBack } = limited();
    expect(passes(12)).toBe(true);
    giveBack(12);
    expect(passes(15)).toBe(true);
  });

  it('never has back more than was taken, nor what an earlier period took', () => {
    const { passes, giveBack, wait } = limited();
    giveBack(100);
    expect(passes(16)).toBe(false);
    expect(passes(10)).toBe(true);
    wait(1);
    expect(passes(10)).toBe(true);
    giveBack(15);
    giveBack(15);
    expect([15, 1].map((points) => passes(points))).toEqual([true, false]);
  });

  it('counts each key by itself, and remembers it while 60,000 others come', () => {
    const { passes } = limited({ points: 1, seconds: 86_400, burst: 1 });
    expect(passes(1, 'mine')).toBe(true);
    for (let n = 0; n < 60_000; n++) passes(1, `other ${n}`);
    expect(passes(1, 'mine')).toBe(false);
  });

  it('by the day ends at midnight UTC', () => {
    let now = 0;
    const noon = Date.UTC(2026, 2, 3, 12);
    const limiters = localLimiters(
      () => now,
      () => noon + now,
    );
    const limits = new RateLimits({}, limiters);
    const take = (points: number) => limits.takeOfDay(5, 'a', points);
    expect(take(5)).toMatchObject({ limited: false, remaining: 0 });
    expect(take(1)).toMatchObject({ limited: true, resetSeconds: 12 * 3600 });
    now = 12 * 3_600_000 - 1;
    expect(take(1).limited).toBe(true);
    now++;
    expect(take(5).limited).toBe(false);
  });
});
