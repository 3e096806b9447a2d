import { describe, expect, it } from 'vitest';
import { surplusOf } from '../../src/workers/connection-balance.js';

describe('a worker gives up connections', () => {
  it.each([
    [60, [60, 4], 28],
    [36, [36, 28], 0],
    [42, [42, 28], 0],
    [43, [43, 28], 7],
    [2, [2, 0], 0],
    [3, [3, 0], 1],
    [276, [276, 204, 96], 84],
    [204, [276, 204, 96], 12],
    [96, [276, 204, 96], 0],
    [50, [50], 0],
    [0, [0, 0], 0],
  ])('of %d among %j: %d', (own, all, surplus) => {
    expect(surplusOf(own, all)).toBe(surplus);
  });
});
