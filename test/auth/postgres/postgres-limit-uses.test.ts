/** The uses of limits in a real PostgreSQL: its arithmetic is that of `inPeriod`, whoever charges at once. */
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LimitUse } from '../../../src/auth/limit-use.js';
import type { LimitCharge, LimitCounter } from '../../../src/auth/limit-uses.js';
import { PostgresLimitUses } from '../../../src/auth/postgres/postgres-limit-uses.js';
import { ChangeFeed } from '../../../src/database/postgres/change-feed.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { charged } from '../shared-limits.js';

describe.skipIf(!hasPostgres)('uses of limits in PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  async function openReplica(url = server().newSchema()) {
    const database = openDatabase(url);
    const feed = new ChangeFeed(database, { onProblem: () => undefined });
    onTestFinished(() => feed.stop());
    feed.start();
    await expect.poll(() => feed.ageMs).toBeLessThan(Number.POSITIVE_INFINITY);
    return { url, database, uses: new PostgresLimitUses(database, feed) };
  }

  const counterOf = (id: string, more: Partial<LimitCounter> = {}): LimitCounter => ({
    id,
    kind: 'decide',
    rate: { points: 10, seconds: 1, burst: 15 },
    phaseMs: 0,
    ...more,
  });
  const chargeOf = (counter: LimitCounter, points: number, asked = points): LimitCharge => ({ counter, points, asked });

  it('are what the arithmetic in memory says, over random charges and periods', async () => {
    const { uses } = await openReplica();
    let seed = 20_261_129;
    const random = (most: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((seed / 2_147_483_648) * most);
    };
    const known = new Map<string, LimitUse>();
    /** The rate that a counter was charged with last: what an old period allowed is said by it. */
    const rates = new Map<string, LimitCounter['rate']>();
    const seen = { stayed: 0, next: 0, later: 0, back: 0, missing: 0, beyond: 0 };
    let shift = 0;
    for (let round = 0; round < 300; round++) {
      // Time goes on by the phase; now and then it is set back.
      shift = Math.max(0, shift + [0, 0, 1, 1, 2, 7, 12, -1, -30][random(9)]!);
      const charges = ['a', 'b', 'c'].map((id) => {
        const burst = random(4) === 0 ? 10 : 15;
        const counter = counterOf(id, { phaseMs: shift * 1_000, rate: { points: 10, seconds: 1, burst } });
        return chargeOf(counter, random(22) - 2, random(40));
      });
      const { now, uses: found } = await uses.charge(charges);
      for (const charge of charges) {
        const { id, phaseMs, rate } = charge.counter;
        const period = Math.floor((now + phaseMs) / 1_000);
        const before = known.get(id);
        const expected = charged(before, charge, period, rates.get(id) ?? rate);
        expect(found.get(id), `round ${round}, ${id}`).toEqual(expected);
        const steps = before === undefined ? 0 : period - before.period;
        if (steps === 0 || steps === -1) seen.stayed++;
        else if (steps === 1) seen.next++;
        else if (steps > 1) seen.later++;
        else seen.back++;
        if (steps === 1 && expected.used > Math.max(0, charge.points)) seen.missing++;
        if (expected.beyond > 0) seen.beyond++;
        known.set(id, expected);
        rates.set(id, rate);
      }
    }
    // Every way was taken.
    expect(Math.min(...Object.values(seen)), JSON.stringify(seen)).toBeGreaterThan(10);
  });

  it('lose no charge where replicas charge the same counters at once, in different orders', async () => {
    const url = server().newSchema();
    const replicas = [await openReplica(url), await openReplica(url), await openReplica(url)];
    // A period that does not end meanwhile.
    const counters = Array.from({ length: 200 }, (_, n) =>
      counterOf(`counter ${n}`, { kind: 'quota', rate: { points: 1e9, seconds: 1e8, burst: 1e9 } }),
    );
    await Promise.all(
      replicas.map(async ({ uses }, replica) => {
        for (let round = 0; round < 20; round++) {
          const order = replica === 1 ? [...counters].reverse() : counters;
          await uses.charge(order.map((counter) => chargeOf(counter, replica + 1)));
        }
      }),
    );
    const { uses } = await replicas[0]!.uses.charge(counters.map((counter) => chargeOf(counter, 0)));
    expect(new Set([...uses.values()].map(({ used }) => used))).toEqual(new Set([20 * (1 + 2 + 3)]));
    expect(uses.size).toBe(200);
  });

  it('are never less than nothing, also where the first charge gives back', async () => {
    const { uses } = await openReplica();
    const counter = counterOf('a', { kind: 'quota', rate: { points: 10, seconds: 1e8, burst: 10 } });
    const seen: LimitUse[] = [];
    for (const points of [-5, 3, -2, -9, 4]) {
      seen.push((await uses.charge([chargeOf(counter, points)])).uses.get('a')!);
    }
    expect(seen.map(({ used }) => used)).toEqual([0, 3, 1, 0, 4]);
    expect(seen.map(({ asked }) => asked)).toEqual([0, 3, 1, 0, 4]);
  });

  it('are removed when they do not count any more, and the others are counted', async () => {
    const { uses, database } = await openReplica();
    const long = { points: 5, seconds: 86_400, burst: 5 };
    await uses.charge([
      chargeOf(counterOf('a'), 1),
      chargeOf(counterOf('b', { kind: 'failures' }), 1),
      chargeOf(counterOf('c', { kind: 'quota', rate: long }), 1),
      chargeOf(counterOf('d', { kind: 'quota', rate: long }), 1),
    ]);
    expect(await uses.prune()).toEqual(new Map([['decide', 1], ['failures', 1], ['quota', 2]])); // biome-ignore format: pairs
    await database.write(`UPDATE ${database.table('limit_use')} SET ends = ends - 12 * 1000`);
    expect(await uses.prune()).toEqual(new Map([['quota', 2]]));
  });

  it('count at least for ten periods where there is a burst, and for two where there is none', async () => {
    const { uses, database } = await openReplica();
    const phaseMs = 700;
    const { now } = await uses.charge([
      chargeOf(counterOf('a', { phaseMs }), 1),
      chargeOf(counterOf('b', { phaseMs, rate: { points: 10, seconds: 1, burst: 10 } }), 1),
    ]);
    const [a, b] = await database.query<{ ends: number }>(
      `SELECT ends FROM ${database.table('limit_use')} ORDER BY counter`,
    );
    const second = Math.floor((now + phaseMs) / 1_000);
    expect(b!.ends).toBe((second + 2) * 1_000 - phaseMs);
    expect(a!.ends).toBe(Math.max(second + 2, (Math.floor(second / 10) + 1) * 10) * 1_000 - phaseMs);
  });

  it('wait for no lock for longer than a fifth of a second, so that looks for changes go on', async () => {
    const { uses, database, url } = await openReplica();
    await uses.charge([chargeOf(counterOf('a'), 1)]);
    const other = openDatabase(url);
    await other.transaction(async (client) => {
      await client.query(`SELECT 1 FROM ${database.table('limit_use')} FOR UPDATE`);
      await expect(uses.charge([chargeOf(counterOf('a'), 1)])).rejects.toThrow('55P03');
    });
    expect((await uses.charge([chargeOf(counterOf('a'), 0)])).uses.size).toBe(1);
  });
});
