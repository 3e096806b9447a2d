import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Confirmation } from '../../src/policy-store/confirmation.js';

describe('a confirmation', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['Date', 'performance'], now: Date.parse('2026-03-03T10:00:00Z') }));
  afterEach(() => vi.useRealTimers());

  const age = ({ at }: Confirmation) => Date.now() - at!;

  it('is not there before the first time', () => {
    expect(new Confirmation().at).toBeUndefined();
  });

  it('grows old by both clocks', () => {
    const confirmation = new Confirmation();
    vi.advanceTimersByTime(1_000);
    confirmation.note(performance.now() - 200);
    vi.advanceTimersByTime(3_000);
    expect(age(confirmation)).toBe(3_200);
  });

  it('is not younger when the clock of the machine is set back, and older when it is set forward', () => {
    const confirmation = new Confirmation();
    confirmation.note(performance.now());
    vi.advanceTimersByTime(3_000);
    vi.setSystemTime(Date.now() - 3_600_000);
    expect(age(confirmation)).toBe(3_000);
    vi.setSystemTime(Date.now() + 7_200_000);
    expect(age(confirmation)).toBe(3_603_000);
  });
});
