/**
 * What it costs an application to ask: `npm run bench:clients [-- rounds seconds]`.
 *
 * 1. A route of a NestJS application (clients-app.mjs) that is open, guarded over HTTP with batches, and guarded within the
 *    process, each application a process of its own beside one built service. Compared is processor time an answered request:
 *    of the application alone, and with that of the service.
 * 2. One decision with its record, without an application: within the process, records sent and taken included, and over HTTP.
 *
 * Rounds alternate, so that what else the machine does hits all of them. Ratios carry over to other machines, absolute figures
 * do not. Nothing is asserted.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { VerdictClient } from '@verdict/client';
import { LocalVerdict } from '@verdict/client/local';
import { roleModel } from './role-model.mjs';
import { cpuMicroseconds, endAll, measure, median, startServer, startService } from './service.mjs';

const [rounds, seconds] = [Number(process.argv[2] ?? 5), Number(process.argv[3] ?? 3)];
const app = fileURLToPath(new URL('clients-app.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'verdict-bench-clients-'));
const question = {
  policySet: 'orders',
  subject: { type: 'user', id: 'ann' },
  action: 'read',
  resource: { type: 'order', id: '17' },
};
/** Fewer than wait for the service at most: none is lost. */
const localDecisions = 50_000;
const callsOverHttp = 5_000;
const connections = 64;

const set = join(folder, 'policies/orders');
mkdirSync(set, { recursive: true });
writeFileSync(join(set, 'model.conf'), roleModel);
writeFileSync(join(set, 'policy-set.yaml'), 'request:\n  obj: resource.type\nlocal: allowed\n');
writeFileSync(join(set, 'rules.csv'), 'p, clerk, order, read\np, clerk, order, write\ng, ann, clerk\n');

const service = await startService(join(folder, 'data/verdict.sqlite'), 'async', {
  VERDICT_POLICY_DIR: join(folder, 'policies'),
});
try {
  await compareRoutes();
  await compareDecisions();
} finally {
  await endAll([service.child]);
  rmSync(folder, { recursive: true, force: true });
}

async function compareRoutes() {
  const apps = {};
  for (const mode of ['open', 'http', 'local']) apps[mode] = await startServer([app, mode, service.url]);
  const results = Object.fromEntries(Object.keys(apps).map((mode) => [mode, []]));
  const load = { path: '/orders/17', bodies: ['{}'], connections, seconds };
  for (const each of Object.values(apps)) await measure(each, { ...load, seconds: 2 });
  for (let round = 0; round < rounds; round++) {
    for (const [mode, each] of Object.entries(apps)) {
      const before = cpuMicroseconds(service.child.pid);
      const result = await measure(each, load);
      const ofService = (cpuMicroseconds(service.child.pid) - before) / result.total;
      results[mode].push({ ...result, all: result.cpu + ofService });
    }
  }
  await endAll(Object.values(apps).map(({ child }) => child));
  console.log(`a route, ${connections} connections, ${rounds} rounds of ${seconds} s, µs of processor time a request`);
  const of = (mode, name) => median(results[mode].map((result) => result[name]));
  for (const mode of Object.keys(results)) {
    const ratio = (name) =>
      median(results[mode].map((result, round) => result[name] / results.open[round][name])).toFixed(2);
    console.log(
      `${mode.padEnd(6)} app ${of(mode, 'cpu').toFixed(1)} (${ratio('cpu')} ×), with the service ${of(mode, 'all').toFixed(1)} ` +
        `(${ratio('all')} ×), ${Math.round(of(mode, 'rate'))} requests/s, p99 ${of(mode, 'p99').toFixed(1)} ms`,
    );
  }
}

async function compareDecisions() {
  const local = await LocalVerdict.open({ baseUrl: service.url, policySets: ['orders'] });
  const client = new VerdictClient({ baseUrl: service.url, timeoutMs: 60_000 });
  const ratios = [];
  console.log('\none decision with its record, µs of processor time, its service included');
  for (let round = -1; round < rounds; round++) {
    const within = await spent(localDecisions, async () => {
      // In portions, as an application asks them: what is between is the sending of records.
      for (let done = 0; done < localDecisions; ) {
        for (let i = 0; i < 500; i++, done++) if (!local.can(question)) throw new Error('it was denied');
        await new Promise((resolve) => setImmediate(resolve));
      }
      while (local.unsent > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    });
    const over = await spent(callsOverHttp, async () => {
      const lane = async () => {
        for (let i = 0; i < callsOverHttp / connections; i++) {
          if (!(await client.can(question))) throw new Error('it was denied');
        }
      };
      await Promise.all(Array.from({ length: connections }, lane));
    });
    if (round < 0) continue;
    ratios.push(over.own / within.own);
    console.log(
      `local ${within.own.toFixed(2)} (its service ${within.service.toFixed(2)}), over HTTP ${over.own.toFixed(0)} ` +
        `(its service ${over.service.toFixed(0)}): ${(over.own / within.own).toFixed(0)} times as much`,
    );
  }
  await local.close();
  console.log(
    `median: over HTTP costs the application ${median(ratios).toFixed(0)} times as much as within its process`,
  );
}

/** Processor time for each of so many, of this process and of the service. */
async function spent(count, run) {
  const [own, ofService] = [process.cpuUsage(), cpuMicroseconds(service.child.pid)];
  await run();
  const { user, system } = process.cpuUsage(own);
  return { own: (user + system) / count, service: (cpuMicroseconds(service.child.pid) - ofService) / count };
}
