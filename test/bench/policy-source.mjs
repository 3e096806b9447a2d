/**
 * Policy sets in PostgreSQL: how long a replica takes until it listens with many of them, or with a large one, what it
 * costs to look for changes while nothing changes, and what single changes of live data cost each replica.
 * A replica that is idle does more than that: it ships its log, tells the fleet of itself, and measures. So one with a single
 * set from a directory is measured beside it, and what is above that is the source's.
 *
 *     npm run bench:source -- --sets 1000 --links 1000000 --idle 20 --data 100000 --changes 1000
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startPostgres } from './postgres.mjs';
import { roleModel as model } from './role-model.mjs';
import { cpuMicroseconds, root, startServer } from './service.mjs';

const { values } = parseArgs({
  options: {
    sets: { type: 'string', default: '1000' },
    links: { type: 'string', default: '1000000' },
    idle: { type: 'string', default: '20' },
    data: { type: 'string', default: '100000' },
    changes: { type: 'string', default: '1000' },
  },
});

const server = await startPostgres();
const folder = mkdtempSync(join(tmpdir(), 'verdict-source-'));
const plainPolicies = join(folder, 'policies');
mkdirSync(join(plainPolicies, 'acl'), { recursive: true });
writeFileSync(join(plainPolicies, 'acl/model.conf'), model);
writeFileSync(join(plainPolicies, 'acl/rules.csv'), 'p, role-0, doc, read\n');
try {
  await measureData(Number(values.data), Number(values.changes));
  await measure(`${values.sets} sets of 20 rules`, Number(values.sets), (n) =>
    Array.from({ length: 20 }, (_, rule) => `p, role-${rule}, doc-${n}-${rule}, read\n`)
      .join('')
      .concat('g, ana, role-1\n'),
  );
  const links = Number(values.links);
  await measure(`one set of ${links} links`, 1, () => {
    const lines = ['p, role-0, doc, read\n'];
    for (let n = 0; n < links; n++) lines.push(`g, u${n.toString(36)}, role-${n % 1_000}\n`);
    return lines.join('');
  });
} finally {
  await server.remove();
  rmSync(folder, { recursive: true, force: true });
}

/** Live data: links that are imported, then changed one by one while three replicas follow. */
async function measureData(links, changes) {
  const url = await server.createDatabase();
  const replicas = [await start(url, 'one'), await start(url, 'two'), await start(url, 'three')];
  const [writer] = replicas;
  const files = {
    'model.conf': model,
    'rules.csv': 'p, role-0, doc, read\n',
    'policy-set.yaml': 'data: { roles: [g] }\n',
  };
  await send(writer, 'PUT', '/v1/policy-sets/live', { files });
  const linkOf = (n) => ['g', `u${n.toString(36)}`, `role-${n % 1_000}`];
  let began = performance.now();
  for (let from = 0; from < links; from += 10_000) {
    const roles = Array.from({ length: Math.min(10_000, links - from) }, (_, n) => linkOf(from + n));
    await send(writer, 'POST', '/v1/policy-sets/live/changes', { add: { roles } });
  }
  const imported = performance.now() - began;
  const until = async (replica, revision) => {
    for (;;) {
      const seen = await send(replica, 'GET', '/v1/policy-sets/live');
      if (seen.revision >= revision) return performance.now();
      await delay(5);
    }
  };
  const { revision } = await send(writer, 'GET', '/v1/policy-sets/live');
  for (const replica of replicas) await until(replica, revision);
  await delay(5_000);
  const before = await server.sizeOf(url);
  const cpu = replicas.map(({ child }) => cpuMicroseconds(child.pid));
  const followed = [];
  began = performance.now();
  for (let n = 0; n < changes; n++) {
    const roles = [linkOf(links + n)];
    const written = await send(
      writer,
      'POST',
      '/v1/policy-sets/live/changes',
      n % 2 ? { remove: { roles } } : { add: { roles } },
    );
    // Some are followed: to ask costs the replicas more than to follow.
    if (n % 50 !== 0) continue;
    const at = performance.now();
    for (const replica of replicas.slice(1)) followed.push((await until(replica, written.revision)) - at);
  }
  const took = performance.now() - began;
  await delay(2_000);
  const spent = replicas.map(({ child }, n) => (cpuMicroseconds(child.pid) - cpu[n]) / changes / 1_000);
  const grown = (await server.sizeOf(url)) - before;
  followed.sort((a, b) => a - b);
  console.log(
    [
      `${links} links as live data: imported in ${(imported / 1_000).toFixed(1)} s`,
      `${changes} single changes in ${(took / 1_000).toFixed(1)} s`,
      `known elsewhere after ${followed.at(followed.length >> 1).toFixed(0)} ms, at most ${followed.at(-1).toFixed(0)} ms`,
      `CPU a change: ${spent.map((ms) => ms.toFixed(1)).join(', ')} ms (the first one writes)`,
      `the database grew by ${(grown / 1_048_576).toFixed(1)} MiB`,
    ].join('; '),
  );
  for (const replica of replicas) await stop(replica);
}

async function send({ url }, method, path, body) {
  const response = await fetch(url + path, {
    method,
    ...(body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

async function measure(what, count, rulesOf) {
  const url = await server.createDatabase();
  const writer = await start(url, 'writer');
  let began = performance.now();
  const write = async (n) => {
    const response = await fetch(`${writer.url}/v1/policy-sets/set-${n}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ files: { 'model.conf': model, 'rules.csv': rulesOf(n) } }),
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  };
  let next = 0;
  // As many as one caller may have waiting, less one.
  const writing = [0, 1, 2].map(async () => {
    while (next < count) await write(next++);
  });
  await Promise.all(writing);
  const wrote = performance.now() - began;
  await stop(writer);
  began = performance.now();
  const reader = await start(url, 'reader');
  const ready = performance.now() - began;
  const plain = await start(await server.createDatabase(), 'plain', { VERDICT_POLICY_SOURCE: 'directory' });
  const [idle, plainIdle] = await idleShares([reader, plain]);
  const written = `written in ${(wrote / 1_000).toFixed(1)} s`;
  console.log(
    `${what}: ${written}; listens after ${(ready / 1_000).toFixed(1)} s; idle ${percent(idle)} of a core, ` +
      `a replica with one set from a directory ${percent(plainIdle)}, so the source ${percent(idle - plainIdle)}`,
  );
  await Promise.all([stop(reader), stop(plain)]);
}

/** Shares of a core that services take side by side while nobody asks them, after what follows a start. */
async function idleShares(services) {
  // A replica writes its copy of the sets when it serves them.
  await delay(5_000);
  const used = () => services.map(({ child }) => cpuMicroseconds(child.pid));
  const [before, began] = [used(), performance.now()];
  await delay(Number(values.idle) * 1_000);
  const passed = performance.now() - began;
  return used().map((cpu, n) => (cpu - before[n]) / (passed * 1_000));
}

function percent(share) {
  return `${(share * 100).toFixed(2)} %`;
}

async function start(databaseUrl, name, env = {}) {
  return startServer(
    [join(root, 'dist/main.js')],
    {
      VERDICT_PORT: '0',
      VERDICT_AUTH: 'none',
      VERDICT_POLICY_SOURCE: 'database',
      VERDICT_DATABASE_URL: databaseUrl,
      VERDICT_SPOOL_DIR: join(folder, `${name}-${performance.now()}`),
      VERDICT_LOG_LEVEL: 'warn',
      VERDICT_POLICY_DIR: plainPolicies,
      ...env,
    },
    'ignore',
  );
}

async function stop({ child }) {
  child.kill('SIGTERM');
  await once(child, 'exit');
}
