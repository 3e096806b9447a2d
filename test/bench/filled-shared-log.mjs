// Questions to a log that many replicas share, asked of a service over HTTP: how long the first answer takes, hot (the best
// of five), and cold: the first one of a service that was just started, to a PostgreSQL that was started again with none of its
// files in memory. Then the memory that the answers took.
//
//   npm run bench:log -- --postgres --fill 10000000 --writers 20 --days 10 [--keep DIRECTORY]

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { migrate } from '../../dist/database/postgres/migrations.js';
import { IndexJob } from '../../dist/decision-log/postgres/index-job.js';
import { sharedLogMigrations } from '../../dist/decision-log/postgres/shared-migrations.js';
import { TallyJob } from '../../dist/decision-log/postgres/shared-tally.js';
import { recordAt } from './filled-log.mjs';
import { bytesOf, makeShipper, openDatabase, openJournal } from './log-on-postgres.mjs';
import { startPostgres } from './postgres.mjs';
import { endAll, startService } from './service.mjs';

const callers = 20;
/** Groups have 1 to this many records of one moment, so that their mean is that of a busy service. */
const largestGroup = 100;
/** Records of all writers that wait to be shipped, at most. */
const mostWaiting = 200_000;

export async function filledSharedLog({ records, writers, days, keep }) {
  const directory = keep ?? mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  mkdirSync(directory, { recursive: true });
  const data = join(directory, 'postgres');
  const isFilled = existsSync(data);
  const server = await startPostgres({}, data);
  let service;
  try {
    const url = isFilled ? server.url('bench_1') : await server.createDatabase();
    if (!isFilled) await fill(url, directory, { records, writers, days });
    console.log(
      `${((await bytesOf(server, url)) / records).toFixed(0)} bytes a record in PostgreSQL, with indexes and counts`,
    );
    const start = async () => {
      const spool = join(directory, 'service');
      service = await startService('', 'sync', { VERDICT_DATABASE_URL: url, VERDICT_SPOOL_DIR: spool });
      await ready(service);
      // From here on the highest is that of what is asked.
      writeFileSync(`/proc/${service.child.pid}/clear_refs`, '5');
      return memoryOf(service, 'VmRSS');
    };
    let before = await start();
    const rows = [];
    let memory = 0;
    const lookAtMemory = () => {
      memory = Math.max(memory, memoryOf(service, 'VmHWM') - before);
    };
    for (const [name, path] of await questions(service, days)) {
      const hot = [];
      for (let i = 0; i < 5; i++) hot.push((await ask(service, path)).ms);
      lookAtMemory();
      await endAll([service.child]);
      await server.restartCold();
      before = await start();
      const cold = await ask(service, path);
      lookAtMemory();
      rows.push({
        question: name,
        'hot, ms': Math.min(...hot).toFixed(1),
        'cold, ms': cold.ms.toFixed(0),
        answer: (await ask(service, path)).what,
      });
    }
    console.table(rows);
    console.log(`the service took up to ${(memory / 1_024).toFixed(0)} MB more than when it began`);
    console.log('wanted: pages 100 ms hot and 200 ms cold, whole or in part; stats 300 ms; 64 MB');
  } finally {
    if (service !== undefined) await endAll([service.child]);
    if (keep === undefined) await server.remove();
    else await server.stop();
    if (keep === undefined) rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Has the records committed by as many journals and shipped, in the order of their times, and indexed and counted. */
async function fill(url, directory, { records, writers, days }) {
  const began = performance.now();
  const database = openDatabase(url);
  await migrate(database, 'decision-log', sharedLogMigrations);
  const replicas = [];
  for (let i = 0; i < writers; i++) {
    let shipper;
    const journal = openJournal(join(directory, String(i)), {
      mode: 'sync',
      instance: `replica-${i}`,
      onCommit: (commit) => shipper?.committed(commit.records),
    });
    await journal.start();
    shipper = makeShipper(database, journal, `replica-${i}`);
    shipper.start();
    replicas.push({ journal, shipper });
  }
  const end = Date.now();
  const start = end - days * 86_400_000;
  for (let n = 0; n < records; ) {
    const waiting = [];
    for (const { journal } of replicas) {
      const size = Math.min(records - n, 1 + ((n * 7_919) % largestGroup));
      const time = Math.floor(start + ((end - start) * n) / records);
      for (let i = 0; i < size; i++) {
        const record = recordAt(journal, n, time + (i >> 4), callers);
        // Half of all requests come with a trace.
        if (n % 2 === 0) record.traceId = traceOf(n);
        waiting.push(journal.append(record));
        n++;
      }
    }
    await Promise.all(waiting);
    const unshipped = () =>
      replicas.reduce((sum, { journal, shipper }) => sum + journal.journal.end - (shipper.status.shipped ?? 0), 0);
    while (unshipped() > mostWaiting) await delay(5);
  }
  for (const { journal, shipper } of replicas) {
    await journal.flush();
    await shipper.stop(60_000);
    await journal.stop();
  }
  for (let i = 0; i < writers; i++) rmSync(join(directory, String(i)), { recursive: true });
  const [index, tally] = [new IndexJob(database), new TallyJob(database)];
  while (await tally.step(true));
  while (await index.step(true));
  // As the server does by itself within a minute or two, which the restarts between the questions do not leave it.
  await database.query('VACUUM ANALYZE');
  await database.close();
  console.log(
    `filled ${records} records of ${writers} writers in ${((performance.now() - began) / 1_000).toFixed(0)} s`,
  );
}

/** 128 bits that look random, the same in each run. */
function traceOf(n) {
  return createHash('md5').update(String(n)).digest('hex');
}

async function questions(service, days) {
  const page = (query) => `/v1/decisions?${new URLSearchParams(query)}`;
  const [newest] = (await get(service, page({ limit: 1 }))).items;
  const ago = (share) => new Date(Date.now() - share * days * 86_400_000).toISOString();
  const [middle] = (await get(service, page({ limit: 1, to: ago(0.5) }))).items;
  const [traced] = (await get(service, page({ limit: 10, to: ago(0.5) }))).items.filter(({ traceId }) => traceId);
  const minutes = (time, before, after) => ({
    from: new Date(Date.parse(time) - before * 60_000).toISOString(),
    to: new Date(Date.parse(time) + after * 60_000).toISOString(),
  });
  const subject = newest.request.subject.id;
  const resource = newest.request.resource.id;
  const pages = {
    none: {},
    'an hour in the middle': { from: ago(0.5), to: new Date(Date.parse(ago(0.5)) + 3_600_000).toISOString() },
    subject: { subject },
    'subject, nobody': { subject: 'nobody' },
    resource: { resource },
    action: { action: 'approve' },
    'decision deny': { decision: 'deny' },
    reason: { reason: 'rule_denied' },
    caller: { caller: 'caller-3' },
    policySet: { policySet: 'orders' },
    policyVersion: { policyVersion: newest.policyVersion },
    requestId: { requestId: middle.requestId },
    'traceId, of days ago': { traceId: traced.traceId },
    'traceId, its hour known': { traceId: traced.traceId, ...minutes(traced.time, 30, 30) },
    'instance, not found': { instance: 'none' },
    'subject and deny': { subject, decision: 'deny' },
    'subject and resource': { subject, resource },
    'caller and action that never meet': { caller: 'caller-3', action: 'none' },
    'decision and reason that never meet': { decision: 'deny', reason: 'rule_allowed' },
    'set, caller and reason': { policySet: 'orders', caller: 'caller-3', reason: 'rule_denied' },
    'q, found': { q: 'example.com' },
    'q, not found': { q: 'no such text' },
  };
  const stats = {
    all: { by: 'decision' },
    'any range': { from: ago(0.83), to: ago(0.21), by: 'decision' },
    'by everything': { by: 'policySet,policyVersion,decision,reason,caller' },
    'by hour and set': { bucket: 'hour', by: 'policySet' },
    'by minute, 3 days': { bucket: 'minute', from: ago(3 / days) },
  };
  return [
    ...Object.entries(pages).map(([name, query]) => [name, page(query)]),
    ['by id', `/v1/decisions/${middle.id}`],
    ...Object.entries(stats).map(([name, query]) => [
      `stats: ${name}`,
      `/v1/decisions/stats?${new URLSearchParams(query)}`,
    ]),
  ];
}

async function ask(service, path) {
  const began = performance.now();
  const body = await get(service, path);
  const ms = performance.now() - began;
  const { items, searchedTo, total } = body;
  if (items === undefined) return { ms, what: '1 record' };
  const counted = total === undefined ? `${items.length} records` : `${items.length} rows of ${total}`;
  return { ms, what: searchedTo === undefined ? counted : `${counted}, to ${searchedTo.slice(0, 16)}` };
}

async function get({ url }, path) {
  const response = await fetch(url + path);
  const body = await response.json();
  if (!response.ok) throw new Error(`${path}: ${JSON.stringify(body)}`);
  return body;
}

/** Waits until it reaches PostgreSQL, and has its connections again. */
async function ready({ url }) {
  for (let tries = 0; ; tries++) {
    const responses = await Promise.all([1, 2, 3].map(() => fetch(`${url}/v1/decisions/writers`)));
    await Promise.all(responses.map((response) => response.arrayBuffer()));
    if (responses.every(({ ok }) => ok)) return;
    if (tries > 600) throw new Error('the service does not reach PostgreSQL');
    await delay(50);
  }
}

/** In KiB. Linux only. */
function memoryOf({ child }, name) {
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, 'latin1'))[1]);
}
