// What it costs to share the decision log in PostgreSQL. It starts a PostgreSQL of its own, with the settings it comes with.
//
//   npm run bench:log -- --postgres [--rows 1000000] [--rounds 7] [--seconds 4]
//   npm run bench:log -- --postgres --fill 10000000 --writers 20    // instead of that, questions to a filled log
//
// Three services answer in turn, in one run: with SQLite alone, shipping into PostgreSQL, and waiting for PostgreSQL
// (`replicated`). Then full journals are shipped: of one replica with the index and the counts made beside it, of a hundred,
// of one whose groups have a record each, and a log that a service on SQLite alone wrote.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parsePostgresUrl } from '../../dist/config/postgres-url.js';
import { migrate } from '../../dist/database/postgres/migrations.js';
import { PostgresDatabase } from '../../dist/database/postgres/postgres-database.js';
import { DayPartitions } from '../../dist/decision-log/postgres/day-partitions.js';
import { PostgresDecisionLog } from '../../dist/decision-log/postgres/postgres-decision-log.js';
import { sharedLogMigrations } from '../../dist/decision-log/postgres/shared-migrations.js';
import { Shipper } from '../../dist/decision-log/postgres/shipper.js';
import { addDeltas } from '../../dist/decision-log/postgres/tally-delta.js';
import { SqliteDecisionLog } from '../../dist/decision-log/sqlite/sqlite-decision-log.js';
import { recordAt } from './filled-log.mjs';
import { load } from './load.mjs';
import { startPostgres } from './postgres.mjs';
import { cpuMicroseconds, endAll, median, startService } from './service.mjs';

const shippers = 100;
const callers = 20;
/** Longer than the shipper waits for company: what a round left is shipped in the time of that round. */
const settleMs = 600;

const question = (i) => ({
  subject: { type: 'user', id: 'dana', attributes: { department: 'ward 3' } },
  action: i % 10 === 0 ? 'record' : 'read',
  resource: { type: 'lab-result', id: `L-${i}` },
  attributes: { ip: '10.0.0.7' },
});
const bodies = Array.from({ length: 1_000 }, (_, i) => JSON.stringify(question(i)));

export async function logOnPostgres({ rows, rounds, seconds }) {
  const server = await startPostgres({ max_connections: shippers + 50 });
  try {
    await overHttp(server, rounds, seconds);
    const table = [];
    table.push(await drain(server, 'one replica, index and counts beside it', rows));
    table.push(await drain(server, 'one replica, groups of one', Math.ceil(rows / 10), { groupSize: 1 }));
    table.push(await drain(server, 'a log of SQLite alone', rows, { isShipped: false }));
    table.push(await drainMany(server, Math.ceil(rows / shippers)));
    console.log('\nfull journals, shipped from their files:');
    console.table(table);
    console.log(
      'wanted: 80,000 records/s of one replica, 40,000 of a hundred; 300 bytes in full groups, 350 of one record',
    );
  } finally {
    await server.remove();
  }
}

async function overHttp(server, rounds, seconds) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const shared = async (name) => ({
    VERDICT_DATABASE_URL: await server.createDatabase(),
    VERDICT_SPOOL_DIR: join(directory, name),
  });
  const services = {
    'SQLite alone': await startService(join(directory, 'alone', 'verdict.sqlite'), 'sync'),
    'sync, shipped': await startService('', 'sync', await shared('shipped')),
    replicated: await startService('', 'replicated', await shared('replicated')),
  };
  const ask = async ({ child, url }, time) => {
    const before = [cpuMicroseconds(child.pid), server.cpu()];
    const result = await load({ url: `${url}/v1/decide`, bodies, connections: 64, seconds: time });
    if (result.failed > 0) throw new Error(`${result.failed} requests failed`);
    await delay(settleMs);
    const cpu = (cpuMicroseconds(child.pid) - before[0]) / result.total;
    return { ...result, cpu, database: (server.cpu() - before[1]) / result.total };
  };
  try {
    for (const service of Object.values(services)) await ask(service, 2);
    const lists = Object.fromEntries(Object.keys(services).map((name) => [name, []]));
    for (let round = 0; round < rounds; round++) {
      // Each in turn is the first.
      const names = Object.keys(services);
      for (let i = 0; i < names.length; i++) {
        const name = names[(i + round) % names.length];
        lists[name].push(await ask(services[name], seconds));
      }
    }
    const alone = lists['SQLite alone'];
    console.log(`\n/v1/decide from 64 connections, median of ${rounds} rounds of ${seconds} s:`);
    console.table(
      Object.entries(lists).map(([log, list]) => ({
        log,
        'CPU, µs': median(list.map(({ cpu }) => cpu)).toFixed(1),
        'CPU / alone': median(list.map(({ cpu }, i) => cpu / alone[i].cpu)).toFixed(2),
        'of PostgreSQL, µs': median(list.map(({ database }) => database)).toFixed(1),
        'a second': median(list.map(({ rate }) => rate)).toFixed(0),
        'p50, ms': median(list.map(({ p50 }) => p50)).toFixed(1),
        'p99, ms': median(list.map(({ p99 }) => p99)).toFixed(1),
        'p99 / alone': median(list.map(({ p99 }, i) => p99 / alone[i].p99)).toFixed(2),
      })),
    );
    console.log('wanted of what is shipped: CPU at most 1.10, p99 at most 1.3');
  } finally {
    await endAll(Object.values(services).map(({ child }) => child));
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Fills the journal of a replica, and ships it with all that a replica does beside it. */
async function drain(server, name, records, { groupSize = 128, isShipped = true } = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  try {
    await fillJournal(directory, records, groupSize, isShipped);
    const url = await server.createDatabase();
    const database = openDatabase(url);
    let done;
    const all = new Promise((resolve) => {
      done = resolve;
    });
    let left = records;
    const log = new PostgresDecisionLog({
      database,
      mode: 'sync',
      openJournal: (options) => openJournal(directory, options),
      onProblem: console.error,
      onShipped: (batch) => {
        left -= batch.records;
        if (left <= 0) done();
      },
    });
    const before = [process.cpuUsage(), server.cpu(), performance.now()];
    await log.start();
    await all;
    const figures = figuresOf(name, records, before, server);
    const settling = performance.now();
    await log.settle();
    const settled = ((performance.now() - settling) / 1_000).toFixed(1);
    const bytes = await bytesOf(server, url);
    await log.stop();
    await database.close();
    return { ...figures, 'index and counts done after, s': settled, 'bytes a record': (bytes / records).toFixed(0) };
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Fills the journals of many replicas, and ships them all at once. */
async function drainMany(server, records) {
  const root = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const url = await server.createDatabase();
  const database = openDatabase(url);
  try {
    await migrate(database, 'decision-log', sharedLogMigrations);
    const folders = Array.from({ length: shippers }, (_, i) => join(root, String(i)));
    for (const folder of folders) await fillJournal(folder, records, 128);
    const replicas = [];
    for (const folder of folders) {
      const journal = openJournal(folder, { mode: 'sync' });
      await journal.start();
      replicas.push({ journal, shipper: makeShipper(database, journal) });
    }
    const before = [process.cpuUsage(), server.cpu(), performance.now()];
    await Promise.all(replicas.map(({ shipper }) => shipper.shipAll(() => undefined)));
    const figures = figuresOf(`${shippers} replicas`, records * shippers, before, server);
    for (const { journal } of replicas) await journal.stop();
    return figures;
  } finally {
    await database.close();
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

function figuresOf(name, records, [cpu, databaseCpu, began], server) {
  const seconds = (performance.now() - began) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    journal: name,
    'records a second': (records / seconds).toFixed(0),
    'CPU, µs a record': ((user + system) / records).toFixed(1),
    'of PostgreSQL, µs': ((server.cpu() - databaseCpu) / records).toFixed(1),
  };
}

/** A replica's shipper, with nothing beside it. */
export function makeShipper(database, journal, instance = 'bench') {
  return new Shipper({
    database,
    prepare: async () => undefined,
    partitions: new DayPartitions(database),
    journal: journal.journal,
    instance,
    latestMs: 15_000,
    count: (client, rows) => addDeltas(client, (name) => database.table(name), rows),
    harden: true,
    expired: async () => new Set(),
    onProblem: (what, error) => console.error(what, error),
  });
}

export function openJournal(directory, options) {
  return new SqliteDecisionLog({
    databasePath: join(directory, 'log.sqlite'),
    queueLimit: 1_000_000,
    isShipped: true,
    onProblem: console.error,
    ...options,
  });
}

export function openDatabase(url) {
  return new PostgresDatabase({ url: parsePostgresUrl(url), instance: 'bench', onProblem: console.error });
}

/** Bytes of all tables of the log, with their indexes. */
export async function bytesOf(server, url) {
  const [{ bytes }] = await server.query(
    `SELECT sum(pg_total_relation_size(c.oid))::float8 AS bytes FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'verdict' AND c.relkind = 'r' AND c.relname ~ '^(decision|key|tally)_?'`,
    url,
  );
  return bytes;
}

/** `isShipped`: as a replica fills it while PostgreSQL is away; otherwise as a service on SQLite alone does. */
async function fillJournal(directory, records, groupSize, isShipped = true) {
  const log = openJournal(directory, { mode: 'sync', isShipped });
  await log.start();
  for (let n = 0; n < records; n += groupSize) {
    const now = Date.now();
    const size = Math.min(groupSize, records - n);
    await Promise.all(Array.from({ length: size }, (_, i) => log.append(recordAt(log, n + i, now, callers))));
  }
  await log.stop();
}
