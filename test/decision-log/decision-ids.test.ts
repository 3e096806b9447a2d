import { expect, it } from 'vitest';
import { DecisionIds, idMilliseconds } from '../../src/decision-log/decision-ids.js';
import { noon } from './example-records.js';

it('ids are UUIDv7 that carry their millisecond', () => {
  const id = new DecisionIds(0x3fffffff, 0).next(noon);
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7000-bfff-ffff[0-9a-f]{8}$/);
  expect(idMilliseconds(id)).toBe(noon);
});

it('10,000 ids of one millisecond are distinct and in order', () => {
  const ids = new DecisionIds(7, 0);
  const given = Array.from({ length: 10_000 }, () => ids.next(noon));
  expect([...given].sort()).toEqual(given);
  expect(new Set(given).size).toBe(10_000);
});

it('ids go on rising when the clock steps back', () => {
  const ids = new DecisionIds(7, 0);
  const given = [ids.next(noon), ids.next(noon - 5_000), ids.next(noon - 10_000), ids.next(noon + 1)];
  expect([...given].sort()).toEqual(given);
});

it('only a UUIDv7 has milliseconds', () => {
  for (const text of ['', 'x', '0199c2f6-3d41-4003-8a41-90b7c3d9e211', "0199c2f6-3d41-7003-8a41-90b7c3d9e21'"]) {
    expect(idMilliseconds(text)).toBeUndefined();
  }
});
