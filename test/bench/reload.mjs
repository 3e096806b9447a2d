/**
 * What reloads cost those who are asking: latency without reloads, while two small versions are swapped all the time,
 * and while a set of many rules is loaded again and again. Run after `npm run build`:
 *
 *     node test/bench/reload.mjs [rules, by default 100000] [seconds for each, by default 5]
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { roleModel as model } from './role-model.mjs';
import { endAll, measure as measureLoad, startService } from './service.mjs';

const rules = Number(process.argv[2] ?? 100_000);
const seconds = Number(process.argv[3] ?? 5);
const connectionCount = 64;

const root = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
const policies = join(root, 'policies');

function writeVersion(name, files) {
  mkdirSync(join(root, name));
  for (const [path, text] of Object.entries(files)) writeFileSync(join(root, name, path), text);
}

/** Puts a version in place in one step. */
function point(set, name) {
  symlinkSync(join(root, name), join(root, 'next'));
  renameSync(join(root, 'next'), join(policies, set));
}

mkdirSync(policies);
for (const reader of ['alice', 'bob']) {
  writeVersion(`small-${reader}`, { 'model.conf': model, 'rules.csv': `p, ${reader}, data1, read\n` });
  const many = Array.from({ length: rules }, (_, i) => `p, role${i % 1000}, data${i}, read\n`).join('');
  const links = Array.from({ length: 10_000 }, (_, i) => `g, user${i}, role${i % 1000}\n`).join('');
  writeVersion(`many-${reader}`, { 'model.conf': model, 'rules.csv': `${many}${links}p, ${reader}, data1, write\n` });
}
point('small', 'small-alice');
point('many', 'many-alice');

const service = await startService(join(root, 'verdict.sqlite'), 'sync', { VERDICT_POLICY_DIR: policies });
const question = { subject: 'alice', action: 'read', resource: 'data1', policySet: 'small' };
const load = { path: '/v1/decide', bodies: [JSON.stringify(question)], connections: connectionCount, seconds };

/** Asks over many connections and meanwhile swaps a set between its two versions at a fixed interval. */
async function measure(title, swap) {
  let swaps = 0;
  const timer =
    swap && setInterval(() => point(swap.set, `${swap.set}-${swaps++ % 2 === 0 ? 'bob' : 'alice'}`), swap.everyMs);
  const latency = await measureLoad(service, load);
  clearInterval(timer);
  const figures = `p50 ${latency.p50.toFixed(1)} ms, p99 ${latency.p99.toFixed(1)} ms, max ${latency.max.toFixed(0)} ms, ${latency.rate.toFixed(0)}/s`;
  process.stdout.write(`${title.padEnd(44)} ${figures}, ${swaps} swaps\n`);
  return latency;
}

try {
  await measure('warming up');
  const still = await measure('no reload');
  const small = await measure('a small set, every 200 ms', { set: 'small', everyMs: 200 });
  const many = await measure(`a set of ${rules} rules, every 2 s`, { set: 'many', everyMs: 2_000 });
  process.stdout.write(
    `p99 with swaps / without: ${(small.p99 / still.p99).toFixed(2)} (small), ${(many.p99 / still.p99).toFixed(2)} (many); longest stop while loading many: ${many.max.toFixed(0)} ms\n`,
  );
} finally {
  await endAll([service.child]);
  rmSync(root, { recursive: true });
}
