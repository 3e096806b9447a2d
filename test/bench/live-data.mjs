/**
 * What live data costs: a start with it, one change among many, a decision beside one with the same links in a file, a
 * search after a change, and memory.
 *
 *     npm run bench:data
 */
import { cpus } from 'node:os';
import { compilePolicySet, compilePolicySetInSteps } from '../../dist/engine.js';
import { roleModel as model } from './role-model.mjs';

const domainModel = model
  .replace('r = sub, obj', 'r = sub, dom, obj')
  .replace('g = _, _', 'g = _, _, _')
  .replace('g(r.sub, p.sub)', 'g(r.sub, p.sub, r.dom)');

/** Ten users a role, and a role above each hundred. */
function linksOf(count, domains) {
  const links = [];
  for (let at = 0; at < count; at++) {
    const domain = domains === 0 ? [] : [`tenant${at % domains}`];
    if (at % 100 === 99) links.push(['g', `role${at % 5_000}`, 'everybody', ...domain]);
    else links.push(['g', `user:${at}`, `role${Math.floor(at / 10) % 5_000}`, ...domain]);
  }
  return links;
}

const rules = Array.from({ length: 5_000 }, (_, role) => `p, role${role}, data${role}, read`).join('\n');

function memory() {
  for (let turn = 0; turn < 3; turn++) global.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function inSteps(steps) {
  const pauses = [];
  const started = performance.now();
  for (let last = started; ; ) {
    const step = steps.next();
    const at = performance.now();
    pauses.push(at - last);
    last = at;
    if (step.done) return { value: step.value, ms: last - started, longest: Math.max(...pauses) };
  }
}

function median(times) {
  return times.sort((a, b) => a - b)[times.length >> 1];
}

/** CPU milliseconds of one change: the median and the dearest of `count`. */
function changes(set, count, change) {
  const took = [];
  let current = set;
  for (let turn = 0; turn < count; turn++) {
    const cpu = process.cpuUsage();
    current = current.change(change(turn)).set;
    const { user, system } = process.cpuUsage(cpu);
    took.push((user + system) / 1000);
  }
  return { current, median: median(took), most: took.at(-1) };
}

/** Microseconds a decision of each, in turns, the median of nine rounds. */
function decisions(count, ...calls) {
  const rounds = calls.map(() => []);
  for (let round = 0; round < 9; round++) {
    for (const [at, call] of calls.entries()) {
      const started = performance.now();
      for (let turn = 0; turn < count; turn++) call(turn);
      rounds[at].push(((performance.now() - started) * 1000) / count);
    }
  }
  return rounds.map(median);
}

console.log(`${cpus().length} × ${cpus()[0].model}, Node ${process.version}\n`);
for (const [label, text, domains, matching] of [
  ['no domains', model, 0, {}],
  ['1,000 domains', domainModel, 1_000, {}],
  ['1,000 domains, matched by keyMatch', domainModel, 1_000, { g: { domains: 'keyMatch' } }],
  ['names matched by keyMatch', model, 0, { g: 'keyMatch' }],
]) {
  for (const count of [100_000, 1_000_000]) {
    const links = linksOf(count, domains);
    const policy =
      domains === 0 ? rules : rules.replaceAll(/^p, (role\d+)/gm, 'p, $1').replaceAll(', data', ', tenant7, data');
    const sources = {
      model:
        domains === 0
          ? text
          : text.replace('p = sub, obj', 'p = sub, dom, obj').replace('&& r.obj', '&& r.dom == p.dom && r.obj'),
      rules: policy,
    };
    const manifest = { data: { roles: ['g'], entities: ['user'] }, roleMatching: matching };
    const before = memory();
    const started = inSteps(compilePolicySetInSteps({ ...sources, manifest, data: { roles: links } }));
    const bytes = memory() - before;
    const set = started.value;
    const domain = domains === 0 ? [] : ['tenant7'];
    const added = changes(set, 200, (turn) => ({ add: { roles: [['g', `new:${turn}`, `role${turn}`, ...domain]] } }));
    const entities = changes(added.current, 200, (turn) => ({
      add: { entities: [{ type: 'user', id: `new:${turn}`, attributes: { level: turn } }] },
    }));
    const removed = changes(entities.current, 200, (turn) => ({
      remove: { roles: [['g', `new:${turn}`, `role${turn}`, ...domain]] },
    }));
    const after = memory();
    const kept = [added.current, entities.current, removed.current];
    console.log(`${label}, ${count.toLocaleString('en')} links`);
    console.log(
      `  start ${(started.ms / 1000).toFixed(2)} s, longest step ${started.longest.toFixed(0)} ms, ` +
        `${(bytes / 2 ** 20).toFixed(0)} MB, ${Math.round(bytes / count)} bytes a link`,
    );
    for (const [what, { median, most }] of Object.entries({ added, entities, removed })) {
      console.log(`  one change (${what}): ${median.toFixed(3)} ms of CPU, the dearest ${most.toFixed(2)} ms`);
    }
    console.log(
      `  three versions of 200 changes each beside the first: ${((after - before - bytes) / 2 ** 20).toFixed(1)} MB`,
    );
    const query = {
      action: { name: 'read' },
      resource: { id: 'data7' },
      ...(domains > 0 && { attributes: { tenant: 'tenant7' } }),
    };
    if (matching.g !== 'keyMatch') {
      const searched = inSteps(kept[2].searchInSteps({ kind: 'subject', ...query }, { now: 0, limit: 20 }));
      console.log(
        `  a search after a change: ${searched.ms.toFixed(0)} ms, longest step ${searched.longest.toFixed(0)} ms`,
      );
      const inFile = compilePolicySet({
        ...sources,
        manifest,
        rules: `${policy}\n${links.map((link) => link.join(', ')).join('\n')}`,
      });
      const ask = (of) => (turn) => {
        const at = ((turn * 7_919) % count) - ((turn * 7_919) % 100 === 99 ? 1 : 0);
        const args = [
          `user:${at}`,
          ...(domains === 0 ? [] : [`tenant${at % domains}`]),
          `data${Math.floor(at / 10) % 5_000}`,
          'read',
        ];
        return of.enforce(args);
      };
      const [file, live] = decisions(20_000, ask(inFile), ask(kept[2]));
      console.log(`  a decision: ${live.toFixed(2)} µs, with the links in a file ${file.toFixed(2)} µs`);
    }
    console.log();
  }
}
