import fc from 'fast-check';
import { expect, it, onTestFinished } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { plainCoding } from '../../../src/decision-log/group-coding.js';
import { KeyIndex1763700000001 } from '../../../src/decision-log/sqlite/migrations/1763700000001-key-index.js';
import { Tally1763700000003 } from '../../../src/decision-log/sqlite/migrations/1763700000003-tally.js';
import { Rollups1764300000002 } from '../../../src/decision-log/sqlite/migrations/1764300000002-rollups.js';
import { readTallies } from '../../../src/decision-log/sqlite/tally-query.js';
import {
  addFresh,
  forgetTallies,
  putFresh,
  type TallyLimits,
  tallyScratch,
} from '../../../src/decision-log/sqlite/tally-table.js';
import type { TallyRow } from '../../../src/decision-log/tally.js';
import type { TallyGroup, TallyQuestion } from '../../../src/decision-log/tally-question.js';
import { TimeZone } from '../../../src/query/time-zone.js';

async function open(): Promise<SqliteConnection> {
  const connection = await SqliteConnection.open({
    path: ':memory:',
    migrations: [KeyIndex1763700000001, Tally1763700000003, Rollups1764300000002],
    setup: tallyScratch,
    busyTimeoutMs: 0,
  });
  onTestFinished(() => connection.close());
  return connection;
}

function row(more: Partial<TallyRow>): TallyRow {
  const {
    minute = 0,
    policySet = 's',
    policyVersion = 'v',
    decision = 'allow',
    reason = 'r',
    caller = 'c',
    count = 1,
  } = more;
  return { minute, policySet, policyVersion, decision, reason, caller, count };
}

async function add(connection: SqliteConnection, rows: readonly TallyRow[], limits: TallyLimits): Promise<void> {
  await putFresh(connection, rows);
  await addFresh(connection, limits);
}

async function groupsOf(connection: SqliteConnection, more: Partial<TallyQuestion> = {}): Promise<TallyGroup[]> {
  const question = {
    from: 0,
    to: 10_000_000,
    bucket: undefined,
    zone: TimeZone.utc,
    by: [],
    filters: {},
    policySets: undefined,
  };
  const groups: TallyGroup[] = [];
  await readTallies(connection, plainCoding, { ...question, ...more }, 10_000, (read) => groups.push(...read));
  return groups.sort((a, b) => a.count - b.count);
}

async function rowsOf(connection: SqliteConnection, level: number): Promise<number> {
  const [counted] = await connection.query<{ rows: number }>('SELECT count(*) AS rows FROM tally WHERE level = ?', [
    level,
  ]);
  return counted!.rows;
}

const wide: TallyLimits = { names: 1_000, rows: [1_000, 1_000, 1_000] };
const callers = (count: number) => Array.from({ length: count }, (_, i) => row({ caller: `c${i}`, count: i + 1 }));

it('keeps as many callers apart as it may, the most frequent ones, and counts one more as another', async () => {
  for (const [count, others] of [
    [5, 0],
    [6, 1],
    [9, 1 + 2 + 3 + 4],
  ] as const) {
    const connection = await open();
    await add(connection, callers(count), { ...wide, names: 5 });
    const groups = await groupsOf(connection, { by: ['caller'] });
    expect(groups.filter(({ values }) => values[0] !== null).map(({ count: each }) => each)).toEqual(
      callers(count)
        .slice(-5)
        .map((each) => each.count),
    );
    expect(groups.find(({ values }) => values[0] === null)?.count ?? 0).toBe(others);
  }
});

it.each([
  [0, 1],
  [1, 15],
  [2, 1_440],
] as const)(
  'keeps as many rows of level %i as it may in full, and no decision is lost or another set’s',
  async (level, minutes) => {
    const rows: [number, number, number] = [1_000, 1_000, 1_000];
    rows[level] = 7;
    for (const [count, kept] of [
      [7, 7],
      [8, 8],
      [100, 8],
    ] as const) {
      const connection = await open();
      const crowd = callers(count).map((each) => ({ ...each, minute: minutes * 3 }));
      await add(connection, crowd, { names: 1_000, rows });
      expect(await rowsOf(connection, level)).toBe(kept);
      // What comes later finds the rows that are there, and no room beside them.
      await add(connection, [...crowd, row({ minute: minutes * 3, policySet: 'other', caller: 'new' })], {
        names: 1_000,
        rows,
      });
      const bucket = { from: minutes * 3, to: minutes * 4, by: ['policySet'] as const };
      expect(await groupsOf(connection, bucket)).toEqual([
        { start: undefined, values: ['other'], isUncertain: false, count: 1 },
        { start: undefined, values: ['s'], isUncertain: false, count: count * (count + 1) },
      ]);
    }
  },
);

it('a hundred thousand callers over many minutes leave few rows', async () => {
  const connection = await open();
  const crowd = Array.from({ length: 20_000 }, (_, i) => row({ minute: Math.floor(i / 20), caller: `c${i}` }));
  await add(connection, crowd, { names: 100, rows: [256, 512, 2_048] });
  // The hundred that have names, once each, and the others once a minute.
  expect(await rowsOf(connection, 0)).toBeLessThanOrEqual(1_000 + 100);
  const groups = await groupsOf(connection, { by: ['caller'] });
  expect(groups).toHaveLength(101);
  expect(groups.find(({ values }) => values[0] === null)!.count).toBe(19_900);
});

it('a filter on a caller says how many decisions may be his besides', async () => {
  const connection = await open();
  await add(connection, callers(6), { ...wide, names: 5 });
  const ofCaller = (caller: string) => groupsOf(connection, { filters: { caller } });
  expect(await ofCaller('c5')).toEqual([
    { start: undefined, values: [], isUncertain: true, count: 1 },
    { start: undefined, values: [], isUncertain: false, count: 6 },
  ]);
  expect(await ofCaller('c0')).toEqual([{ start: undefined, values: [], isUncertain: true, count: 1 }]);
  expect(await groupsOf(connection, { filters: { caller: 'c0', decision: 'deny' } })).toEqual([]);
});

const randomRows = fc.array(
  fc.record({
    minute: fc.integer({ min: 0, max: 3_000 }),
    policySet: fc.constantFrom('s', 't'),
    policyVersion: fc.constantFrom('v', 'w'),
    decision: fc.constantFrom('allow', 'deny'),
    reason: fc.constantFrom('r', 'q'),
    caller: fc.constantFrom('', 'a', 'b', 'c', 'd'),
    count: fc.integer({ min: 1, max: 5 }),
  }),
  { maxLength: 40 },
);

it('whatever is not kept apart, every decision is counted in its set, its answer and its time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(randomRows, { maxLength: 4 }), fc.integer({ min: 1, max: 6 }), async (batches, limit) => {
      const connection = await open();
      for (const rows of batches) await add(connection, rows, { names: limit, rows: [limit, limit, limit] });
      for (const bucket of [1, 60, 1_440, undefined]) {
        const wanted = new Map<string, number>();
        for (const { minute, policySet, decision, count } of batches.flat()) {
          const start = bucket === undefined ? undefined : Math.floor(minute / bucket) * bucket;
          const key = JSON.stringify([start, policySet, decision]);
          wanted.set(key, (wanted.get(key) ?? 0) + count);
        }
        const groups = await groupsOf(connection, { bucket, by: ['policySet', 'decision'] });
        expect(new Map(groups.map(({ start, values, count }) => [JSON.stringify([start, ...values]), count]))).toEqual(
          wanted,
        );
      }
    }),
    { numRuns: 25 },
  );
});

it('forgets what lies before a minute in every level, and nothing after it', async () => {
  await fc.assert(
    fc.asyncProperty(randomRows, fc.integer({ min: 0, max: 3_001 }), async (rows, minute) => {
      const connection = await open();
      await add(connection, rows, wide);
      await forgetTallies(connection, minute);
      await forgetTallies(connection, minute);
      const left = rows.filter((each) => each.minute >= minute).reduce((sum, { count }) => sum + count, 0);
      for (const bucket of [1, 60, 1_440, undefined]) {
        const groups = await groupsOf(connection, { bucket });
        expect(groups.reduce((sum, { count }) => sum + count, 0)).toBe(left);
      }
    }),
    { numRuns: 25 },
  );
});
