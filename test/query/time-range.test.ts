import { expect, it } from 'vitest';
import { readTimeRange, type TimeRangeQuery } from '../../src/query/time-range.js';
import { dayOf, TimeZone } from '../../src/query/time-zone.js';

const hourMs = 3_600_000;

function rangeOf(query: TimeRangeQuery) {
  const { from, to } = readTimeRange(query);
  return [from, to].map((time) => (time === undefined ? undefined : new Date(time).toISOString()));
}

it.each<[TimeRangeQuery, string | undefined, string | undefined]>([
  [{}, undefined, undefined],
  [{ from: '2026-03-03', to: '2026-03-03' }, '2026-03-03T00:00:00.000Z', '2026-03-04T00:00:00.000Z'],
  [{ from: '2026-03-03', to: '2026-03-03T12:00:00Z' }, '2026-03-03T00:00:00.000Z', '2026-03-03T12:00:00.000Z'],
  [{ from: '2026-12-31', to: '2026-12-31', tz: 'UTC' }, '2026-12-31T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
  // A time has its own offset, so the zone has no effect.
  [{ from: '2026-03-03T00:00:00+05:00', tz: 'Europe/Zurich' }, '2026-03-02T19:00:00.000Z', undefined],
  [
    { from: '2026-01-10', to: '2026-01-10', tz: 'Europe/Zurich' },
    '2026-01-09T23:00:00.000Z',
    '2026-01-10T23:00:00.000Z',
  ],
  [
    { from: '2026-07-10', to: '2026-07-10', tz: 'Europe/Zurich' },
    '2026-07-09T22:00:00.000Z',
    '2026-07-10T22:00:00.000Z',
  ],
  [
    { from: '2026-03-03', to: '2026-03-03', tz: 'Asia/Kathmandu' },
    '2026-03-02T18:15:00.000Z',
    '2026-03-03T18:15:00.000Z',
  ],
  // Clocks go from 00:00 to 01:00: the day begins at 01:00.
  [
    { from: '2018-11-04', to: '2018-11-04', tz: 'America/Sao_Paulo' },
    '2018-11-04T03:00:00.000Z',
    '2018-11-05T02:00:00.000Z',
  ],
  // This day was left out when Samoa moved across the date line.
  [
    { from: '2011-12-30', to: '2011-12-30', tz: 'Pacific/Apia' },
    '2011-12-30T10:00:00.000Z',
    '2011-12-30T10:00:00.000Z',
  ],
])('%j is from %s to %s', (query, from, to) => {
  expect(rangeOf(query)).toEqual([from, to]);
});

it.each([
  ['2026-03-28', 24],
  ['2026-03-29', 23],
  ['2026-03-30', 24],
  ['2026-10-24', 24],
  ['2026-10-25', 25],
])('%s has %i hours in Zurich', (day, hours) => {
  const { from, to } = readTimeRange({ from: day, to: day, tz: 'Europe/Zurich' });
  expect((to! - from!) / hourMs).toBe(hours);
});

it('the days of a zone leave no time out and have none twice', () => {
  for (const name of ['Europe/Zurich', 'America/St_Johns', 'Australia/Lord_Howe', 'Africa/Casablanca', 'UTC']) {
    const zone = TimeZone.named(name)!;
    for (let day = dayOf('2025-12-31')!; day <= dayOf('2027-01-01')!; day++) {
      const start = zone.startOfDay(day);
      expect(zone.dayAt(start), name).toBe(day);
      expect(zone.dayAt(start - 60_000), name).toBe(day - 1);
    }
  }
});

it.each([
  [{ from: '2026-02-30' }, '/from'],
  [{ to: '2026-02-29' }, '/to'],
  [{ from: '2026-3-3' }, '/from'],
  [{ from: '2026-03-03T25:00:00Z' }, '/from'],
  [{ from: '2026-03-03T10:00:00', tz: 'Europe/Zurich' }, '/from'],
  [{ to: 'yesterday' }, '/to'],
  [{ from: '' }, '/from'],
  [{ tz: 'Europe/Zürich' }, '/tz'],
  [{ tz: 'Mars/Olympus' }, '/tz'],
  [{ tz: '+01:00' }, '/tz'],
  [{ tz: '' }, '/tz'],
])('%j is refused at %s', (query, pointer) => {
  expect(() => readTimeRange(query)).toThrow(
    expect.objectContaining({ code: 'invalid_request', extra: { errors: [expect.objectContaining({ pointer })] } }),
  );
});

it('a day is a day of the calendar', () => {
  expect(dayOf('2024-02-29')).toBe(Date.UTC(2024, 1, 29) / (24 * hourMs));
  expect(dayOf('2026-02-29')).toBeUndefined();
  expect(dayOf('2026-13-01')).toBeUndefined();
  expect(dayOf('2026-03-03T00:00:00Z')).toBeUndefined();
});
