import { expect, it } from 'vitest';
import { parseDuration } from '../../src/core/duration.js';

it.each([
  ['0', 0],
  ['500ms', 500],
  ['30s', 30_000],
  ['5m', 300_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
  ['999999999s', 999_999_999_000],
])('%s is a duration', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});

it.each(['', '30', '-1s', '1.5s', '1 s', '1S', '1w', 's', '1s1s', '9999999999s'])('%j is not one', (text) => {
  expect(parseDuration(text)).toBeUndefined();
});
