// What a record costs: the decision log beside the cheapest thing that could keep it, in one run.
//
//   npm run bench:log [-- --rows 1000000 --rate 15000 --seconds 8]
//   npm run bench:log -- --fill 10000000 --callers 20 --days 10    // instead of that, every read of a filled log
//   npm run bench:log -- --conditions --rows 200000                // instead, conditions over records (log-conditions.mjs)
//   npm run bench:log -- --encryption --rounds 15                 // instead, what encryption adds (log-encryption.mjs)
//   npm run bench:log -- --verify --rows 200000                    // instead, what its proof costs (log-verify.mjs)
//   npm run bench:log -- --followers                               // instead, what decisions notice of streams (log-followers.mjs)
//   npm run bench:log -- --postgres                                // instead, the log that replicas share (log-on-postgres.mjs)
//
// Records arrive at a fixed rate, spread over the milliseconds, as from 64 connections or more. `rows` records are in
// the file before anything is measured. Each line is measured against the same loop making the same records for a log
// that is off, so that making them is in no figure. Then follow what callers notice (log-over-http.mjs) and the comparison
// with another product (log-beside-cerbos.mjs).

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { GroupCommit } from '../../dist/decision-log/sqlite/group-commit.js';
import { Journal } from '../../dist/decision-log/sqlite/journal.js';
import { SqliteDecisionLog } from '../../dist/decision-log/sqlite/sqlite-decision-log.js';
import { besideCerbos } from './log-beside-cerbos.mjs';
import { logConditions } from './log-conditions.mjs';
import { logOverHttp } from './log-over-http.mjs';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    rate: { type: 'string', default: '15000' },
    seconds: { type: 'string' },
    rounds: { type: 'string', default: '7' },
    conditions: { type: 'boolean', default: false },
    encryption: { type: 'boolean', default: false },
    followers: { type: 'boolean', default: false },
    postgres: { type: 'boolean', default: false },
    verify: { type: 'boolean', default: false },
    writers: { type: 'string', default: '20' },
    fill: { type: 'string' },
    callers: { type: 'string', default: '20' },
    days: { type: 'string', default: '10' },
    keep: { type: 'string' },
  },
});
if (values.postgres) {
  if (values.fill !== undefined) {
    const { filledSharedLog } = await import('./filled-shared-log.mjs');
    const [records, writers, days] = [values.fill, values.writers, values.days].map(Number);
    await filledSharedLog({ records, writers, days, keep: values.keep });
  } else {
    const { logOnPostgres } = await import('./log-on-postgres.mjs');
    const [rows, rounds, seconds] = [values.rows, values.rounds, values.seconds ?? 4].map(Number);
    await logOnPostgres({ rows, rounds, seconds });
  }
  process.exit();
}
if (values.followers) {
  const { logFollowers } = await import('./log-followers.mjs');
  await logFollowers({ rounds: Number(values.rounds), seconds: Number(values.seconds ?? 5) });
  process.exit();
}
if (values.conditions) {
  await logConditions(Number(values.rows));
  process.exit();
}
if (values.fill !== undefined) {
  const { filledLog } = await import('./filled-log.mjs');
  const [records, callers, days] = [values.fill, values.callers, values.days].map(Number);
  await filledLog({ records, callers, days, keep: values.keep });
  process.exit();
}
const [rows, rate, seconds] = [values.rows, values.rate, values.seconds ?? 8].map(Number);

const subjects = Array.from({ length: 100_000 }, (_, i) => `user-${(i * 7919) % 100_000}@example.com`);
let made = 0;

if (values.verify) {
  const { logVerify } = await import('./log-verify.mjs');
  await logVerify(rows, makeRecord);
  process.exit();
}

/** 560 bytes, subject and resource drawn from 100,000 and 1,000,000. */
function makeRecord(log) {
  const n = made++;
  const now = Date.now();
  const deny = n % 10 === 0;
  return {
    id: log.nextId(now),
    time: now,
    policySet: 'invoices',
    policyVersion: 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    engineVersion: '0.1.0',
    semantics: 2,
    request: {
      subject: { type: 'user', id: subjects[(n * 31) % subjects.length], attributes: { department: 'sales' } },
      action: { name: ['read', 'approve', 'create', 'delete'][n % 4] },
      resource: { type: 'invoice', id: String((n * 104_729) % 1_000_000), attributes: { amount: n % 5_000 } },
      attributes: { tenant: 'acme' },
    },
    clock: now,
    decision: deny ? 'deny' : 'allow',
    reason: deny
      ? { code: 'no_matching_rule' }
      : { code: 'rule_allowed', rule: ['p', 'manager', 'invoice', 'approve', 'allow'], file: 'rules.csv', line: 7 },
    errors: [],
    obligations: [],
    caller: 'billing',
    authentication: 'api_key',
    via: 'decide',
    requestId: `0199c2f6-${n.toString(16).padStart(8, '0')}`,
    durationUs: 12,
  };
}

/** CPU time of the thread that runs JavaScript, in µs; process.cpuUsage() has all threads. Linux only. */
function mainThreadCpu() {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0]) / 1000;
}

/** Offers records at a rate for some seconds. Returns what they cost, and how long each waited for its commit. */
async function measure(log) {
  const total = rate * seconds;
  const waits = new Float64Array(total);
  const cpuBefore = process.cpuUsage();
  const mainBefore = mainThreadCpu();
  const start = performance.now();
  let offered = 0;
  let settled = 0;
  await new Promise((resolve, reject) => {
    const offer = () => {
      const due = Math.min(total, ((performance.now() - start) / 1000) * rate);
      while (offered < due) {
        const n = offered++;
        const at = performance.now();
        log.append(makeRecord(log)).then(() => {
          waits[n] = performance.now() - at;
          if (++settled === total) resolve();
        }, reject);
      }
      if (offered < total) setTimeout(offer, 0);
    };
    offer();
  });
  const main = (mainThreadCpu() - mainBefore) / total;
  const cpu = process.cpuUsage(cpuBefore);
  waits.sort();
  const at = (share) => waits[Math.floor(total * share)];
  return {
    cpu: (cpu.user + cpu.system) / total,
    main,
    p50: at(0.5),
    p99: at(0.99),
    worst: at(0.9999),
  };
}

/** The floor: a group's texts written to the end of a file, nothing else. */
async function startFile(directory) {
  const file = await open(join(directory, 'records.ndjson'), 'a', 0o600);
  const group = new GroupCommit(async ({ lines }) => {
    await file.write(`${lines.join('\n')}\n`);
  });
  return { append: (record) => group.add(record), flush: () => group.flush(), stop: () => file.close() };
}

/** The journal alone: committed, but nothing is searchable and its WAL grows. */
async function startJournal(directory) {
  const journal = await Journal.open(join(directory, 'journal.sqlite'), 'NORMAL');
  const group = new GroupCommit((records) => journal.commit(records));
  return { append: (record) => group.add(record), flush: () => group.flush(), stop: () => journal.close() };
}

async function startLog(directory, mode = 'sync') {
  const log = new SqliteDecisionLog({
    databasePath: join(directory, 'log.sqlite'),
    mode,
    queueLimit: 1_000_000,
    onProblem: console.error,
  });
  await log.start();
  // What the last process left is counted first, so that it is in no figure.
  await log.indexNow();
  return log;
}

async function fill(log, count) {
  for (let i = 0; i < count; i += 10_000) {
    await Promise.all(Array.from({ length: Math.min(10_000, count - i) }, () => log.append(makeRecord(log))));
  }
}

function bytes(directory, names) {
  return names.reduce((sum, name) => sum + (statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
const idsOnly = await startLog(directory, 'off');
if (values.encryption) {
  rmSync(directory, { recursive: true, force: true });
  const { logEncryption } = await import('./log-encryption.mjs');
  await logEncryption({ makeRecord, ids: idsOnly, rounds: Number(values.rounds) });
  process.exit();
}
const results = [];

async function run(name, start) {
  const log = await start(directory);
  log.nextId ??= (now) => idsOnly.nextId(now);
  results.push({ name, ...(await measure(log)) });
  return log;
}

try {
  console.log(`${rate} records/s for ${seconds} s; ${rows} records in the log before`);
  await run('warm-up', startJournal).then((log) => log.stop());
  results.length = 0;
  await run('log off', () => idsOnly);
  await run('append-only file', startFile).then((log) => log.stop());
  await run('journal alone', startJournal).then((log) => log.stop());

  const started = performance.now();
  const oldestRequest = `0199c2f6-${made.toString(16).padStart(8, '0')}`;
  const filling = await startLog(directory);
  await fill(filling, rows);
  await filling.stop();
  console.log(`filled in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  const files = [
    'log.decisions.sqlite',
    'log.decisions.index.sqlite',
    'log.decisions.sqlite-wal',
    'log.decisions.index.sqlite-wal',
  ];
  const reopened = performance.now();
  const log = await run('journal and index', startLog);
  const reopening = performance.now() - reopened - seconds * 1000;

  let exporting = true;
  const exported = (async () => {
    let bytes = 0;
    while (exporting)
      for await (const piece of log.export({ format: 'csv' })) {
        bytes += piece.length;
        if (!exporting) break;
      }
    return bytes;
  })();
  results.push({ name: 'beside a CSV export', ...(await measure(log)) });
  exporting = false;
  console.log(`exported ${((await exported) / 1e6).toFixed(0)} MB of CSV meanwhile`);

  const [off, ...others] = results;
  const table = others.map(({ name, cpu, main, p50, p99, worst }) => ({
    design: name,
    'all CPU, µs a record': (cpu - off.cpu).toFixed(1),
    'main thread, µs': (main - off.main).toFixed(1),
    'append to commit p50, ms': p50.toFixed(2),
    'p99, ms': p99.toFixed(2),
    'worst of 10,000, ms': worst.toFixed(1),
  }));
  console.table(table);
  console.log(`making a record: ${off.cpu.toFixed(1)} µs; opening and waiting: ${reopening.toFixed(0)} ms`);

  const { items } = await log.search({ limit: 1 });
  const [{ request, requestId, sequence }] = items;
  const oldest = { subject: subjects[31] };
  const times = [];
  for (const [what, query] of [
    ['newest', {}],
    ['subject', { subject: request.subject.id }],
    ['subject, 1,000', { subject: request.subject.id, limit: 1000 }],
    ['resource', { resource: request.resource.id }],
    ['request id', { requestId }],
    ['request id of the first record', { requestId: oldestRequest }],
    ['decision', { decision: 'deny' }],
    ['nobody', { subject: 'nobody' }],
    ['subject and decision', { subject: oldest.subject, decision: 'deny' }],
    ['subject, one hour', { subject: request.subject.id, from: new Date(Date.now() - 3_600_000).toISOString() }],
    ['q, nothing', { q: 'no such text' }],
  ]) {
    const at = performance.now();
    const loopBefore = performance.eventLoopUtilization();
    const page = await log.search(query);
    const main = performance.eventLoopUtilization(loopBefore).active;
    const took = performance.now() - at;
    times.push({
      query: what,
      'first page, ms': took.toFixed(1),
      'main thread, ms': main.toFixed(1),
      found: page.items.length,
      'searched to': page.searchedTo ?? '',
    });
  }
  console.table(times);
  const counted = performance.now();
  const { items: kinds, total } = await log.stats({ bucket: 'hour', by: ['decision'] });
  console.log(`stats of ${total} records: ${kinds.length} rows in ${(performance.now() - counted).toFixed(0)} ms`);
  await log.stop();
  console.log(`${(bytes(directory, files) / sequence).toFixed(0)} bytes a record in all files; ${sequence} records`);
  for (const name of files)
    console.log(`  ${name}: ${(bytes(directory, [name]) / sequence).toFixed(1)} bytes a record`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}

await logConditions(200_000);
await logOverHttp();
await besideCerbos();
