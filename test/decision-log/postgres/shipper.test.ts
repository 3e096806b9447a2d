import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { migrate } from '../../../src/database/postgres/migrations.js';
import type { DecisionRecord } from '../../../src/decision-log/decision-record.js';
import { recordsOf, type StoredGroup } from '../../../src/decision-log/group-text.js';
import { DayPartitions } from '../../../src/decision-log/postgres/day-partitions.js';
import { sharedLogMigrations } from '../../../src/decision-log/postgres/shared-migrations.js';
import { Shipper, type ShipperOptions } from '../../../src/decision-log/postgres/shipper.js';
import { addDeltas, deltasPart } from '../../../src/decision-log/postgres/tally-delta.js';
import { readWriters, retireWriter } from '../../../src/decision-log/postgres/writers.js';
import { SqliteDecisionLog } from '../../../src/decision-log/sqlite/sqlite-decision-log.js';
import type { TallyRow } from '../../../src/decision-log/tally.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { Link } from '../../database/postgres/link.js';
import { hasPostgres, PostgresServer } from '../../database/postgres/postgres-server.js';
import { exampleRecord } from '../example-records.js';
import { temporaryDirectory } from '../temporary-log.js';

/** A replica as far as its journal goes: records are appended, and shipped behind it. */
interface Replica {
  readonly log: SqliteDecisionLog;
  readonly shipper: Shipper;
  readonly problems: string[];
  /** Appends so many records at once, now. */
  append(count: number, subject?: string): Promise<string[]>;
  stop(): Promise<void>;
}

describe.skipIf(!hasPostgres)('shipping a journal into PostgreSQL', () => {
  const server = postgresForTests();

  async function start(url: string, directory: string, options: Partial<ShipperOptions> = {}): Promise<Replica> {
    const database = openDatabase(url);
    const problems: string[] = [];
    const log = new SqliteDecisionLog({
      databasePath: join(directory, 'verdict.sqlite'),
      mode: 'sync',
      isShipped: true,
      onCommit: ({ records }) => shipper.committed(records),
    });
    const shipper = new Shipper({
      database,
      prepare: () => migrate(database, 'decision-log', sharedLogMigrations),
      partitions: new DayPartitions(database),
      journal: log.journal,
      instance: 'test',
      latestMs: 1_000,
      count: async () => undefined,
      harden: true,
      expired: async () => new Set(),
      onProblem: (what) => problems.push(what),
      ...options,
    });
    await log.start();
    shipper.start();
    let isRunning = true;
    const stop = async () => {
      if (!isRunning) return;
      isRunning = false;
      await log.flush();
      await shipper.stop(5_000);
      await log.stop();
    };
    onTestFinished(stop);
    const append = async (count: number, subject = 'alice') => {
      const records = Array.from({ length: count }, () => exampleRecord(log, { subject, now: Date.now() }));
      await Promise.all(records.map((record) => log.append(record)));
      return records.map(({ id }) => id);
    };
    return { log, shipper, problems, append, stop };
  }

  /** All records in the shared log, by writer in the order of their sequences. */
  async function shared(url: string): Promise<Map<number, DecisionRecord[]>> {
    const rows = (await server().query(
      'SELECT writer, first::float8, records FROM verdict.decision_group ORDER BY writer, first',
      url,
    )) as (StoredGroup & { writer: number })[];
    const byWriter = new Map<number, DecisionRecord[]>();
    for (const { writer, first, records } of rows) {
      byWriter.set(writer, [...(byWriter.get(writer) ?? []), ...[...recordsOf({ first, records })].reverse()]);
    }
    return byWriter;
  }

  /** Waits until the log has so many records in all. */
  async function untilShipped(url: string, count: number): Promise<Map<number, DecisionRecord[]>> {
    return vi.waitFor(
      async () => {
        const all = await shared(url);
        expect([...all.values()].flat()).toHaveLength(count);
        return all;
      },
      { timeout: 30_000, interval: 50 },
    );
  }

  function expectWhole(records: readonly DecisionRecord[], ids: readonly string[], from = 1): void {
    expect(records.map(({ id }) => id)).toEqual(ids);
    expect(records.map(({ sequence }) => sequence)).toEqual(ids.map((_, i) => from + i));
  }

  it('P4: ships every record once and in order, small groups joined into one row', async () => {
    const url = await server().createDatabase();
    const replica = await start(url, temporaryDirectory());
    const ids: string[] = [];
    for (let i = 0; i < 40; i++) ids.push(...(await replica.append(i % 3 === 0 ? 1 : 100)));
    const [records] = (await untilShipped(url, ids.length)).values();
    expectWhole(records!, ids);
    const [{ rows }] = await server().query('SELECT count(*)::int AS rows FROM verdict.decision_group', url);
    expect(rows).toBeLessThan(40);
  });

  it('P4: a row alone is shipped by one statement, and is on the disk whatever the server is set to', async () => {
    const own = await PostgresServer.start({ settings: { synchronous_commit: 'off', wal_writer_delay: 10_000 } });
    onTestFinished(() => own.remove());
    const url = await own.createDatabase();
    const table = (name: string) => `"verdict"."${name}"`;
    let beginsTree = true;
    const several = 'a transaction of several statements';
    const replica = await start(url, temporaryDirectory(), {
      count: (client, rows) => (beginsTree ? addDeltas(client, table, rows) : Promise.reject(new Error(several))),
      countPart: (rows, first, guard) => deltasPart(table, rows, first, guard),
    });
    // With the first records of a journal its tree begins, which takes a statement more.
    const ids = await replica.append(1);
    expect(await replica.shipper.confirmed(1, 10_000)).toBe(true);
    beginsTree = false;
    ids.push(...(await replica.append(3)));
    expect(await replica.shipper.confirmed(4, 10_000)).toBe(true);
    await own.kill();
    await replica.stop();
    await own.resume();
    const [records] = (await shared(url)).values();
    expectWhole(records!, ids);
    expect(await own.query('SELECT sum(count)::int AS counted FROM verdict.tally_delta', url)).toEqual([
      { counted: 4 },
    ]);
    const high = await own.query('SELECT shipped::int, shipped_id FROM verdict.decision_writer', url);
    expect(high).toEqual([{ shipped: 4, shipped_id: ids[3] }]);
  });

  it.each([
    [16, 'one statement'],
    [17, 'a transaction of several'],
  ])('P4: %i rows that wait are shipped by %s', async (rows, how) => {
    const url = await server().createDatabase();
    const link = await Link.to(server().port);
    const table = (name: string) => `"verdict"."${name}"`;
    let transactions = 0;
    const replica = await start(link.through(url), temporaryDirectory(), {
      count: async () => void transactions++,
      countPart: (tallies, first, guard) => deltasPart(table, tallies, first, guard),
    });
    // With the first records of a journal its tree begins, which takes a transaction.
    const ids = await replica.append(1);
    await untilShipped(url, 1);
    link.cut();
    transactions = 0;
    // A group of 64 records, which is enough to begin with, and full ones; each is a row.
    ids.push(...(await replica.append(64 + (rows - 1) * 128)));
    link.open();
    const [records] = (await untilShipped(url, ids.length)).values();
    expectWhole(records!, ids);
    expect(transactions).toBe(how === 'one statement' ? 0 : 1);
    expect(await server().query('SELECT count(*)::int AS rows FROM verdict.decision_group', url)).toEqual([
      { rows: rows + 1 },
    ]);
  });

  it('P4: a row alone is not shipped by one of two processes with one journal that went different ways', async () => {
    const url = await server().createDatabase();
    const directory = temporaryDirectory();
    const counted: Partial<ShipperOptions> = {
      count: (client, rows) => addDeltas(client, (name) => `"verdict"."${name}"`, rows),
      countPart: (rows: readonly TallyRow[], first: number, guard: string) =>
        deltasPart((name) => `"verdict"."${name}"`, rows, first, guard),
    };
    const original = await start(url, directory, counted);
    const common = await original.append(2);
    await untilShipped(url, 2);
    await original.log.flush();
    const copy = temporaryDirectory();
    cpSync(directory, copy, { recursive: true });
    const clone = await start(url, copy, counted);
    await clone.shipper.located(10_000);
    const [mine, theirs] = await Promise.all([original.append(1), clone.append(1)]);
    const all = await untilShipped(url, 4);
    expect(all.size).toBe(2);
    expect(
      [...all.values()]
        .flat()
        .map(({ id }) => id)
        .sort(),
    ).toEqual([...common, ...mine!, ...theirs!].sort());
    const counts = await server().query('SELECT sum(count)::int AS counted FROM verdict.tally_delta', url);
    expect(counts).toEqual([{ counted: 4 }]);
  });

  it('P4: goes on where it was after the database is killed, again and again', async () => {
    const own = await PostgresServer.start();
    onTestFinished(() => own.remove());
    const url = await own.createDatabase();
    const replica = await start(url, temporaryDirectory());
    const ids: string[] = [];
    const until = Date.now() + 6_000;
    let isDown = false;
    const killing = (async () => {
      for (let i = 0; i < 3; i++) {
        await delay(700);
        isDown = true;
        await own.kill();
        await delay(300);
        await own.resume();
        isDown = false;
      }
    })();
    while (Date.now() < until) ids.push(...(await replica.append(50)));
    await killing;
    expect(isDown).toBe(false);
    await vi.waitFor(() => expect(replica.shipper.status.shipped).toBe(ids.length), { timeout: 30_000 });
    const rows = (await own.query(
      'SELECT first::float8, records FROM verdict.decision_group ORDER BY first',
      url,
    )) as StoredGroup[];
    expectWhole(
      rows.flatMap((row) => [...recordsOf(row)].reverse()),
      ids,
    );
    expect(replica.problems).toContain('decision records are shipped to PostgreSQL again');
  }, 60_000);

  it('P4: another process on the same folder goes on, from the files, whatever rows the first one made', async () => {
    const url = await server().createDatabase();
    const directory = temporaryDirectory();
    const first = await start(url, directory);
    const ids = await first.append(300);
    await first.shipper.stop(0);
    await first.log.stop();
    const second = await start(url, directory);
    ids.push(...(await second.append(10)));
    const all = await untilShipped(url, ids.length);
    expect(all.size).toBe(1);
    expectWhole([...all.values()][0]!, ids);
  });

  it('ships what is left before it stops, and says that the writer has ended', async () => {
    const url = await server().createDatabase();
    const replica = await start(url, temporaryDirectory());
    await replica.append(700);
    await replica.stop();
    expect([...(await shared(url)).values()].flat()).toHaveLength(700);
    const { writers } = await readWriters(openDatabase(url), openDatabase(url));
    expect(writers).toMatchObject([{ state: 'stopped', decided: 700, shipped: 700, missing: 0 }]);
  });

  it('a cloned volume is found: its records are kept as those of a writer of its own', async () => {
    const url = await server().createDatabase();
    const directory = temporaryDirectory();
    const original = await start(url, directory);
    const common = await original.append(20);
    await untilShipped(url, 20);
    await original.stop();
    const cloned = temporaryDirectory();
    cpSync(directory, cloned, { recursive: true });
    const [one, other] = [await start(url, directory), await start(url, cloned)];
    const ofOne = await one.append(30, 'one');
    await untilShipped(url, 50);
    const ofOther = await other.append(40, 'other');
    const all = await untilShipped(url, 90);
    const [first, second] = [...all.values()];
    expectWhole(first!, [...common, ...ofOne]);
    expectWhole(second!, ofOther, 21);
    expect(other.problems.join()).toMatch(
      /has other records of the journal [0-9a-f]{32} than this replica behind sequence 20/,
    );
    // Each goes on as it is, over a restart too.
    await other.stop();
    const again = await start(url, cloned);
    const more = await again.append(5, 'other');
    expectWhole((await untilShipped(url, 95)).get([...all.keys()][1]!)!, [...ofOther, ...more], 21);
    expect(again.problems).toEqual([]);
  });

  it('a journal that lost its newest records with the power goes on beside what it had shipped', async () => {
    const url = await server().createDatabase();
    const directory = temporaryDirectory();
    const before = await start(url, directory);
    const kept = await before.append(20);
    await before.stop();
    const copy = temporaryDirectory();
    cpSync(directory, copy, { recursive: true });
    const lost = await start(url, directory);
    const ofLost = await lost.append(15);
    await untilShipped(url, 35);
    await lost.stop();
    const after = await start(url, copy);
    const ofAfter = await after.append(3);
    const [first, second] = [...(await untilShipped(url, 38)).values()];
    expectWhole(first!, [...kept, ...ofLost]);
    expectWhole(second!, ofAfter, 21);
  });

  it('a database that went back to an older state gets again what it lost', async () => {
    const url = await server().createDatabase();
    const replica = await start(url, temporaryDirectory());
    const ids = await replica.append(30);
    await untilShipped(url, 30);
    // A stand-by without the newest transactions took over.
    await server().query(
      `BEGIN; DELETE FROM verdict.decision_group; UPDATE verdict.decision_writer SET shipped = 0, shipped_id = NULL; COMMIT`,
      url,
    );
    ids.push(...(await replica.append(1)));
    expectWhole([...(await untilShipped(url, 31)).values()][0]!, ids);
  });

  it('records of a clock that is wrong get the partition of their own day', async () => {
    const url = await server().createDatabase();
    const replica = await start(url, temporaryDirectory());
    const { log } = replica;
    const days = [-400, -1, 30];
    for (const day of days) {
      await log.append(exampleRecord(log, { now: Date.now() + day * 86_400_000 }));
    }
    await untilShipped(url, 3);
    const rows = await server().query(
      'SELECT DISTINCT day - current_date AS days FROM verdict.decision_group ORDER BY 1',
      url,
    );
    expect(rows.map(({ days: each }) => each)).toEqual(days);
  });

  it('a writer that ended without a word holds the log back until it is retired, and its gap goes when it is back', async () => {
    const url = await server().createDatabase();
    const directory = temporaryDirectory();
    const replica = await start(url, directory);
    await replica.append(10);
    await untilShipped(url, 10);
    const database = openDatabase(url);
    const [running] = (await readWriters(database, database)).writers;
    await expect(retireWriter(database, running!.writer)).rejects.toMatchObject({ code: 'writer_running' });
    await replica.stop();
    // As a kill would have left it, a while ago.
    await server().query(
      `UPDATE verdict.decision_writer SET state = 'running', decided = 14, beat = now() - interval '1 minute'`,
      url,
    );
    const silent = await readWriters(database, database);
    expect(silent.writers).toMatchObject([{ state: 'silent', decided: 14, shipped: 10, missing: 4 }]);
    expect(silent.completeTo).toBe(silent.writers[0]!.completeTo);
    await retireWriter(database, running!.writer);
    expect((await readWriters(database, database)).writers).toMatchObject([{ state: 'retired' }]);
    expect(await server().query('SELECT after::int, lost::int, cause FROM verdict.decision_gap', url)).toEqual([
      { after: 10, lost: 4, cause: 'retired' },
    ]);
    const back = await start(url, directory);
    await back.append(1);
    await untilShipped(url, 11);
    expect(await server().query('SELECT * FROM verdict.decision_gap', url)).toEqual([]);
    await expect(retireWriter(database, 999)).rejects.toMatchObject({ code: 'writer_not_found' });
  });

  it('does not say that all is there up to a time at which more had come while the disk was slow', async () => {
    const url = await server().createDatabase();
    let isSlow = false;
    const replica = await start(url, temporaryDirectory(), {
      partitions: new (class extends DayPartitions {
        override async ensure(...[client, days]: Parameters<DayPartitions['ensure']>): Promise<void> {
          if (isSlow) await delay(2_500);
          await super.ensure(client, days);
        }
      })(openDatabase(url)),
    });
    await replica.append(1);
    await untilShipped(url, 1);
    isSlow = true;
    const began = Date.now();
    await replica.append(1);
    await delay(500);
    // It is not in the batch that is on its way.
    await replica.append(1);
    await untilShipped(url, 2);
    const [{ complete_to: completeTo }] = await server().query(
      'SELECT complete_to::float8 FROM verdict.decision_writer',
      url,
    );
    // `latestMs` is a second.
    expect(completeTo).toBeLessThanOrEqual(began - 1_000 + 250);
    await untilShipped(url, 3);
  });

  it('a replica that was retired while it stood still takes its gap back when it goes on', async () => {
    const url = await server().createDatabase();
    const replica = await start(url, temporaryDirectory());
    await replica.append(10);
    await untilShipped(url, 10);
    await server().query(
      `UPDATE verdict.decision_writer SET state = 'retired';
       INSERT INTO verdict.decision_gap VALUES (1, 10, NULL, 0, 1, 'retired')`,
      url,
    );
    await replica.append(1);
    await untilShipped(url, 11);
    expect(await server().query('SELECT * FROM verdict.decision_gap', url)).toEqual([]);
    expect(await server().query('SELECT state FROM verdict.decision_writer', url)).toEqual([{ state: 'running' }]);
  });

  it('does not ask a database that is away more often because decisions come', async () => {
    const url = await server().createDatabase();
    const link = await Link.to(server().port);
    const replica = await start(link.through(url), temporaryDirectory());
    await replica.append(1);
    await untilShipped(url, 1);
    link.cut();
    const until = Date.now() + 3_000;
    let count = 1;
    for (; Date.now() < until; count += 600) {
      await replica.append(600);
      await delay(100);
    }
    // After pauses of at least 0.125, 0.25, 0.5, 1 and 2 seconds.
    expect(replica.shipper.status.retries).toBeLessThanOrEqual(6);
    expect(replica.shipper.status.problem).toMatch(/^(ECONNRESET|CONNECTION)/);
    link.open();
    await vi.waitFor(() => expect(replica.shipper.status.shipped).toBe(count), { timeout: 20_000 });
  }, 30_000);

  it('stops within its time while the server does not answer', async () => {
    const url = await server().createDatabase();
    const link = await Link.to(server().port);
    const replica = await start(link.through(url), temporaryDirectory());
    await replica.append(1);
    await untilShipped(url, 1);
    link.silence();
    await replica.append(1);
    await delay(500);
    const began = performance.now();
    await replica.shipper.stop(1_000);
    expect(performance.now() - began).toBeLessThan(2_500);
    expect(replica.problems).toContain('the newest decision records could not be shipped before the end');
  });
});
