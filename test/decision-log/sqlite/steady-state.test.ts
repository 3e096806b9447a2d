import { expect, it } from 'vitest';
import { SteadyState } from '../../../src/decision-log/sqlite/steady-state.js';

it('works until it fails, and again 3 s after it recovered', () => {
  const state = new SteadyState();
  expect(state.isWorking(0)).toBe(true);
  state.failed(100_000);
  expect(state.isWorking(100_000)).toBe(false);
  state.recovered(110_000);
  expect(state.isWorking(112_999)).toBe(false);
  expect(state.isWorking(113_000)).toBe(true);
});

it('waits twice as long after each failure within a minute of the recovery, 60 s at most', () => {
  const state = new SteadyState();
  const waits: number[] = [];
  let now = 100_000;
  for (let i = 0; i < 7; i++) {
    state.failed(now);
    state.recovered(now + 1_000);
    let wait = 0;
    while (!state.isWorking(now + 1_000 + wait)) wait += 1_000;
    waits.push(wait);
    now += 1_000 + 59_999;
  }
  expect(waits).toEqual([3_000, 6_000, 12_000, 24_000, 48_000, 60_000, 60_000]);
  state.failed(now + 1);
  state.recovered(now + 1);
  expect(state.isWorking(now + 1 + 3_000)).toBe(true);
});

it('what fails every other second never counts as working', () => {
  const state = new SteadyState();
  for (let now = 100_000; now < 400_000; now += 2_000) {
    state.failed(now);
    state.recovered(now + 1_000);
    expect(state.isWorking(now + 1_999)).toBe(false);
  }
});
