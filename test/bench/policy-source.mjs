/**
 * Policy sets in PostgreSQL: how long a replica takes until it listens with many of them, or with a large one, and what it
 * costs to look for changes while nothing changes.
 *
 *     npm run bench:source -- --sets 1000 --links 1000000 --idle 20
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
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
  },
});

const server = await startPostgres();
const folder = mkdtempSync(join(tmpdir(), 'verdict-source-'));
try {
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

async function measure(what, count, rulesOf) {
  const url = await server.createDatabase();
  const writer = await start(url, 'writer');
  let began = performance.now();
  for (let n = 0; n < count; n++) {
    const response = await fetch(`${writer.url}/v1/policy-sets/set-${n}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ files: { 'model.conf': model, 'rules.csv': rulesOf(n) } }),
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  }
  const wrote = performance.now() - began;
  await stop(writer);
  began = performance.now();
  const reader = await start(url, 'reader');
  const ready = performance.now() - began;
  await delay(2_000);
  const cpu = cpuMicroseconds(reader.child.pid);
  await delay(Number(values.idle) * 1_000);
  const share = (cpuMicroseconds(reader.child.pid) - cpu) / (Number(values.idle) * 1_000_000);
  const written = `written in ${(wrote / 1_000).toFixed(1)} s`;
  console.log(
    `${what}: ${written}; listens after ${(ready / 1_000).toFixed(1)} s; idle ${(share * 100).toFixed(2)} % of a core`,
  );
  await stop(reader);
}

async function start(databaseUrl, name) {
  return startServer(
    [join(root, 'dist/main.js')],
    {
      VERDICT_PORT: '0',
      VERDICT_AUTH: 'none',
      VERDICT_POLICY_SOURCE: 'database',
      VERDICT_DATABASE_URL: databaseUrl,
      VERDICT_SPOOL_DIR: join(folder, `${name}-${performance.now()}`),
      VERDICT_LOG_LEVEL: 'warn',
    },
    'ignore',
  );
}

async function stop({ child }) {
  child.kill('SIGTERM');
  await once(child, 'exit');
}
