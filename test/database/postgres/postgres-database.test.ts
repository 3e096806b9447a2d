import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { DatabaseError, isAway } from '../../../src/database/database-error.js';
import { VerdictError } from '../../../src/errors.js';
import { openDatabase, postgresForTests } from './databases.js';
import { Link } from './link.js';
import { hasPostgres } from './postgres-server.js';

describe.skipIf(!hasPostgres)('a database in PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests({ settings: { synchronous_commit: 'off' } });
  const connections = (url: string) =>
    server()
      .query(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'verdict test'`, url)
      .then(([{ n }]) => n as number);

  it('opens no connection before it is asked, and three at most', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    expect(await connections(url)).toBe(0);
    let most = 0;
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        await database.query('SELECT pg_sleep(0.02)');
        most = Math.max(most, await connections(url));
      }),
    );
    expect(most).toBe(3);
  });

  it('reads int8 as a number up to 2^53, days as texts, and leaves other users of the driver alone', async () => {
    const url = await server().createDatabase();
    const database = openDatabase(url);
    const sql = `SELECT 9007199254740991::int8 AS n, '{1,2}'::int8[] AS list, '{}'::int8[] AS none, DATE '2026-03-29' AS day`;
    expect(await database.query(sql)).toEqual([{ n: 9007199254740991, list: [1, 2], none: [], day: '2026-03-29' }]);
    await expect(database.query('SELECT 9007199254740992::int8')).rejects.toThrow('an int8 is beyond 2^53');
    expect(await server().query('SELECT 1::int8 AS n', url)).toEqual([{ n: '1' }]);
  });

  it('keeps what a transaction did, or nothing of it', async () => {
    const database = openDatabase(await server().createDatabase());
    await database.write('CREATE TABLE t (id int8 PRIMARY KEY)');
    expect(await database.write('INSERT INTO t VALUES (1), (2)')).toBe(2);
    const failing = database.transaction(async (client) => {
      await client.query('INSERT INTO t VALUES (3)');
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await database.query('SELECT id FROM t ORDER BY id')).toEqual([{ id: 1 }, { id: 2 }]);
  });

  it('takes back what was done before a refusal, which stays what it is', async () => {
    const database = openDatabase(await server().createDatabase());
    await database.write('CREATE TABLE t (n int)');
    const refused = new VerdictError('invalid_request', 'No.');
    const failing = database.transaction(async (client) => {
      await client.write('INSERT INTO t VALUES (1)');
      throw refused;
    });
    await expect(failing).rejects.toBe(refused);
    expect(await database.query('SELECT * FROM t')).toEqual([]);
    expect(database.problem).toBeUndefined();
  });

  it('leaves what fails beside it as it is: a file that is not there is not a database that is away', async () => {
    const database = openDatabase(await server().createDatabase());
    const reading = database.transaction(() => readFile('/nowhere/journal'));
    await expect(reading).rejects.not.toBeInstanceOf(DatabaseError);
    await expect(reading).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
    expect(database.problem).toBeUndefined();
  });

  it('says that nothing was kept where an error inside was not looked at', async () => {
    const database = openDatabase(await server().createDatabase());
    await database.write('CREATE TABLE t (id int8 PRIMARY KEY)');
    const swallowing = database.transaction(async (client) => {
      await client.query('INSERT INTO t VALUES (1)');
      await client.query('INSERT INTO t VALUES (1)').catch(() => undefined);
    });
    await expect(swallowing).rejects.toMatchObject({ code: '25P02' });
    expect(await database.query('SELECT id FROM t')).toEqual([]);
  });

  it('commits to the disk whatever the server is set to, and leaves the session as it was', async () => {
    const database = openDatabase(await server().createDatabase(), { maxConnections: 1 });
    const show = (name: string) => `SELECT current_setting('${name}') AS v`;
    const inside = await database.transaction(async (client) => [
      ...(await client.query(show('synchronous_commit'))),
      ...(await client.query(show('statement_timeout'))),
      ...(await client.query(show('lock_timeout'))),
    ]);
    expect(inside).toEqual([{ v: 'on' }, { v: '30s' }, { v: '10s' }]);
    expect(await database.query(show('synchronous_commit'))).toEqual([{ v: 'off' }]);
    expect(await database.query(show('statement_timeout'))).toEqual([{ v: '0' }]);
    expect(await database.query('SELECT * FROM pg_prepared_statements')).toEqual([]);
  });

  it('ends a statement after its time, and a wait for a lock', async () => {
    const database = openDatabase(await server().createDatabase());
    const slow = database.transaction((client) => client.query('SELECT pg_sleep(20)'), { statementTimeoutMs: 50 });
    await expect(slow).rejects.toMatchObject({ code: '57014', isUnavailable: true });
    await database.write('CREATE TABLE t (id int8)');
    await database.transaction(async (client) => {
      await client.query('LOCK TABLE t');
      const waiting = database.transaction((other) => other.query('SELECT * FROM t'), { lockTimeoutMs: 50 });
      await expect(waiting).rejects.toMatchObject({ code: '55P03', isUnavailable: true });
    });
  });

  it('does not wait for ever for an answer', async () => {
    const database = openDatabase(await server().createDatabase(), { answerTimeoutMs: 50 });
    await expect(database.query('SELECT pg_sleep(20)')).rejects.toMatchObject({ code: 'CONNECTION' });
    // The connection that still waits is not given to another.
    expect(await database.query('SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });

  it('does not wait for ever for the answer to a copy, nor for the server to close a connection', async () => {
    const url = await server().createDatabase();
    const link = await Link.to(server().port);
    const database = openDatabase(link.through(url), { answerTimeoutMs: 300 });
    const client = await database.connect();
    await client.write('CREATE TABLE t (n int)');
    const idle = await database.connect();
    link.silence();
    await expect(client.copy('COPY t FROM STDIN (FORMAT binary)', [])).rejects.toMatchObject({ code: 'CONNECTION' });
    const began = performance.now();
    await Promise.all([client.close(), idle.close()]);
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  it('is closed within its time while a statement waits for a server that does not answer', async () => {
    const url = await server().createDatabase();
    const link = await Link.to(server().port);
    const database = openDatabase(link.through(url));
    await database.query('SELECT 1');
    link.silence();
    const waiting = expect(database.query('SELECT 1')).rejects.toMatchObject({ code: 'CONNECTION' });
    await delay(100);
    const began = performance.now();
    await database.close();
    expect(performance.now() - began).toBeLessThan(2_500);
    await waiting;
  });

  it('does not wait for a server that did not answer a moment ago, and sees when it does', async () => {
    const link = await Link.to(server().port);
    const url = link.through(await server().createDatabase());
    link.silence();
    const database = openDatabase(url, { connectTimeoutMs: 300 });
    await expect(database.query('SELECT 1')).rejects.toThrow(/timeout/);
    for (const ask of [() => database.query('SELECT 1'), () => database.connect()]) {
      await expect(ask()).rejects.toMatchObject({ message: expect.stringMatching(/did not answer/), isAway: true });
    }
    link.open();
    await expect.poll(() => database.query('SELECT 1 AS n').catch(String), { timeout: 5_000 }).toEqual([{ n: 1 }]);
    expect(database.problem).toBeUndefined();
  });

  it('has its transactions ended by a server that does not hear of it any more, and their locks with them', async () => {
    const database = openDatabase(await server().createDatabase());
    const read = (name: string) => `SELECT current_setting('${name}') AS v`;
    const set = await database.transaction(async (client) => [
      await client.query(read('idle_in_transaction_session_timeout')),
      await client.query(read('tcp_keepalives_idle')),
    ]);
    expect(set).toEqual([[{ v: '15s' }], [{ v: '10' }]]);
    expect(await database.query(read('idle_in_transaction_session_timeout'))).toEqual([{ v: '0' }]);
  });

  it('sees in a snapshot only what was there when it began', async () => {
    const database = openDatabase(await server().createDatabase());
    await database.write('CREATE TABLE t (id int8)');
    await database
      .transaction(
        async (client) => {
          expect(await client.query('SELECT count(*) AS n FROM t')).toEqual([{ n: 0 }]);
          await database.write('INSERT INTO t VALUES (1)');
          expect(await client.query('SELECT count(*) AS n FROM t')).toEqual([{ n: 0 }]);
          await expect(client.query('INSERT INTO t VALUES (2)')).rejects.toMatchObject({ code: '25006' });
        },
        { snapshot: true, readOnly: true },
      )
      .catch((error: DatabaseError) => expect(error.code).toBe('25P02'));
    expect(await database.query('SELECT id FROM t')).toEqual([{ id: 1 }]);
  });

  it.each([
    ['SELECT $1::int8', ['hunter2'], '22P02: invalid input syntax for type bigint …'],
    ['SELECT $1::int4', ['99999999999'], '22003: value …'],
    ['SELECT $1::text::jsonb', ['{"hunter2'], '22P02: invalid input syntax for type json'],
    ['INSERT INTO t VALUES ($1)', ['hunter2'], '23505: duplicate key value violates unique constraint "t_pkey"'],
  ])('shows no value in an error: %s', async (sql, values, message) => {
    const database = openDatabase(await server().createDatabase());
    await database.write('CREATE TABLE t (id text PRIMARY KEY)');
    await database.write(`INSERT INTO t VALUES ('hunter2')`);
    const failure = await database.query(sql, values).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(DatabaseError);
    expect((failure as Error).message).toBe(message);
    expect(JSON.stringify(failure) + (failure as Error).stack).not.toMatch(/hunter2|99999999999/);
  });

  it('copies bytes into a table, in a transaction', async () => {
    const database = openDatabase(await server().createDatabase());
    await database.write('CREATE TABLE t (id int8, data bytea)');
    const row = Buffer.from('00020000000800000000000000070000000300ff01', 'hex');
    const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
    const end = Buffer.from('ffff', 'hex');
    await database.transaction((client) => client.copy('COPY t FROM STDIN (FORMAT binary)', [header, row, row, end]));
    const expected = { id: 7, data: Buffer.from('00ff01', 'hex') };
    expect(await database.query('SELECT * FROM t')).toEqual([expected, expected]);
    const broken = database.transaction((client) =>
      client.copy('COPY t FROM STDIN (FORMAT binary)', [header, end, row]),
    );
    await expect(broken).rejects.toMatchObject({ code: '22P04' });
    expect(await database.query('SELECT count(*) AS n FROM t')).toEqual([{ n: 2 }]);
  });

  it('copies data as it comes, and takes back a copy whose data ends with an error', async () => {
    const database = openDatabase(await server().createDatabase(), { maxConnections: 1 });
    await database.write('CREATE TABLE t (n int4)');
    const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
    const row = (n: number) => Buffer.from([0, 1, 0, 0, 0, 4, 0, 0, n >> 8, n & 255]);
    const copy = (chunks: AsyncIterable<Buffer>) =>
      database.transaction((client) => client.copy('COPY t FROM STDIN (FORMAT binary)', chunks));
    async function* chunks(count: number, error?: Error) {
      yield header;
      for (let n = 0; n < count; n++) {
        // More than the server, or the driver, takes at once.
        await new Promise(setImmediate);
        yield row(n);
      }
      if (error !== undefined) throw error;
      yield Buffer.from('ffff', 'hex');
    }
    await copy(chunks(300));
    expect(await database.query('SELECT count(*) AS n, sum(n) FROM t')).toEqual([{ n: 300, sum: (299 * 300) / 2 }]);
    await expect(copy(chunks(3, new Error('the row cannot be read')))).rejects.toThrow(/the row cannot be read/);
    // What the server refuses ends the data, also data without end.
    async function* endless() {
      for (;;) {
        await new Promise(setImmediate);
        yield Buffer.alloc(16 * 1024, 'x');
      }
    }
    await expect(copy(endless())).rejects.toMatchObject({ code: '22P04' });
    expect(await database.query('SELECT count(*) AS n FROM t')).toEqual([{ n: 300 }]);
  });

  it('says how large it is, also while the server is away', async () => {
    const database = openDatabase(await server().createDatabase());
    expect(await database.size()).toBe(0);
    await database.write('CREATE SCHEMA verdict');
    await database.write(`CREATE TABLE ${database.table('t')} AS SELECT 1 AS id`);
    expect(await database.size()).toBe(8192);
    await server().stop();
    await expect(database.query('SELECT 1')).rejects.toMatchObject({ isAway: true });
    expect(await database.size()).toBe(8192);
    await server().resume();
  });

  it('says when the replicas that are there may want more connections than the server allows', async () => {
    const url = await server().createDatabase();
    const said: string[] = [];
    const replica = (instance: string) => openDatabase(url, { instance, onProblem: (what) => said.push(what) });
    const replicas = ['a', 'b', 'c', 'd', 'e'].map(replica);
    await server().stop();
    // Three of them are for superusers.
    await server().resume({ max_connections: 33 });
    for (const each of replicas) await each.checkConnections();
    expect(said).toEqual([]);
    await server().stop();
    await server().resume({ max_connections: 32 });
    for (const each of replicas) await each.query('SELECT 1');
    said.length = 0;
    await replicas[0]!.checkConnections();
    expect(said).toEqual([
      'PostgreSQL allows 29 connections (max_connections), and 5 replicas open up to 30, 6 each: ' +
        'raise max_connections, or put PgBouncer in front',
    ]);
    await server().stop();
    await server().resume({});
  });

  it('has a problem while the server is away, says so once, and is well again by itself', async () => {
    const said: string[] = [];
    const url = await server().createDatabase();
    const database = openDatabase(url, { onProblem: (what) => said.push(what) });
    let ended = 0;
    const steady = await database.connect({ onEnd: () => ended++ });
    expect(await steady.query('SELECT 1 AS n')).toEqual([{ n: 1 }]);
    await database.query('SELECT 1');
    await server().kill();
    const failures = [];
    for (let i = 0; i < 3; i++) failures.push(await database.query('SELECT 1').catch((error: unknown) => error));
    expect(failures.map(isAway)).toEqual([true, true, true]);
    await expect(steady.query('SELECT 1')).rejects.toMatchObject({ isUnavailable: true });
    expect(ended).toBe(1);
    expect(database.problem).toMatch(/^(ECONNREFUSED|CONNECTION): /);
    await server().resume();
    await expect.poll(() => database.problem).toBeUndefined();
    expect(await database.query('SELECT 1 AS n')).toEqual([{ n: 1 }]);
    expect(said).toHaveLength(2);
    expect(said[0]).toMatch(/^postgres:\/\/postgres@127\.0\.0\.1:\d+\/test_\d+ cannot be used: /);
    expect(said[1]).toMatch(/ can be used again$/);
    await steady.close();
  });

  it.each([
    ['ECONNREFUSED', (url: string) => url.replace(/:\d+\//, ':1/'), true],
    ['ECONNREFUSED', (url: string) => url.replace(/@.*\//, '@/').concat('?host=/nowhere'), true],
    ['3D000', (url: string) => `${url}x`, false],
    ['28000', (url: string) => url.replace('postgres@', 'nobody@'), false],
    ['TLS', (url: string) => `${url}?sslmode=require`, false],
  ])('that cannot be reached says %s', async (code, change, away) => {
    const database = openDatabase(change(await server().createDatabase()));
    const failure = await database.query('SELECT 1').catch((error: unknown) => error);
    expect(failure).toMatchObject({ code, isUnavailable: true });
    expect(isAway(failure)).toBe(away);
    expect(database.problem).toMatch(code);
  });
});
