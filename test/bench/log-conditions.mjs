// What a condition over records costs (`filter=`): a log whose records name ten versions of a set with 1,000 stored people
// each, read to its end page by page, and what decisions notice meanwhile.
//
//   npm run bench:log -- --conditions [--rows 200000]

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { SqliteDecisionLog } from '../../dist/decision-log/sqlite/sqlite-decision-log.js';
import { ArchivedEntities } from '../../dist/policy-store/archive/archived-entities.js';
import { loadPolicySet } from '../../dist/policy-store/load-policy-set.js';

const versionCount = 10;
const people = 1_000;

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = department, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub.department == p.department && r.act == p.act
`;

async function loadVersion(n) {
  const departments = ['finance', 'sales', 'support', 'legal'];
  const entities = Array.from({ length: people }, (_, i) => ({
    type: 'user',
    id: `user-${i}@example.com`,
    attributes: {
      department: departments[(i + n) % departments.length],
      level: i % 7,
      ssn: `078-05-${i}`,
      site: 'zrh',
    },
  }));
  const files = Object.entries({
    'model.conf': model,
    'rules.csv': `p, finance, approve\np, v${n}, approve\n`,
    'entities.json': JSON.stringify(entities),
    'policy-set.yaml': 'decisionLog: { mask: [/subject/attributes/ssn] }\n',
  }).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  return (await loadPolicySet({ name: 'invoices', files })).served;
}

function recordAt(log, n, policyVersion) {
  const now = Date.now();
  return {
    id: log.nextId(now),
    time: now,
    policySet: 'invoices',
    policyVersion,
    engineVersion: '0.1.0',
    semantics: 2,
    request: {
      subject: { type: 'user', id: `user-${(n * 31) % people}@example.com` },
      action: { name: ['read', 'approve', 'create', 'delete'][n % 4] },
      resource: { type: 'invoice', id: String((n * 104_729) % 1_000_000), attributes: { amount: (n * 7) % 20_000 } },
      attributes: { tenant: 'acme' },
    },
    clock: now,
    decision: n % 10 === 0 ? 'deny' : 'allow',
    reason: { code: 'rule_allowed', rule: ['p', 'finance', 'approve'], file: 'rules.csv', line: 7 },
    errors: [],
    obligations: [],
    caller: 'billing',
    authentication: 'api_key',
    via: 'decide',
    requestId: `0199c2f6-${n.toString(16).padStart(8, '0')}`,
    durationUs: 12,
  };
}

export async function logConditions(rows) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const log = new SqliteDecisionLog({ databasePath: join(directory, 'log.sqlite'), mode: 'sync', queueLimit: 100_000 });
  try {
    await log.start();
    const sets = await Promise.all(Array.from({ length: versionCount }, (_, n) => loadVersion(n)));
    for (let at = 0; at < rows; at += 10_000) {
      const { version } = sets[Math.floor((at / rows) * versionCount)];
      const count = Math.min(10_000, rows - at);
      await Promise.all(Array.from({ length: count }, (_, i) => log.append(recordAt(log, at + i, version))));
    }
    await log.indexNow();
    const [newest] = (await log.search({ limit: 1 })).items;
    const text = JSON.stringify(newest);
    const parsing = process.cpuUsage();
    for (let i = 0; i < rows; i++) JSON.parse(text);
    const parsed = process.cpuUsage(parsing);
    const table = [];
    for (const filter of [
      "decision == 'deny' && via == 'batch'",
      "subject.department == 'finance' && resource.amount > 19990 && decision == 'allow'",
      "subject.ssn == '078-05-1120'",
      "regexMatch(subject.id, '7@example') && subject.level > 5 && resource.amount % 1000 == 7",
    ]) {
      const versions = new ArchivedEntities({
        version: async (_name, version) => sets.find((set) => set.version === version),
        servedVersion: () => sets.at(-1).version,
      });
      const delays = monitorEventLoopDelay({ resolution: 1 });
      delays.enable();
      const cpuBefore = process.cpuUsage();
      const started = performance.now();
      let [found, erred, pages, longest, cursor] = [0, 0, 0, 0, undefined];
      do {
        const at = performance.now();
        const page = await log.search({ filter, limit: 1_000, ...(cursor && { cursor }) }, { versions });
        longest = Math.max(longest, performance.now() - at);
        found += page.items.length;
        erred += page.erred ?? 0;
        cursor = page.nextCursor;
        pages++;
      } while (cursor !== undefined);
      const ms = performance.now() - started;
      const { user, system } = process.cpuUsage(cpuBefore);
      delays.disable();
      table.push({
        filter: filter.length > 48 ? `${filter.slice(0, 47)}…` : filter,
        found,
        erred,
        'records/s': Math.round((rows / ms) * 1_000),
        'CPU, µs a record': ((user + system) / rows).toFixed(1),
        pages,
        'longest page, ms': longest.toFixed(0),
        'longest stall, ms': (delays.max / 1e6).toFixed(1),
      });
    }
    console.log(`conditions over ${rows} records of ${versionCount} versions, ${people} stored people in each`);
    console.table(table);
    console.log(`parsing one of these records alone: ${((parsed.user + parsed.system) / rows).toFixed(1)} µs`);
  } finally {
    await log.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
