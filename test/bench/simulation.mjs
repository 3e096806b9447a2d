/**
 * How many logged decisions a simulation answers again in a second of one core: on a log of questions that come again and again,
 * on one in which each question is another, and under a matcher that reads the clock. The command is run as people run it, on one
 * thread, and its CPU is that of all of its threads: the reading of the log is in it.
 *
 *     npm run bench:simulation [-- RECORDS]
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SqliteDecisionLog } from '../../dist/decision-log/sqlite/sqlite-decision-log.js';
import { compilePolicySet } from '../../dist/engine.js';
import { SqlitePolicyArchive } from '../../dist/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { roleModel } from './role-model.mjs';

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
const records = Number(process.argv[2] ?? 1_000_000);
const folder = mkdtempSync(join(tmpdir(), 'verdict-simulation-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const actions = ['read', 'write', 'list', 'share', 'delete'];
const rules = [
  ...Array.from(
    { length: 5_000 },
    (_, n) => `p, role${n % 1_000}, data${n % 500}, ${actions[Math.floor(n / 1_000) % 5]}`,
  ),
  ...Array.from({ length: 10_000 }, (_, n) => `g, user${n}, role${n % 1_000}`),
];
const readsClock = roleModel.replace(/^m = /m, 'm = now() > 0 && ');

function setAt(path, model, lines) {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, 'model.conf'), model);
  writeFileSync(join(path, 'rules.csv'), `${lines.join('\n')}\n`);
  return {
    name: 'set',
    files: Object.freeze([
      { path: 'model.conf', bytes: Buffer.from(model) },
      { path: 'rules.csv', bytes: Buffer.from(`${lines.join('\n')}\n`) },
    ]),
  };
}

/** A log of questions that the set answered; a rule that allowed some of them is gone in the candidate. */
async function fill(name, model, requestOf) {
  const home = join(folder, name);
  const files = setAt(join(home, 'before'), model, rules);
  const database = join(home, 'verdict.sqlite');
  const archive = await SqlitePolicyArchive.open(database);
  const start = Date.now() - 3_600_000;
  await archive.keep(files, start);
  await archive.close();
  const set = compilePolicySet({ model, rules: [{ file: 'rules.csv', text: `${rules.join('\n')}\n` }] });
  const log = new SqliteDecisionLog({ databasePath: database, mode: 'sync' });
  await log.start();
  let used;
  for (let n = 0; n < records; n += 8_192) {
    const waiting = [];
    for (let i = n; i < Math.min(records, n + 8_192); i++) {
      const now = start + Math.floor((i * 3_000_000) / records);
      const request = requestOf(i);
      const { decision, reason, obligations, errors } = set.decide(request, { now });
      if (decision === 'allow') used ??= reason.line - 1;
      waiting.push(
        log.append({
          id: log.nextId(now),
          time: now,
          policySet: 'set',
          policyVersion: set.version,
          engineVersion: '0.1.0',
          semantics: 2,
          request,
          clock: now,
          decision,
          reason,
          obligations,
          errors,
          caller: 'app',
          authentication: 'api_key',
          via: 'decide',
          requestId: `0199c2f6-${i.toString(16).padStart(8, '0')}`,
          durationUs: 12,
        }),
      );
    }
    await Promise.all(waiting);
  }
  await log.indexNow();
  await log.stop();
  setAt(join(home, 'after'), model, rules.toSpliced(used, 1));
  return { home, database };
}

/** Says at its end what it took: CPU of all threads in µs, and the most memory in KiB. */
const tell = `data:text/javascript,process.on('exit', () => { const u = process.resourceUsage(); process.stderr.write('used ' + (u.userCPUTime + u.systemCPUTime) + ' ' + u.maxRSS) })`;

function simulate(what, { home, database }) {
  const args = ['simulate', join(home, 'after'), '--policy-set', 'set', '--database', database, '--threads', '1'];
  const run = (more) => {
    const began = performance.now();
    const ran = spawnSync(process.execPath, ['--import', tell, cli, ...args, ...more, '--output', 'json'], {
      encoding: 'utf8',
      maxBuffer: 2 ** 28,
    });
    const [, cpu, memory] = /used (\d+) (\d+)/.exec(ran.stderr) ?? [];
    return {
      result: JSON.parse(ran.stdout),
      cpu: Number(cpu) / 1e6,
      seconds: (performance.now() - began) / 1e3,
      memory,
    };
  };
  // What starting and compiling take is in both.
  const nothing = run(['--to', '2020-01-01']);
  const all = run([]);
  const { answered, lost, complete } = all.result;
  const cpu = all.cpu - nothing.cpu;
  console.log(
    `${what}: ${Math.round(answered / cpu)} decisions a second of one core (${cpu.toFixed(1)} s of CPU for ${answered}, ` +
      `${(all.seconds - nothing.seconds).toFixed(1)} s by the clock), ${Math.round(all.memory / 1024)} MB, ${lost} lost, complete: ${complete}`,
  );
}

const question = (n, attributes) => ({
  subject: { type: 'user', id: `user${(n * 31_607) % 10_000}`, attributes: { department: 'sales', ...attributes } },
  action: { name: actions[n % actions.length] },
  resource: {
    type: 'data',
    id: `data${n % 2 === 0 ? (n * 31_607) % 500 : (n * 7) % 500}`,
    attributes: { amount: n % 50 },
  },
  attributes: { tenant: 'acme' },
});
simulate('questions that come again', await fill('again', roleModel, (n) => question(n % 10_000)));
simulate('each question another', await fill('other', roleModel, (n) => question(n, { session: `s-${n}` })));
simulate('a matcher that reads the clock', await fill('clock', readsClock, (n) => question(n)));
