import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { migrate } from '../../../src/database/postgres/migrations.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import { DecisionCounts, NameBounds } from '../../../src/decision-log/decision-counts.js';
import { sharedLogMigrations } from '../../../src/decision-log/postgres/shared-migrations.js';
import { sharedStats } from '../../../src/decision-log/postgres/shared-stats.js';
import { decisionsByDay, type SharedTallyLimits, TallyJob } from '../../../src/decision-log/postgres/shared-tally.js';
import { addDeltas } from '../../../src/decision-log/postgres/tally-delta.js';
import { statsOf } from '../../../src/decision-log/stats-answer.js';
import type { StatsQuery } from '../../../src/decision-log/stats-query.js';
import { type TallyRow, tallyFields } from '../../../src/decision-log/tally.js';
import { tallyQuestionOf } from '../../../src/decision-log/tally-question.js';
import { openDatabase } from '../../database/postgres/databases.js';
import { hasPostgres, PostgresServer } from '../../database/postgres/postgres-server.js';
import { noon } from '../example-records.js';
import { sharedDatabases } from './shared-database.js';

const noonMinute = noon / 60_000;
const wide: SharedTallyLimits = { names: 1_000, rows: [1_000, 1_000, 1_000] };

function row(more: Partial<TallyRow> = {}): TallyRow {
  const { minute = noonMinute, policySet = 's', policyVersion = 'v', decision = 'allow' } = more;
  const { reason = 'r', caller = 'c', count = 1 } = more;
  return { minute, policySet, policyVersion, decision, reason, caller, count };
}

async function ship(database: PostgresDatabase, rows: readonly TallyRow[]): Promise<void> {
  await database.transaction((client) => addDeltas(client, (name) => database.table(name), rows));
}

const callers = (count: number, more: Partial<TallyRow> = {}) =>
  Array.from({ length: count }, (_, i) => row({ ...more, caller: `c${i}`, count: i + 1 }));

/** Random counts of two sets, few reasons and names of every kind, within two days and around the end of summer time. */
const rows = fc.array(
  fc
    .record({
      minute: fc.oneof(
        fc.integer({ min: noonMinute, max: noonMinute + 2_880 }),
        fc.integer({ min: Date.UTC(2026, 9, 24, 20) / 60_000, max: Date.UTC(2026, 9, 25, 4) / 60_000 }),
      ),
      policySet: fc.constantFrom('a', 'b'),
      policyVersion: fc.constantFrom('sha256:1', 'sha256:2'),
      decision: fc.constantFrom('allow', 'deny'),
      reason: fc.constantFrom('rule_allowed', 'no_matching_rule'),
      caller: fc.constantFrom('', 'x', 'null', '0', 'b\u0000"\\', '\ud800', "'{}", 'ä'.repeat(3_000)),
      count: fc.integer({ min: 1, max: 1_000 }),
    })
    .map(row),
  { maxLength: 60 },
);
const questions = fc.record(
  {
    bucket: fc.constantFrom('minute' as const, 'hour' as const, 'day' as const),
    by: fc.subarray([...tallyFields]),
    tz: fc.constantFrom('UTC', 'Europe/Zurich', 'Asia/Kathmandu', 'Australia/Lord_Howe'),
    from: fc.constantFrom('2026-10-25', '2026-10-25T00:30:00Z', '2026-11-21T12:07:00Z', '2026-11-22'),
    to: fc.constantFrom('2026-10-25', '2026-11-21T23:59:00Z', '2026-11-22', '2026-11-22T11:07:00Z'),
    decision: fc.constantFrom('deny'),
    caller: fc.constantFrom('x', 'nobody', 'b\u0000"\\'),
    policySet: fc.constantFrom('a', 'none'),
  },
  { requiredKeys: [] },
);

describe.skipIf(!hasPostgres)('counts of the shared log', () => {
  const { open, reopen, endSome } = sharedDatabases();

  /** The connections of some replicas to a new database of a server that vacuums nothing by itself. */
  async function openUnvacuumed<Count extends 1 | 3>(count: Count) {
    const own = await PostgresServer.start({ settings: { autovacuum: 'off' } });
    onTestFinished(() => own.remove());
    const url = await own.createDatabase();
    const databases = Array.from({ length: count }, () => openDatabase(url));
    await migrate(databases[0]!, 'decision-log', sharedLogMigrations);
    return databases as Count extends 1 ? [PostgresDatabase] : [PostgresDatabase, PostgresDatabase, PostgresDatabase];
  }

  it('count what is folded, what waits and what is not shipped yet as one, by any fields, bucket, zone and range', async () => {
    const database = await open();
    const job = new TallyJob(database);
    await database.query(
      `INSERT INTO ${database.table('decision_writer')} (journal, id_writer, instance, shipped) VALUES ('j', 1, 'i', 7)`,
    );
    const shipped: TallyRow[] = [];
    await fc.assert(
      fc.asyncProperty(
        rows,
        rows,
        fc.boolean(),
        fc.array(questions, { minLength: 1, maxLength: 4 }),
        async (more, own, fold, queries) => {
          await ship(database, more);
          shipped.push(...more);
          if (fold) await job.step(true);
          for (const query of queries) {
            const scope = query.caller === undefined ? {} : { policySets: ['b', 'c'] };
            const asked: number[] = [];
            const got = await sharedStats(database, query as StatsQuery, scope, {
              writer: 1,
              rows: (after) => {
                asked.push(after);
                return [own];
              },
            });
            const question = tallyQuestionOf(query as StatsQuery, scope);
            const wanted = new DecisionCounts(question);
            await wanted.addRows([...shipped, ...own], new NameBounds(1_000));
            expect(got, JSON.stringify(query)).toEqual(await statsOf(wanted, question.by));
            expect(asked).toEqual([7]);
          }
        },
      ),
      { numRuns: 40 },
    );
  }, 120_000);

  it('are the same whether rows are few and inserted or many and copied', async () => {
    for (const count of [64, 65]) {
      const database = await open();
      const rows = [...callers(count - 1), row({ caller: '\u0000', count: 3 })];
      await ship(database, rows);
      // Rows that agree in all are one.
      await ship(database, [...rows, ...rows]);
      const deltas = await database.query<{ rows: number }>(
        `SELECT count(*) AS rows FROM ${database.table('tally_delta')}`,
      );
      expect(deltas).toEqual([{ rows: 2 * count }]);
      for (const fold of [false, true]) {
        if (fold) expect(await new TallyJob(database).step(true)).toBe(true);
        const { items, total } = await sharedStats(database, { by: ['caller'] });
        expect(total).toBe(3 * (3 + ((count - 1) * count) / 2));
        expect(items).toHaveLength(count);
        expect(items).toContainEqual({ caller: '\u0000', count: 9 });
      }
    }
  });

  it('are folded when many wait, and not before', async () => {
    const database = await open();
    const job = new TallyJob(database);
    await ship(database, callers(4_095));
    expect(await job.step()).toBe(false);
    await ship(database, [row()]);
    expect(await job.step()).toBe(true);
    expect(await job.step(true)).toBe(false);
    expect((await sharedStats(database, {})).total).toBe((4_095 * 4_096) / 2 + 1);
  });

  it('keep as many callers apart as they may, the most frequent ones, and count one more as another', async () => {
    for (const [count, others] of [
      [5, 0],
      [6, 1],
      [9, 1 + 2 + 3 + 4],
    ] as const) {
      const database = await open();
      await ship(database, callers(count));
      await new TallyJob(database, { ...wide, names: 5 }).step(true);
      const { items, total } = await sharedStats(database, { by: ['caller'] });
      expect(total).toBe((count * (count + 1)) / 2);
      expect(items.filter(({ caller }) => caller !== undefined).map((item) => item.count)).toEqual(
        Array.from({ length: 5 }, (_, i) => count - i),
      );
      expect(items.find(({ other }) => other !== undefined)?.count ?? 0).toBe(others);
      const uncertain = others === 0 ? {} : { uncertain: others };
      expect(await sharedStats(database, { caller: 'c0' })).toEqual(
        others === 0 ? { items: [{ count: 1 }], total: 1 } : { items: [], total: 0, ...uncertain },
      );
    }
  });

  it.each([
    [0, 1],
    [1, 15],
    [2, 1_440],
  ] as const)(
    'keep as many rows of level %i as they may in full, and no decision is lost or another set’s',
    async (level, minutes) => {
      const limits: [number, number, number] = [1_000, 1_000, 1_000];
      limits[level] = 7;
      for (const [count, kept] of [
        [7, 7],
        [8, 8],
        [100, 8],
      ] as const) {
        const database = await open();
        const job = new TallyJob(database, { names: 1_000, rows: limits });
        const crowd = callers(count, { minute: minutes * 3 });
        const present = () =>
          database.query<{ rows: number }>(`SELECT count(*) AS rows FROM ${database.table('tally')} WHERE level = $1`, [
            level,
          ]);
        await ship(database, crowd);
        await job.step(true);
        expect(await present()).toEqual([{ rows: kept }]);
        // What comes later finds the rows that are there, and no room beside them.
        await ship(database, [...crowd, row({ minute: minutes * 3, policySet: 'other', caller: 'new' })]);
        await job.step(true);
        const iso = (minute: number) => new Date(minute * 60_000).toISOString();
        const { items } = await sharedStats(database, {
          from: iso(minutes * 3),
          to: iso(minutes * 4),
          by: ['policySet', 'caller'],
        });
        const sum = (set: string) =>
          items.filter(({ policySet }) => policySet === set).reduce((all, item) => all + item.count, 0);
        expect([sum('s'), sum('other')]).toEqual([count * (count + 1), 1]);
        expect(items.find(({ policySet }) => policySet === 'other')?.other).toEqual(['caller']);
      }
    },
  );

  it('keep a period within twice its rows and those of its sets, whatever comes', async () => {
    const database = await open();
    const job = new TallyJob(database, { names: 1_000, rows: [4, 1_000, 1_000] });
    for (let i = 0; i < 3; i++) {
      await ship(
        database,
        Array.from({ length: 60 }, (_, j) => row({ policyVersion: `v${j % 20}`, caller: `c${j}`, reason: `r${i}` })),
      );
      await job.step(true);
    }
    const [counted] = await database.query<{ rows: number }>(
      `SELECT count(*) AS rows FROM ${database.table('tally')} WHERE level = 0`,
    );
    // Four in full, four more without the caller, and one for the set and the decision.
    expect(counted!.rows).toBe(9);
    expect((await sharedStats(database, { bucket: 'minute' })).total).toBe(180);
  });

  it('hold while others ship and fold, and when a fold is ended in the middle', async () => {
    const database = await open();
    const others = [reopen(database), reopen(database)];
    let shipped = 0;
    let isOver = false;
    let ended = 0;
    const ends = async () => {
      while (!isOver) {
        ended += await endSome(database, '^WITH incoming|^DELETE FROM', 0.3);
      }
    };
    const folds = async (job: TallyJob) => {
      while (!isOver) await job.step(true).catch(() => undefined);
    };
    const work = [ends(), ...others.map((other) => folds(new TallyJob(other)))];
    try {
      for (let i = 0; i < 120; i++) {
        await ship(database, callers(20, { minute: noonMinute + i }));
        shipped += 210;
        const stats = await sharedStats(database, {}).catch(() => undefined);
        expect(stats?.total ?? shipped).toBe(shipped);
      }
    } finally {
      isOver = true;
      await Promise.all(work);
    }
    expect(ended).toBeGreaterThan(5);
    await new TallyJob(database).step(true);
    expect((await sharedStats(database, { bucket: 'minute' })).total).toBe(shipped);
    expect((await sharedStats(database, {})).total).toBe(shipped);
    expect(await database.query(`SELECT FROM ${database.table('tally_delta')}`)).toEqual([]);
  }, 60_000);

  it('are read from a table that stays small, however many were folded', async () => {
    const [database] = await openUnvacuumed(1);
    const job = new TallyJob(database);
    const bytes = async () => {
      const [size] = await database.query<{ bytes: number }>(
        `SELECT pg_relation_size('${database.table('tally_delta')}') AS bytes`,
      );
      return size!.bytes;
    };
    const fill = async () => {
      for (let i = 0; i < 30; i++) await ship(database, callers(4_000));
      while (await job.step(true));
    };
    const total = (4_000 * 4_001) / 2;
    // Little is left alone.
    await ship(database, callers(4_000));
    await job.step(true);
    expect(await job.tidy()).toBe(false);
    await fill();
    expect(await bytes()).toBeGreaterThan(8 * 1024 * 1024);
    expect(await job.tidy()).toBe(true);
    expect(await bytes()).toBe(0);
    // Again only after some time, which a vacuum that finds nothing to remove would waste.
    await fill();
    expect(await job.tidy()).toBe(false);
    expect((await sharedStats(database, {})).total).toBe(61 * total);
  }, 60_000);

  it('are tidied up while others read, ship, and tidy up, and not by a role that does not own the table', async () => {
    const [database, other, third] = await openUnvacuumed(3);
    for (let i = 0; i < 40; i++) await ship(database, callers(4_000));
    while (await new TallyJob(database).step(true));
    await database.query('CREATE ROLE reader');
    const name = database.table('tally_delta');
    await database.query(`GRANT USAGE ON SCHEMA ${database.schema} TO reader; GRANT SELECT ON ${name} TO reader`);
    const reader = await other.connect();
    await reader.query('SET ROLE reader');
    const asReader = Object.create(other, { query: { value: reader.query.bind(reader) } }) as PostgresDatabase;
    expect(await new TallyJob(asReader).tidy()).toBe(false);
    await reader.close();
    await other.transaction(
      async (client) => {
        await client.query(`SELECT count(*) FROM ${name}`);
        // Nobody waits: not the vacuum for who reads, nor who ships and reads for the vacuum.
        const tidied = Promise.all([new TallyJob(database).tidy(), new TallyJob(third).tidy()]);
        await ship(third, [row()]);
        expect(await tidied).toContain(true);
      },
      { snapshot: true },
    );
    expect((await sharedStats(database, {})).total).toBe((40 * (4_000 * 4_001)) / 2 + 1);
  }, 60_000);

  it('forget the days before one, folded or not, and say how many decisions each day has', async () => {
    const database = await open();
    const job = new TallyJob(database);
    const day = Math.floor(noonMinute / 1_440);
    const days = [-2, -1, 0].map((before) => row({ minute: noonMinute + before * 1_440, count: 10 - before }));
    await ship(database, days);
    await job.step(true);
    await ship(database, days);
    const table = (name: string) => database.table(name);
    expect(await decisionsByDay(database, table)).toEqual([
      { day: day - 2, count: 24 },
      { day: day - 1, count: 22 },
      { day, count: 20 },
    ]);
    await job.forget(day - 1);
    expect(await decisionsByDay(database, table)).toEqual([
      { day: day - 1, count: 22 },
      { day, count: 20 },
    ]);
    for (const bucket of ['minute', 'hour', 'day'] as const) {
      for (const by of [[], ['caller']] as const) {
        expect((await sharedStats(database, { bucket, by })).total).toBe(42);
      }
    }
  });

  it('refuse an answer of more rows than it may have, wherever they are', async () => {
    for (const fold of [true, false]) {
      const database = await open();
      const minutes = (count: number) => Array.from({ length: count }, (_, i) => row({ minute: noonMinute + i }));
      await ship(database, minutes(10_000));
      if (fold) await new TallyJob(database).step(true);
      expect((await sharedStats(database, { bucket: 'minute' })).items).toHaveLength(10_000);
      await ship(database, [row({ minute: noonMinute - 1 })]);
      if (fold) await new TallyJob(database).step(true);
      await expect(sharedStats(database, { bucket: 'minute' })).rejects.toMatchObject({ code: 'invalid_request' });
    }
  });
});
