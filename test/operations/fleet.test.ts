/**
 * Replicas that share one log while everything around them fails: PostgreSQL and its disk, the network, their disks, themselves.
 *
 *     VERDICT_TEST_FLEET=full    # 64 clients for minutes, 100 journals
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { migrate, type PostgresMigration } from '../../src/database/postgres/migrations.js';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { DecisionPage } from '../../src/decision-log/decision-page.js';
import type { DecisionRecord } from '../../src/decision-log/decision-record.js';
import type { LogWriters } from '../../src/decision-log/log-writers.js';
import { sharedLogMigrations } from '../../src/decision-log/postgres/shared-migrations.js';
import { openDatabase } from '../database/postgres/databases.js';
import { Link } from '../database/postgres/link.js';
import { hasPgBouncer, startPgBouncer } from '../database/postgres/pgbouncer.js';
import { hasPostgres, PostgresServer, type PostgresServerOptions } from '../database/postgres/postgres-server.js';
import { exampleRecord } from '../decision-log/example-records.js';
import { startReplica } from '../decision-log/postgres/shared-home.js';
import { temporaryDirectory } from '../decision-log/temporary-log.js';
import { ServiceProcess, serviceFolder, smallDisk } from './processes.js';

const isFull = process.env.VERDICT_TEST_FLEET === 'full';
const clients = isFull ? 64 : 12;
/** How often everything happens. */
const rounds = isFull ? 4 : 1;
/** Journals that are shipped at the same time. */
const journals = isFull ? 100 : 10;
const kills = isFull ? 20 : 2;
/** Pause of a client between two questions, in milliseconds. */
const thinkMs = isFull ? 40 : 20;

/** What one client asked once, of which the log has one record at most. */
type Attempt = string;

/** What clients were told. */
class Ledger {
  /** The id of each answered decision, and which life of which replica answered it. */
  readonly answered = new Map<string, { readonly attempt: Attempt; readonly by: ServiceProcess }>();
  readonly attempts = new Set<Attempt>();
  readonly statuses = new Map<number, number>();

  /** Asks once, and notes what came. */
  async ask(service: ServiceProcess, client: number): Promise<number | undefined> {
    const attempt = `${client}-${this.attempts.size}`;
    this.attempts.add(attempt);
    try {
      const { status, body } = await service.post('/v1/decide', { subject: 'ann', action: 'read', resource: attempt });
      this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
      if (status === 200) this.answered.set(body.decisionId, { attempt, by: service });
      return status;
    } catch {
      // The replica was killed: whether it recorded this, nobody was told.
      return undefined;
    }
  }
}

/** A replica with a folder of its own, which is killed and started again. */
class Replica {
  service!: ServiceProcess;

  constructor(
    private readonly directory: string,
    private readonly env: Record<string, string>,
  ) {}

  async start(): Promise<void> {
    this.service = await ServiceProcess.start(this.directory, this.env);
  }

  /** @param keepsDisk whether its journal is there when it comes back */
  async killAndStart(keepsDisk: boolean): Promise<void> {
    await this.service.stop('SIGKILL');
    if (!keepsDisk) rmSync(join(this.directory, 'spool'), { recursive: true });
    await this.start();
  }
}

/** All pages below a time, as some replica or other gave them. */
interface Walk {
  readonly from: string;
  readonly to: string;
  /** The text of each record. */
  readonly texts: readonly string[];
  readonly ids: readonly string[];
}

describe.skipIf(!hasPostgres)('a fleet on PostgreSQL (skipped where it is not installed)', () => {
  it('P4: what clients were told is in the log, once and in order, whatever fails; pages are whole meanwhile', async () => {
    const server = await startServer();
    const link = await Link.to(server.port);
    // PostgreSQL can reach its own folder.
    const disk = smallDisk(server.folder, isFull ? 512 : 64);
    const url = await createOn(server, disk);
    const replicas = ['a', 'b', 'c'].map(
      (instance) =>
        new Replica(serviceFolder(), {
          VERDICT_DATABASE_URL: link.through(url),
          VERDICT_SPOOL_DIR: 'spool',
          VERDICT_INSTANCE: instance,
          VERDICT_MAX_BATCH_SECONDS: '1',
        }),
    );
    for (const replica of replicas) await replica.start();
    const [first, , third] = replicas as [Replica, Replica, Replica];
    const ledger = new Ledger();
    let isOver = false;
    const asking = Array.from({ length: clients }, async (_, client) => {
      for (let n = client; !isOver; n++) {
        await ledger.ask(replicas[n % replicas.length]!.service, client);
        await delay(thinkMs * 2 * Math.random());
      }
    });
    const reader = new RoundRobin(replicas);
    const walks: Walk[] = [];
    const reading = (async () => {
      while (!isOver) {
        walks.push(await reader.walk(walks.at(-1)?.to));
        await delay(500);
      }
    })();

    const lost: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await delay(2_000);
      await server.kill();
      await delay(1_000);
      await server.resume();
      link.slow(100);
      await delay(3_000);
      link.slow(0);
      await first.killAndStart(true);
      link.cut();
      await delay(1_500);
      link.open();
      await delay(1_500);
      await server.stop();
      await delay(500);
      await server.resume();
      await delay(1_500);
      if (disk !== undefined) {
        fill(disk);
        // All decide, and say that they do not ship; nobody's connection ends.
        await expect
          .poll(async () => (await Promise.all(replicas.map(whyNotShipped))).filter((why) => why?.includes('53100')), {
            timeout: 30_000,
          })
          .toHaveLength(replicas.length);
        const decided = ledger.answered.size;
        await expect.poll(() => ledger.answered.size).toBeGreaterThan(decided + 3 * clients);
        empty(disk);
      }
      // A disk dies while nothing can be shipped.
      const before = await reader.writers();
      link.silence();
      await delay(1_000);
      const starting = third.killAndStart(false);
      await delay(1_000);
      // In the long form the connections stay silent: each side has to find out.
      if (!isFull) link.cut();
      link.open();
      await starting;
      const left = before.writers.filter(({ instance, state }) => instance === 'c' && state === 'running');
      expect(left).toHaveLength(1);
      lost.push(left[0]!.writer);
      // The others have their connections again, and have shipped what waited: until then they hold `completeTo` back as well.
      const isAlone = ({ writers }: LogWriters) => {
        const silent = writers.filter(({ state }) => state === 'silent');
        const running = writers.filter(({ state }) => state === 'running');
        const [{ writer, completeTo } = { writer: 0, completeTo: '' }] = silent;
        return (
          silent.length === 1 && writer === left[0]!.writer && running.every((each) => each.completeTo > completeTo)
        );
      };
      const { writers: known } = await reader.until(isAlone);
      const held = await reader.page('limit=1');
      expect(held.incomplete?.map(({ writer }) => writer)).toEqual([left[0]!.writer]);
      expect(held.completeTo).toBe(known.find(({ writer }) => writer === left[0]!.writer)!.completeTo);
      const retired = await reader.asked((service) =>
        service.post(`/v1/decisions/writers/${left[0]!.writer}/retire`, {}),
      );
      expect(retired.status).toBeLessThan(300);
      await delay(3_000);
    }
    isOver = true;
    await Promise.all([...asking, reading]);
    const { writers } = await reader.until((all) =>
      all.writers.every(({ state, missing }) => state === 'retired' || (state === 'running' && missing === 0)),
    );
    expect(writers.filter(({ state }) => state === 'retired').map(({ writer }) => writer)).toEqual(lost);
    // The heartbeats of a second after the last decision.
    await delay(1_500);

    const all = await exported(first.service);
    const rows = await server.query('SELECT writer, id_writer FROM verdict.decision_writer', url);
    const numbers = new Map<number, number>(rows.map((row) => [row.id_writer, row.writer]));
    expectInOrder(all, numbers);
    const attempts = all.map(({ request }) => request.resource.id);
    expect(new Set(attempts).size, 'none twice').toBe(attempts.length);
    expect(attempts.filter((attempt) => !ledger.attempts.has(attempt))).toEqual([]);
    const ids = new Set(all.map(({ id }) => id));
    const missing = [...ledger.answered].filter(([id]) => !ids.has(id));
    // What died with a disk was answered by a life whose disk died, after all that it had shipped, and is a gap.
    expect(missing.length).toBeGreaterThan(0);
    const newest = new Map<ServiceProcess, { id: string; writer: number }>();
    for (const { id, writer } of all) {
      const by = ledger.answered.get(id)?.by;
      if (by !== undefined && !newest.has(by)) newest.set(by, { id, writer });
    }
    for (const [id, { by }] of missing) {
      const last = newest.get(by)!;
      expect(lost).toContain(numbers.get(last.writer));
      expect(id > last.id).toBe(true);
    }
    const gaps = await reader.gaps();
    expect(gaps.map(({ cause }) => cause)).toEqual(lost.map(() => 'retired'));

    expect(walks.length).toBeGreaterThan(3);
    for (const walk of walks) {
      const there = all.filter(({ time }) => time >= walk.from && time < walk.to);
      expect(walk.ids).toEqual(there.map(({ id }) => id));
    }
    for (const walk of walks.slice(-3)) {
      const again = await reader.pagesOf(walk.from, walk.to);
      expect(again.texts.join() === walk.texts.join(), 'below completeTo nothing changes').toBe(true);
    }
    const others = await Promise.all(replicas.slice(1).map(({ service }) => exported(service)));
    for (const other of others) expect(JSON.stringify(other) === JSON.stringify(all)).toBe(true);
    if (isFull)
      console.log(
        `${ledger.answered.size} answers, ${all.length} records, ${missing.length} lost with ${lost.length} disks, ` +
          `${walks.length} walks; statuses ${JSON.stringify([...ledger.statuses])}`,
      );
  }, 900_000);

  it('P4: in mode replicated nothing is answered that PostgreSQL does not have after a kill; while it is away, 503', async () => {
    const server = await startServer();
    const url = await server.createDatabase();
    const directory = serviceFolder();
    const ledger = new Ledger();
    for (let kill = 0; kill < kills; kill++) {
      rmSync(join(directory, 'spool'), { recursive: true, force: true });
      const service = await ServiceProcess.start(directory, {
        VERDICT_DATABASE_URL: url,
        VERDICT_SPOOL_DIR: 'spool',
        VERDICT_DECISION_LOG: 'replicated',
      });
      let isOver = false;
      const asking = Array.from({ length: 8 }, async (_, client) => {
        while (!isOver) await ledger.ask(service, client);
      });
      await delay(300 + 700 * Math.random());
      await server.kill();
      // What was confirmed before is still on its way; then there are no answers.
      await expect.poll(() => ledger.ask(service, 100), { timeout: 15_000 }).toBe(503);
      const answers = ledger.answered.size;
      for (let i = 0; i < 20; i++) expect(await ledger.ask(service, 100)).toBe(503);
      isOver = true;
      // So that it cannot ship now what it should have shipped before.
      await service.stop('SIGKILL');
      await Promise.all(asking);
      expect(ledger.answered.size).toBe(answers);
      await server.resume();
    }
    const rows = (await server.query('SELECT records FROM verdict.decision_group', url)) as { records: string }[];
    const there = rows.map(({ records }) => records).join('\n');
    const ids = new Set([...there.matchAll(/"id":"([0-9a-f-]{36})"/g)].map(([, id]) => id));
    expect(ledger.answered.size).toBeGreaterThan(20);
    expect([...ledger.answered.keys()].filter((id) => !ids.has(id))).toEqual([]);
  }, 300_000);

  it('a replica stops within its time while PostgreSQL does not answer, and ships the rest when it is back', async () => {
    const server = await startServer();
    const link = await Link.to(server.port);
    const url = await server.createDatabase();
    const directory = serviceFolder();
    const env = { VERDICT_DATABASE_URL: link.through(url), VERDICT_SPOOL_DIR: 'spool' };
    const service = await ServiceProcess.start(directory, env);
    await service.decide();
    link.silence();
    await service.decide();
    await delay(500);
    const began = performance.now();
    expect(await service.stop()).toBe(0);
    // Three for what runs, five for a connection, five for shipping and one for closing, each at most.
    expect(performance.now() - began).toBeLessThan(15_500);
    link.open();
    const again = await ServiceProcess.start(directory, env);
    await again.decide();
    expect(await again.stop()).toBe(0);
    expect(await shippedIn(server, url)).toEqual([{ count: 3, last: 3 }]);
  }, 60_000);

  it('many replicas drain into one server, on two connections each, and up to five for a moment', async () => {
    const server = await startServer({ settings: { max_connections: 5 * journals + 10 } });
    const link = await Link.to(server.port);
    const url = await server.createDatabase();
    await migrate(openDatabase(url), 'decision-log', sharedLogMigrations);
    link.cut();
    const records = 1_000;
    const logs = await Promise.all(
      Array.from({ length: journals }, async (_, n) => {
        const log = await startReplica(link.through(url), temporaryDirectory(), { instance: `pdp-${n}` });
        await append(log, records);
        return log;
      }),
    );
    const began = performance.now();
    link.open();
    let most = 0;
    let isDone = false;
    const connections = async (): Promise<number> => {
      const [{ n }] = await server.query(
        `SELECT coalesce(max(n), 0)::int AS n FROM (SELECT count(*) AS n FROM pg_stat_activity
           WHERE application_name LIKE 'verdict pdp-%' GROUP BY application_name) t`,
      );
      return n;
    };
    const watching = (async () => {
      for (; !isDone; await delay(100)) most = Math.max(most, await connections());
    })();
    await Promise.all(logs.map((log) => log.shipped()));
    const seconds = (performance.now() - began) / 1_000;
    isDone = true;
    await watching;
    const shipped = await shippedIn(server, url);
    expect(shipped).toEqual(Array.from({ length: journals }, () => ({ count: records, last: records })));
    // A pool of three, the one that ships, and that of the retention, once a minute.
    expect(most).toBeLessThanOrEqual(5);
    await expect.poll(connections, { timeout: 30_000 }).toBeLessThanOrEqual(2);
    expect(await connections()).toBeGreaterThan(0);
    if (isFull)
      console.log(`${journals} journals of ${records} records: ${seconds.toFixed(1)} s, ${most} connections each`);
  }, 600_000);

  it.skipIf(!hasPgBouncer)(
    'many replicas drain through PgBouncer, on four connections in all, and as many to it as to the server itself',
    async () => {
      const server = await startServer();
      const bouncer = await startPgBouncer(server, 4);
      onTestFinished(() => bouncer.stop());
      const url = bouncer.through(await server.createDatabase());
      await expect.poll(() => server.query('SELECT 1 AS n', url)).toEqual([{ n: 1 }]);
      await migrate(openDatabase(url), 'decision-log', sharedLogMigrations);
      const records = 500;
      let most = 0;
      let isDone = false;
      /** How many connections a replica has to PgBouncer: the one that has the most. */
      const connections = async (): Promise<number> => {
        const clients = await server.query('SHOW CLIENTS', bouncer.through(server.url('pgbouncer')));
        const ofReplicas = new Map<string, number>();
        for (const { application_name: name } of clients as { application_name: string }[]) {
          if (name.startsWith('verdict pdp-')) ofReplicas.set(name, (ofReplicas.get(name) ?? 0) + 1);
        }
        return Math.max(0, ...ofReplicas.values());
      };
      const watching = (async () => {
        for (; !isDone; await delay(100)) most = Math.max(most, await connections());
      })();
      const logs = await Promise.all(
        Array.from({ length: journals }, (_, n) => startReplica(url, temporaryDirectory(), { instance: `pdp-${n}` })),
      );
      await Promise.all(logs.map((log) => append(log, records)));
      await Promise.all(logs.map((log) => log.shipped()));
      isDone = true;
      await watching;
      // The same as without it: it spares the server connections, and not the replicas.
      expect(most).toBeGreaterThan(0);
      expect(most).toBeLessThanOrEqual(5);
      await expect.poll(connections, { timeout: 30_000 }).toBeLessThanOrEqual(2);
      expect(await connections()).toBeGreaterThan(0);
      const [{ n }] = await server.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      );
      expect(n).toBeLessThanOrEqual(4);
      expect(await shippedIn(server, url)).toEqual(
        Array.from({ length: journals }, () => ({ count: records, last: records })),
      );
    },
    600_000,
  );

  it('a release goes on beside a newer one, whose migration adds columns while records are shipped', async () => {
    const server = await startServer();
    const url = await server.createDatabase();
    const folders = [temporaryDirectory(), temporaryDirectory()] as const;
    const old = await startReplica(url, folders[0], { instance: 'old' });
    await append(old, 100);
    await old.shipped();
    let isOver = false;
    let count = 100;
    const deciding = (async () => {
      for (; !isOver; count += 50) {
        await append(old, 50);
        await delay(20);
      }
    })();
    const fails: PostgresMigration = {
      ...adds,
      up: async (client, table) => {
        await adds.up(client, table);
        await client.query('SELECT pg_terminate_backend(pg_backend_pid())');
      },
    };
    const newer = openDatabase(url, { instance: 'new' });
    await expect(migrate(newer, 'decision-log', [...sharedLogMigrations, fails])).rejects.toThrow(adds.name);
    await delay(300);
    await migrate(newer, 'decision-log', [...sharedLogMigrations, adds]);
    // One of the old release that starts now is let in, too.
    const late = await startReplica(url, folders[1], { instance: 'late' });
    await append(late, 70);
    await delay(500);
    isOver = true;
    await deciding;
    await old.shipped();
    await late.shipped();
    expect((await shippedIn(server, url)).sort((a, b) => a.count - b.count)).toEqual([
      { count: 70, last: 70 },
      { count, last: count },
    ]);
    expect((await late.search({ limit: 1 })).items).toHaveLength(1);
    expect(await server.query('SELECT DISTINCT note FROM verdict.decision_group', url)).toEqual([{ note: 'none' }]);
  });
});

/** A migration of a release to come. */
const adds: PostgresMigration = {
  name: '1999999999999-test',
  worksSince: sharedLogMigrations.at(-1)!.name,
  up: async (client, table) => {
    await client.query(`ALTER TABLE ${table('decision_writer')} ADD note text`);
    await client.query(`ALTER TABLE ${table('decision_group')} ADD note text NOT NULL DEFAULT 'none'`);
  },
};

/** A database whose tables lie on a disk of their own, which can be filled; without a disk, on that of all others. */
async function createOn(server: PostgresServer, disk: string | undefined): Promise<string> {
  const url = await server.createDatabase();
  if (disk === undefined) return url;
  chmodSync(disk, 0o777);
  const folder = join(disk, 'data');
  mkdirSync(folder);
  execFileSync('chown', ['postgres', folder]);
  await server.query(`CREATE TABLESPACE small LOCATION '${folder}'`);
  await server.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET default_tablespace = small`);
  return url;
}

function fill(disk: string): void {
  expect(() => {
    for (let i = 0; ; i++) writeFileSync(join(disk, `filler-${i}`), Buffer.alloc(1024 * 1024));
  }).toThrow(/ENOSPC/);
}

function empty(disk: string): void {
  for (const name of readdirSync(disk)) if (name.startsWith('filler-')) rmSync(join(disk, name));
}

/** What a replica says of its shipping; undefined while it ships. */
async function whyNotShipped({ service }: Replica): Promise<string | undefined> {
  const { body } = await service.get('/health');
  return /not shipped: [^"]*/.exec(JSON.stringify(body))?.[0];
}

/** Appends so many records to a log, in steps. */
async function append(log: DecisionLog, count: number): Promise<void> {
  for (let i = 0; i < count; i += 250) {
    const some = Array.from({ length: Math.min(250, count - i) }, () => exampleRecord(log, { now: Date.now() }));
    await Promise.all(some.map((record) => log.append(record)));
  }
}

/** How many records the shared log has of each writer, and whether their sequences have no hole. */
function shippedIn(server: PostgresServer, url: string): Promise<{ count: number; last: number }[]> {
  return server.query(
    `SELECT sum(count)::int AS count, max(first + count - 1)::int AS last FROM verdict.decision_group GROUP BY writer`,
    url,
  );
}

async function startServer(options?: PostgresServerOptions): Promise<PostgresServer> {
  const server = await PostgresServer.start(options);
  onTestFinished(() => server.remove());
  return server;
}

/** Asks one replica after the other, and goes on with the next when one does not answer. */
class RoundRobin {
  private next = 0;
  private readonly started = new Date().toISOString();

  constructor(private readonly replicas: readonly Replica[]) {}

  async asked<Answer extends { readonly status: number }>(
    ask: (service: ServiceProcess) => Promise<Answer>,
  ): Promise<Answer> {
    for (;;) {
      const { service } = this.replicas[this.next++ % this.replicas.length]!;
      const answer = await ask(service).catch(() => undefined);
      if (answer !== undefined && answer.status !== 503) return answer;
      await delay(100);
    }
  }

  async get<Body>(path: string): Promise<Body> {
    const { status, body } = await this.asked((service) => service.get(path));
    expect(status, JSON.stringify(body)).toBe(200);
    return body;
  }

  page(query: string): Promise<DecisionPage> {
    return this.get(`/v1/decisions?${query}`);
  }

  writers(): Promise<LogWriters> {
    return this.get('/v1/decisions/writers');
  }

  async until(isSo: (writers: LogWriters) => boolean): Promise<LogWriters> {
    for (const ends = Date.now() + 120_000; ; await delay(250)) {
      const writers = await this.writers();
      if (isSo(writers)) return writers;
      expect(Date.now(), JSON.stringify(writers)).toBeLessThan(ends);
    }
  }

  /** Every page from a while before `last` up to where the log says that it is complete. */
  async walk(last = this.started): Promise<Walk> {
    const { completeTo } = await this.page('limit=1');
    const from = new Date(Date.parse(last) - 10_000).toISOString();
    return this.pagesOf(from, [from, completeTo!].sort()[1]!);
  }

  async pagesOf(from: string, to: string): Promise<Walk> {
    const texts: string[] = [];
    const ids: string[] = [];
    for (let cursor = ''; ; ) {
      const page = await this.page(`limit=500&from=${from}&to=${to}${cursor}`);
      texts.push(...page.items.map((item) => JSON.stringify(item)));
      ids.push(...page.items.map(({ id }) => id));
      if (page.nextCursor === undefined) return { from, to, texts, ids };
      cursor = `&cursor=${page.nextCursor}`;
    }
  }

  async gaps(): Promise<NonNullable<DecisionPage['gaps']>[number][]> {
    const gaps = [];
    for (let cursor = ''; ; ) {
      const page = await this.page(`limit=1000${cursor}`);
      gaps.push(...(page.gaps ?? []));
      if (page.nextCursor === undefined) return gaps;
      cursor = `&cursor=${page.nextCursor}`;
    }
  }
}

async function exported(service: ServiceProcess): Promise<DecisionRecord[]> {
  const { status, body } = await service.get('/v1/decisions/export?format=ndjson');
  expect(status).toBe(200);
  const lines = (body as string).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as DecisionRecord).filter(({ id }) => id !== undefined);
}

/** The order of all is that of time, writer and sequence; the sequences of each writer have no hole. */
function expectInOrder(records: readonly DecisionRecord[], numbers: ReadonlyMap<number, number>): void {
  const placed = records.map(({ id, time, writer, sequence }) => ({
    id,
    time,
    sequence,
    number: numbers.get(writer)!,
  }));
  const order = [...placed].sort((a, b) =>
    a.time === b.time ? b.number - a.number || b.sequence - a.sequence : a.time < b.time ? 1 : -1,
  );
  expect(placed).toEqual(order);
  for (const writer of new Set(records.map((record) => record.writer))) {
    const sequences = records.filter((record) => record.writer === writer).map(({ sequence }) => sequence);
    expect(sequences.sort((a, b) => a - b)).toEqual(sequences.map((_, i) => i + 1));
  }
}
