/** P8: what one replica changes, every other knows within a second, whatever happens to the connections between. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ChangeCounters, type ChangeTopic } from '../../../src/database/postgres/change-counters.js';
import { ChangeFeed } from '../../../src/database/postgres/change-feed.js';
import type { PostgresDatabase } from '../../../src/database/postgres/postgres-database.js';
import { openDatabase, postgresForTests } from './databases.js';
import { Link } from './link.js';
import { hasPgBouncer, startPgBouncer } from './pgbouncer.js';
import { hasPostgres } from './postgres-server.js';

/** A change is known on every other replica within this time, in milliseconds. */
const boundMs = 1_000;

describe.skipIf(!hasPostgres)('the feed of changes (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  /** A schema with a table of things that replicas change. */
  async function newWorld(): Promise<{ url: string; database: PostgresDatabase; counters: ChangeCounters }> {
    const url = server().newSchema();
    const database = openDatabase(url);
    const counters = new ChangeCounters(database);
    await counters.tables.prepare();
    await database.write(`CREATE TABLE ${database.table('thing')} (id int PRIMARY KEY)`);
    return { url, database, counters };
  }

  /** Adds a thing as a store adds what it has. */
  function add(database: PostgresDatabase, counters: ChangeCounters, id: number, topic: ChangeTopic = 'keys') {
    return database.transaction(async (client) => {
      await counters.count(client, topic);
      await client.query(`INSERT INTO ${database.table('thing')} VALUES ($1)`, [id]);
    });
  }

  /** A replica that keeps all things in memory, and notes when it saw each first. */
  function startReplica(url: string, { pollMs = 500, topic = 'keys' as ChangeTopic } = {}) {
    const database = openDatabase(url, { connectTimeoutMs: 2_000 });
    const problems: string[] = [];
    const feed = new ChangeFeed(database, {
      pollMs,
      onProblem: (what) => problems.push(what),
      onPooler: () => problems.push('pooler'),
    });
    const seen = new Map<number, number>();
    const counts = { looks: 0 };
    const subscription = feed.subscribe(topic, async () => {
      counts.looks++;
      const rows = await database.query<{ id: number }>(`SELECT id FROM ${database.table('thing')}`);
      for (const { id } of rows) if (!seen.has(id)) seen.set(id, performance.now());
    });
    feed.start();
    onTestFinished(() => feed.stop());
    const sees = (id: number, timeout = boundMs) =>
      expect.poll(() => seen.has(id), { timeout, interval: 5, message: `change ${id}` }).toBe(true);
    return { database, feed, seen, counts, subscription, problems, sees };
  }

  const listeners = () =>
    server().query(
      `SELECT pid, application_name FROM pg_stat_activity WHERE query LIKE 'SELECT topic, n FROM%' ORDER BY backend_start`,
    ) as Promise<{ pid: number }[]>;

  it('tells of a change long before the next look would', async () => {
    const { url, database, counters } = await newWorld();
    const replica = startReplica(url, { pollMs: 60_000 });
    await expect.poll(() => replica.counts.looks).toBe(1);
    for (let id = 1; id <= 10; id++) {
      await add(database, counters, id);
      await replica.sees(id);
    }
  });

  it('tells of 1,000 changes by two replicas, each within the bound, while sessions are ended', async () => {
    const { url, database, counters } = await newWorld();
    const replica = startReplica(url);
    const other = openDatabase(url);
    const committed = new Map<number, number>();
    let isOver = false;
    const ending = (async () => {
      let ended = 0;
      while (!isOver) {
        await delay(300);
        const rows = await server().query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT topic, n FROM%'`,
        );
        ended += rows.length;
      }
      return ended;
    })();
    const changing = [database, other].map(async (each, index) => {
      const own = new ChangeCounters(each);
      for (let id = index; id < 1_000; id += 2) {
        await add(each, own, id);
        committed.set(id, performance.now());
        if (id % 50 < 2) await delay(60);
      }
    });
    await Promise.all(changing);
    isOver = true;
    expect(await ending).toBeGreaterThan(1);
    await expect.poll(() => replica.seen.size, { timeout: boundMs, interval: 5 }).toBe(1_000);
    const late = [...committed].filter(([id, at]) => replica.seen.get(id)! - at > boundMs);
    expect(late).toEqual([]);
    expect(await counters.read(database)).toEqual(new Map([['keys', 1_000]]));
    // Looks at once are not one for each change.
    expect(replica.counts.looks).toBeLessThan(1_000);
  });

  it('commits changes of a topic in the order of their numbers; those of another topic do not wait', async () => {
    const { database, counters } = await newWorld();
    let letGo!: () => void;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const order: string[] = [];
    const first = database.transaction(async (client) => {
      await counters.count(client, 'keys');
      order.push('first counted');
      await held;
    });
    await expect.poll(() => order).toEqual(['first counted']);
    const second = add(database, counters, 2).then(() => order.push('second committed'));
    await expect
      .poll(() => server().query(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'`))
      .toHaveLength(1);
    await add(database, counters, 3, 'policies');
    expect(await counters.read(database)).toEqual(new Map([['policies', 1]]));
    expect(order).toEqual(['first counted']);
    letGo();
    await Promise.all([first, second]);
    expect(await counters.read(database)).toEqual(
      new Map([
        ['keys', 2],
        ['policies', 1],
      ]),
    );
  });

  it('takes a change back together with its number', async () => {
    const { database, counters } = await newWorld();
    await add(database, counters, 1);
    await expect(add(database, counters, 1)).rejects.toMatchObject({ code: '23505' });
    expect(await counters.read(database)).toEqual(new Map([['keys', 1]]));
  });

  it('tells of a change within the bound when its session is dead and nobody knows it', async () => {
    const { url, database, counters } = await newWorld();
    const link = await Link.to(server().port);
    const replica = startReplica(link.through(url));
    await add(database, counters, 1);
    await replica.sees(1);
    link.silence();
    // What was connected stays silent for ever; new connections work.
    link.open();
    await add(database, counters, 2);
    await replica.sees(2);
  });

  it('tells of what was changed while the server was killed, or the network was cut, soon after', async () => {
    const { url, database, counters } = await newWorld();
    const link = await Link.to(server().port);
    const replica = startReplica(link.through(url));
    await add(database, counters, 1);
    await replica.sees(1);
    link.cut();
    await add(database, counters, 2);
    await expect.poll(() => replica.subscription.ageMs, { timeout: 5_000 }).toBeGreaterThan(2_000);
    expect(replica.feed.ageMs).toBeGreaterThan(2_000);
    expect(replica.seen.has(2)).toBe(false);
    link.open();
    // The pause of a second between two attempts comes before.
    await replica.sees(2, boundMs + 1_200);
    expect(replica.subscription.ageMs).toBeLessThan(boundMs);
    await server().kill();
    await server().resume();
    await expect
      .poll(
        () =>
          add(database, counters, 3).then(
            () => true,
            () => false,
          ),
        { timeout: 10_000 },
      )
      .toBe(true);
    await replica.sees(3, boundMs + 1_200);
  });

  it('looks when the connection was renewed, and when a number is lower than before', async () => {
    const { url, database, counters } = await newWorld();
    const replica = startReplica(url);
    await add(database, counters, 1);
    await replica.sees(1);
    // Restored from a backup in which the number was the same.
    await database.write(`INSERT INTO ${database.table('thing')} VALUES (2)`);
    const [session] = await listeners();
    await server().query(`SELECT pg_terminate_backend(${session!.pid})`);
    await replica.sees(2);
    await database.write(`INSERT INTO ${database.table('thing')} VALUES (3)`);
    await database.write(`UPDATE ${database.table('change_counter')} SET n = 0`);
    await replica.sees(3);
  });

  it('believes no notification: a flood of them costs some looks at the numbers and calls nobody', async () => {
    const { url, database, counters } = await newWorld();
    const replica = startReplica(url, { pollMs: 60_000 });
    await expect.poll(() => replica.counts.looks).toBe(1);
    const reads = vi.spyOn(ChangeCounters.prototype, 'read');
    onTestFinished(() => reads.mockRestore());
    const began = performance.now();
    for (let round = 0; round < 20; round++) {
      await database.query(
        `SELECT pg_notify($1, 'look ' || n || '; DROP TABLE thing') FROM generate_series(1, 100) AS n`,
        [counters.channel('keys')],
      );
    }
    await add(database, counters, 1);
    await replica.sees(1);
    const most = (performance.now() - began) / 20 + 2;
    expect(reads.mock.calls.length).toBeGreaterThan(0);
    expect(reads.mock.calls.length).toBeLessThanOrEqual(most);
    expect(replica.counts.looks).toBe(2);
  });

  it('calls a subscriber that failed again, and says once that it failed', async () => {
    const { url, database, counters } = await newWorld();
    const opened = openDatabase(url);
    const problems: string[] = [];
    const feed = new ChangeFeed(opened, { pollMs: 20, onProblem: (what) => problems.push(what) });
    onTestFinished(() => feed.stop());
    let calls = 0;
    let fails = true;
    const subscription = feed.subscribe('policies', async () => {
      calls++;
      if (fails) throw new Error('no');
    });
    feed.start();
    await expect.poll(() => calls).toBeGreaterThan(2);
    expect(subscription.ageMs).toBe(Number.POSITIVE_INFINITY);
    expect(problems).toEqual(['what was changed (policies) cannot be read']);
    fails = false;
    await expect.poll(() => subscription.ageMs).toBeLessThan(boundMs);
    const settled = calls;
    // Other topics are none of its business.
    await add(database, counters, 1);
    await expect.poll(() => feed.ageMs).toBeLessThan(15);
    expect(calls).toBe(settled);
    await add(database, counters, 2, 'policies');
    await expect.poll(() => calls).toBe(settled + 1);
    subscription.end();
    await add(database, counters, 3, 'policies');
    await expect.poll(() => feed.ageMs).toBeLessThan(15);
    expect(calls).toBe(settled + 1);
  });

  it('makes its table when the server is there at last', async () => {
    const url = server().newSchema();
    await server().stop();
    const database = openDatabase(url);
    const feed = new ChangeFeed(database, { onProblem: () => undefined });
    onTestFinished(() => feed.stop());
    let calls = 0;
    feed.subscribe('keys', async () => void calls++);
    feed.start();
    await delay(300);
    expect(calls).toBe(0);
    await server().resume();
    await expect.poll(() => calls, { timeout: 5_000 }).toBe(1);
  });

  it.each(['open', 'silent', 'cut'] as const)('stops at once while the network is %s', async (state) => {
    const { url } = await newWorld();
    const link = await Link.to(server().port);
    const replica = startReplica(link.through(url), { pollMs: 50 });
    await expect.poll(() => replica.counts.looks).toBe(1);
    if (state === 'silent') link.silence();
    if (state === 'cut') link.cut();
    await delay(100);
    const began = performance.now();
    await replica.feed.stop();
    expect(performance.now() - began).toBeLessThan(1_200);
    const { looks } = replica.counts;
    await delay(100);
    expect(replica.counts.looks).toBe(looks);
  });

  it.skipIf(!hasPgBouncer)('through PgBouncer looks alone, and listens on no session of others', async () => {
    const { url, database, counters } = await newWorld();
    const bouncer = await startPgBouncer(server(), 2);
    onTestFinished(() => bouncer.stop());
    await expect
      .poll(() => server().query('SELECT 1 AS n', bouncer.through(server().url('postgres'))), { timeout: 5_000 })
      .toEqual([{ n: 1 }]);
    const replica = startReplica(bouncer.through(url));
    await expect.poll(() => replica.counts.looks).toBe(1);
    for (let id = 1; id <= 3; id++) {
      await add(database, counters, id);
      await replica.sees(id);
    }
    for (let n = 0; n < 4; n++)
      expect(await replica.database.query('SELECT * FROM pg_listening_channels()')).toEqual([]);
    expect(replica.problems).toEqual(['pooler']);
  });
});
