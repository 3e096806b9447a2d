/**
 * `npm run abuse [-- --seconds 8] [name …]`: one attacker after another beside a client that means well and asks 500 times
 * a second (P10). For each it prints how long the client waited, what went wrong for it, and the most memory that the
 * service's process had. Wanted is a p99 of 50 ms and 512 MB in every row; nothing is asserted, since the figures are those
 * of the machine too: attacker, client and service share its processors. The first row says what the client waits for a
 * server of Node's that does nothing: where that is more than 2 ms, the machine is slower than the one that the 50 ms are for.
 *
 * Each row has a service of its own, the built one, with callers who authenticate by API key, and (where the row reads the
 * log) a log that is filled first.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { endAll, root, startServer } from '../bench/service.mjs';
import { attackers } from './attackers.mjs';

const clientRate = 500;
const wantedMs = 50;
const wantedMb = 512;
/** Rows that read the log find this many records. */
const filledRecords = 200_000;
const readingAttacks = ['counts over the log', 'exports', 'pages not read'];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '8' } },
});
const seconds = Number(values.seconds);
const { makeApiKey, digestOf } = await import(new URL('../../dist/auth/api-key.js', import.meta.url).href);

console.log(
  `${clientRate} decisions a second for ${seconds} s beside each; wanted: p99 ≤ ${wantedMs} ms, memory ≤ ${wantedMb} MB\n`,
);
console.log(
  '| attacker | p50 ms | p99 ms | max ms | answers | errors | memory MB | |\n|---|--:|--:|--:|--:|---|--:|---|',
);
await floor();
for (const name of positionals.length > 0 ? positionals : attackers) await row(name);

/** What the client waits where nothing is done for it, and nobody attacks. */
async function floor() {
  const { child, url } = await startServer([fileURLToPath(new URL('bare-server.mjs', import.meta.url))], {}, 'ignore');
  try {
    const client = await run('client.mjs', { url, key: 'none', seconds, rate: clientRate });
    print('(nobody, a bare server)', JSON.parse(client), peakMegabytes(child.pid));
  } finally {
    await endAll([child]);
  }
}

async function row(name) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-abuse-'));
  const keys = { client: makeApiKey('prod'), attacker: makeApiKey('prod') };
  const { child, url } = await startServer([join(root, 'dist/main.js')], environment(directory, keys), 'ignore');
  try {
    if (readingAttacks.includes(name)) await fill(url, keys.client);
    const attack = run('attackers.mjs', { name, url, key: keys.attacker, seconds: seconds + 6 });
    const client = await run('client.mjs', { url, key: keys.client, seconds, rate: clientRate });
    const memory = peakMegabytes(child.pid);
    await attack;
    print(name, JSON.parse(client), memory);
  } finally {
    await endAll([child]);
    rmSync(directory, { recursive: true, force: true });
  }
}

function environment(directory, keys) {
  const policies = join(directory, 'policies');
  const model = readFileSync(join(root, 'test/abuse/model.conf'), 'utf8');
  for (const [set, rules] of [
    ['default', 'p, ann, doc, read\n'],
    ['dear', dearRules()],
  ]) {
    mkdirSync(join(policies, set), { recursive: true });
    const dear = set === 'dear';
    writeFileSync(join(policies, set, 'model.conf'), dear ? model : model.replace(/hasRole\(.*?\)/, 'r.sub == p.sub'));
    writeFileSync(join(policies, set, 'rules.csv'), rules);
  }
  const users = Array.from(
    { length: 5_000 },
    (_, n) => `- {type: user, id: u${n}, attributes: {roles: [role-${n % 500}]}}\n`,
  );
  writeFileSync(join(policies, 'dear', 'entities.yaml'), users.join(''));
  const keysFile = join(directory, 'keys.yaml');
  writeFileSync(
    keysFile,
    Object.entries(keys)
      .map(([name, key]) => `- {name: ${name}, sha256: ${digestOf(key)}, scopes: [decide, "decisions:read"]}\n`)
      .join(''),
  );
  return {
    VERDICT_PORT: '0',
    VERDICT_POLICY_DIR: policies,
    VERDICT_DATABASE_URL: `sqlite:${join(directory, 'data', 'verdict.sqlite')}`,
    VERDICT_API_KEYS_FILE: keysFile,
    VERDICT_LOG_LEVEL: 'fatal',
  };
}

/** Rules whose condition looks at a list of roles that comes with the request. */
function dearRules() {
  const rules = Array.from({ length: 3_000 }, (_, n) => `p, needed-${n}, doc, read\n`);
  const roles = Array.from({ length: 500 }, (_, n) => `g, role-${n}, team-${n % 50}\n`);
  return rules.concat(roles).join('');
}

async function fill(url, key) {
  const requests = Array.from({ length: 10_000 }, (_, n) => ({
    subject: `user-${n}`,
    action: 'read',
    resource: `doc-${n % 500}`,
  }));
  for (let filled = 0; filled < filledRecords; filled += requests.length) {
    const response = await fetch(`${url}/v1/decide/batch`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ requests }),
    });
    if (!response.ok) throw new Error(await response.text());
    await response.arrayBuffer();
  }
}

function run(script, argument) {
  const child = spawn(process.execPath, [fileURLToPath(new URL(script, import.meta.url)), JSON.stringify(argument)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return new Promise((resolve) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    child.on('close', () => resolve(text));
  });
}

/** The most that the process ever had in memory. Linux only. */
function peakMegabytes(pid) {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
}

function print(name, { p50, p99, max, answers, errors }, memory) {
  const wrong = Object.entries(errors).map(([what, count]) => `${count} × ${what}`);
  const verdict = p99 <= wantedMs && memory <= wantedMb && wrong.length === 0 ? 'ok' : '—';
  const cells = [p50.toFixed(1), p99.toFixed(1), max.toFixed(0), answers, wrong.join(', '), memory.toFixed(0), verdict];
  console.log(`| ${name} | ${cells.join(' | ')} |`);
}
