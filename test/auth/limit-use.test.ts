import { describe, expect, it } from 'vitest';
import { inPeriod, type LimitUse, leftOf, shareOf } from '../../src/auth/limit-use.js';

const rate = { points: 10, seconds: 1, burst: 15 };
const use = (more: Partial<LimitUse>): LimitUse => ({
  period: 41,
  used: 0,
  beyond: 0,
  asked: 0,
  askedBefore: 0,
  ...more,
});

describe('the use of a limit', () => {
  it.each([
    [0, 0, 15],
    [10, 0, 5],
    [14, 0, 1],
    [15, 0, 0],
    [16, 0, 0],
    [10, 4, 1],
    [10, 5, 0],
  ])('of %d points, after %d beyond the rate before, leaves %d', (used, beyond, left) => {
    expect(leftOf(use({ used, beyond }), rate)).toBe(left);
  });

  it.each([
    ['up to the rate', 10, 42, { used: 0, beyond: 0 }],
    ['beyond it', 12, 42, { used: 0, beyond: 2 }],
    ['up to the burst', 15, 42, { used: 0, beyond: 5 }],
    ['beyond the burst by 1', 16, 42, { used: 1, beyond: 5 }],
    ['beyond the burst by more than the rate', 40, 42, { used: 10, beyond: 5 }],
    ['beyond the burst, one period later', 16, 43, { used: 0, beyond: 5 }],
    ['beyond the rate, in the last of ten periods', 12, 49, { used: 0, beyond: 2 }],
    ['beyond the rate, in the next ten', 12, 50, { used: 0, beyond: 0 }],
  ])('%s: what is missing later', (_what, used, period, expected) => {
    expect(inPeriod(use({ used, asked: 99 }), period, rate)).toEqual({
      ...use(expected),
      period,
      askedBefore: period === 42 ? 99 : 0,
    });
  });

  it('is the same in its own period and in an earlier one', () => {
    const some = use({ used: 7, asked: 8 });
    expect([40, 41].map((period) => inPeriod(some, period, rate))).toEqual([some, some]);
  });
});

describe('the share of a replica', () => {
  it('is half by what it was asked for, half even, and those of all add up to one', () => {
    const all = use({ asked: 60, askedBefore: 40 });
    const shares = [90, 10, 0].map((own) => shareOf(own, all, 3));
    expect(shares).toEqual([0.45 + 1 / 6, 0.05 + 1 / 6, 1 / 6]);
    expect(shares.reduce((sum, share) => sum + share)).toBeCloseTo(1, 12);
  });

  it('is even where nobody was asked, and never more than all', () => {
    expect(shareOf(0, use({}), 4)).toBe(0.25);
    expect(shareOf(500, use({ asked: 100 }), 1)).toBe(1);
  });
});
