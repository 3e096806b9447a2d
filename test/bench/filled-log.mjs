// Every read against a log that the product itself filled, and what it does to the process: for each its time, the CPU
// of all threads, the memory above idle, the CPU of the event loop's longest turn, its longest stall by the clock (which
// has in it what else the machine does), and the longest that a decision waited for its commit meanwhile (one is recorded
// every few milliseconds).
//
//   npm run bench:log -- --fill 10000000 --callers 20 --days 10 [--keep DIRECTORY]

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SqliteAuditLog } from '../../dist/audit/sqlite/sqlite-audit-log.js';
import { SqliteDecisionLog } from '../../dist/decision-log/sqlite/sqlite-decision-log.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

const sets = ['invoices', 'orders', 'documents', 'payroll', 'support'];
const version = (set) => `sha256:${set.padEnd(64, '0').replace(/[^0-9a-f]/g, 'a')}`;
const reasons = [
  { code: 'rule_allowed', rule: ['p', 'manager', 'invoice', 'approve', 'allow'], file: 'rules.csv', line: 7 },
  { code: 'no_matching_rule' },
  { code: 'rule_denied', rule: ['p', 'guest', 'invoice', 'delete', 'deny'], file: 'rules.csv', line: 9 },
];

/** 560 bytes; subject and resource drawn from 100,000 and 1,000,000. `n` counts the records of the log. */
export function recordAt(log, n, now, callers) {
  const set = sets[(n * 7) % sets.length];
  const reason = reasons[n % 10 === 0 ? 1 : n % 33 === 0 ? 2 : 0];
  return {
    id: log.nextId(now),
    time: now,
    policySet: set,
    policyVersion: version(set),
    engineVersion: '0.1.0',
    request: {
      subject: {
        type: 'user',
        id: `user-${(n * 31_607) % 100_000}@example.com`,
        attributes: { department: 'sales' },
      },
      action: { name: ['read', 'approve', 'create', 'delete'][n % 4] },
      resource: { type: 'invoice', id: String((n * 104_729) % 1_000_000), attributes: { amount: n % 5_000 } },
      attributes: { tenant: 'acme' },
    },
    clock: now,
    decision: reason.code === 'rule_allowed' ? 'allow' : 'deny',
    reason,
    errors: [],
    obligations: [],
    caller: `caller-${(n * 7_919) % callers}`,
    authentication: 'api_key',
    via: 'decide',
    requestId: `0199c2f6-${n.toString(16).padStart(8, '0')}`,
    durationUs: 12,
  };
}

/** Fills a log with records whose times are spread evenly over the days that end now. */
async function fill(log, { records, callers, start, end }) {
  const began = performance.now();
  const step = (end - start) / records;
  const atOnce = 8_192;
  for (let n = 0; n < records; n += atOnce) {
    const waiting = [];
    for (let i = n; i < Math.min(records, n + atOnce); i++) {
      waiting.push(log.append(recordAt(log, i, Math.floor(start + i * step), callers)));
    }
    await Promise.all(waiting);
    if (process.stdout.isTTY) process.stdout.write(`\r${n} records`);
  }
  const seconds = (performance.now() - began) / 1_000;
  console.log(`\rfilled ${records} records in ${seconds.toFixed(1)} s (${(records / seconds).toFixed(0)} a second)`);
  const indexing = performance.now();
  await log.indexNow();
  console.log(`indexed to the last of them in ${((performance.now() - indexing) / 1_000).toFixed(1)} s more`);
}

/** CPU time of the thread that runs JavaScript, in milliseconds. Linux only. */
function mainThreadCpu() {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'latin1').split(' ')[0]) / 1e6;
}

/** Measures the CPU of the longest turn of the event loop: a timer of a millisecond comes once in each at most. */
function longestTurn() {
  let before = mainThreadCpu();
  let longest = 0;
  const note = () => {
    const now = mainThreadCpu();
    longest = Math.max(longest, now - before);
    before = now;
  };
  const timer = setInterval(note, 1);
  return () => {
    clearInterval(timer);
    note();
    return longest;
  };
}

/** Runs a read with decisions beside it. */
async function measure(name, log, read, recordOne) {
  collectGarbage();
  await new Promise((resolve) => setTimeout(resolve, 50));
  collectGarbage();
  const idle = process.memoryUsage.rss();
  let peak = idle;
  let longest = 0;
  const loop = monitorEventLoopDelay({ resolution: 1 });
  let isOver = false;
  const beside = (async () => {
    while (!isOver) {
      const at = performance.now();
      await recordOne(log);
      longest = Math.max(longest, performance.now() - at);
      peak = Math.max(peak, process.memoryUsage.rss());
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })();
  loop.enable();
  const turn = longestTurn();
  const cpu = process.cpuUsage();
  const began = performance.now();
  let result;
  try {
    result = await read();
  } catch (error) {
    result = error.extra === undefined ? String(error) : error.detail;
  }
  const took = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  const longestCpu = turn();
  loop.disable();
  isOver = true;
  await beside;
  return {
    read: name,
    'time, ms': took.toFixed(0),
    'CPU, ms': ((user + system) / 1_000).toFixed(0),
    'memory, MB': ((peak - idle) / 2 ** 20).toFixed(0),
    'longest turn, CPU ms': longestCpu.toFixed(1),
    'loop stalled, ms': (loop.max / 1e6).toFixed(1),
    'commit waited, ms': longest.toFixed(1),
    result,
  };
}

const ofPage = ({ items, searchedTo }) =>
  `${items.length} records${searchedTo ? `, to ${searchedTo.slice(0, 16)}` : ''}`;
const ofStats = ({ items, total, uncertain, top }) =>
  `${items.length} rows of ${total}${uncertain ? `, ${uncertain} uncertain` : ''}${top ? `, ${top.ids.length} ids of ${top.examined}` : ''}`;

async function exported(log, query) {
  let bytes = 0;
  for await (const piece of log.export(query)) bytes += piece.length;
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

export async function filledLog({ records, callers, days, keep }) {
  const directory = keep ?? mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  mkdirSync(directory, { recursive: true });
  const isFilled = existsSync(join(directory, 'log.decisions.sqlite'));
  const end = Date.now();
  const start = end - days * 86_400_000;
  const log = new SqliteDecisionLog({
    databasePath: join(directory, 'log.sqlite'),
    mode: 'sync',
    queueLimit: 1_000_000,
    onProblem: console.error,
  });
  await log.start();
  try {
    if (isFilled) await log.indexNow();
    else await fill(log, { records, callers, start, end });
    let more = records;
    const recordOne = (to) => to.append(recordAt(to, more++, Date.now(), callers));
    const middle = (await log.search({ to: new Date(start + (end - start) / 2).toISOString(), limit: 1 })).items[0];
    const [newest] = (await log.search({ limit: 1 })).items;
    const day = new Date(end - 2 * 86_400_000).toISOString().slice(0, 10);
    const reads = [
      ...['policySet', 'policyVersion', 'decision', 'reason', 'caller'].map((field) => [
        `stats by ${field}`,
        () => log.stats({ by: [field] }).then(ofStats),
      ]),
      [
        'stats by everything',
        () => log.stats({ by: ['policySet', 'policyVersion', 'decision', 'reason', 'caller'] }).then(ofStats),
      ],
      ['stats by minute', () => log.stats({ bucket: 'minute' }).then(ofStats)],
      [
        'stats by minute, 6 days',
        () => log.stats({ bucket: 'minute', from: new Date(end - 6 * 86_400_000).toISOString() }).then(ofStats),
      ],
      [
        'stats by minute and decision, 3 days',
        () =>
          log
            .stats({ bucket: 'minute', by: ['decision'], from: new Date(end - 3 * 86_400_000).toISOString() })
            .then(ofStats),
      ],
      ['stats by hour and caller', () => log.stats({ bucket: 'hour', by: ['caller'] }).then(ofStats)],
      ['stats by hour in Kathmandu', () => log.stats({ bucket: 'hour', tz: 'Asia/Kathmandu' }).then(ofStats)],
      [
        'stats by day and set in Zurich',
        () => log.stats({ bucket: 'day', by: ['policySet'], tz: 'Europe/Zurich' }).then(ofStats),
      ],
      ['stats of one caller by hour', () => log.stats({ bucket: 'hour', caller: 'caller-3' }).then(ofStats)],
      ['stats of one day', () => log.stats({ from: day, to: day, by: ['decision'] }).then(ofStats)],
      ['stats with top subjects', () => log.stats({ top: 'subject' }).then(ofStats)],
      ['stats with top resources denied', () => log.stats({ top: 'resource', decision: 'deny' }).then(ofStats)],
      ...Object.entries({
        'newest 1,000': { limit: 1_000 },
        'set, 1,000': { policySet: 'orders', limit: 1_000 },
        decision: { decision: 'deny' },
        action: { action: 'approve' },
        reason: { reason: 'rule_denied' },
        version: { policyVersion: version('orders') },
        caller: { caller: 'caller-3' },
        'subject, all of it': { subject: newest.request.subject.id, limit: 1_000 },
        resource: { resource: newest.request.resource.id },
        'request id': { requestId: middle.requestId },
        'subject that is not there': { subject: 'nobody' },
        'subject and request that never meet': { subject: newest.request.subject.id, requestId: '0199c2f6-00000001' },
        'caller and action that never meet': { caller: 'caller-3', action: 'none' },
        'answer and reason that never meet': { decision: 'deny', reason: 'rule_allowed' },
        'set and answer, another caller': { policySet: 'orders', decision: 'deny', caller: 'nobody' },
        'one day, denied': { from: day, to: day, decision: 'deny', limit: 1_000 },
        'q, found': { q: 'example.com' },
        'q, not found': { q: 'no such text' },
        'q, not found, of a caller': { q: 'no such text', caller: 'caller-3' },
      }).map(([name, query]) => [`query: ${name}`, () => log.search(query).then(ofPage)]),
      ['one by id', () => log.find(middle.id).then((record) => String(record?.id === middle.id))],
      [
        'one by an id that is not there',
        () => log.find(middle.id.replace(/.$/, 'x').replace(/x$/, middle.id.endsWith('0') ? '1' : '0')).then(String),
      ],
      ['export of one hour', () => exported(log, { from: new Date(end - 3_600_000).toISOString() })],
      ['export of a subject, CSV', () => exported(log, { subject: newest.request.subject.id, format: 'csv' })],
      ...(records <= 1_000_000 ? [['export of all', () => exported(log, {})]] : []),
    ];
    const rows = [];
    for (const [name, read] of reads) rows.push(await measure(name, log, read, recordOne));
    rows.push(...(await auditReads(directory, log, recordOne)));
    console.table(rows);
  } finally {
    await log.stop();
    if (keep === undefined) rmSync(directory, { recursive: true, force: true });
  }
}

/** The audit events of a busy month beside the decisions. */
async function auditReads(directory, log, recordOne) {
  const audit = await SqliteAuditLog.open({
    path: join(directory, 'log.sqlite'),
    mask: (text) => text,
    onProblem: console.error,
  });
  const events = 200_000;
  if ((await audit.search({ limit: 1 })).items.length === 0) {
    for (let i = 0; i < events; i += 500) {
      for (let j = i; j < i + 500; j++) {
        audit.note({ type: 'decisions_read', actor: `reader-${j % 50}`, detail: `${j}`, requestId: `r-${j}` });
      }
      await audit.search({ limit: 1 });
    }
  }
  const rows = [];
  for (const [name, query] of Object.entries({
    'newest 1,000': { limit: 1_000 },
    actor: { actor: 'reader-3' },
    'request id, not found': { requestId: 'none' },
    'actor and type that never meet': { actor: 'reader-3', type: 'api_key_created' },
    'a day in which nothing happened': { from: '2020-01-01', to: '2020-01-01' },
  })) {
    const read = () => audit.search(query).then(({ items }) => `${items.length} events of ${events}`);
    rows.push(await measure(`audit events: ${name}`, log, read, recordOne));
  }
  await audit.close();
  return rows;
}
