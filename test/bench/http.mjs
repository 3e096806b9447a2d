/**
 * What a decision costs beside a bare Fastify route that returns the same JSON: `npm run bench:http [-- rounds seconds]`.
 *
 * The built service (log off, log sync) and the bare route run as processes of their own, the load (autocannon, 64
 * connections) in another. They are measured in alternating rounds, so that what else the machine does hits all of them;
 * compared is the processor time (user + system, all threads) per answered request. Ratios carry over to other machines,
 * absolute figures do not. Nothing is asserted.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { fastify } from 'fastify';

const CONNECTIONS = 64;
const self = fileURLToPath(import.meta.url);
const root = fileURLToPath(new URL('../..', import.meta.url));
const body = JSON.stringify({
  subject: { type: 'user', id: 'dana', attributes: { department: 'ward 3' } },
  action: 'read',
  resource: { type: 'lab-result', id: 'L-2231' },
  attributes: { ip: '10.0.0.7' },
});

const [mode, ...rest] = process.argv.slice(2);
if (mode === '--bare') await serveBare(JSON.parse(rest[0]));
else if (mode === '--load') await load(rest[0], Number(rest[1]));
else await main(Number(mode ?? 5), Number(rest[0] ?? 3));

async function serveBare(answer) {
  const app = fastify();
  app.post('/v1/decide', () => answer);
  process.stdout.write(`bare listening on ${await app.listen({ port: 0, host: '127.0.0.1' })}\n`);
}

async function load(url, seconds) {
  const { requests, latency, non2xx, errors } = await autocannon({
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    connections: CONNECTIONS,
    duration: seconds,
  });
  process.stdout.write(`${JSON.stringify({ total: requests.total, p99: latency.p99, failed: non2xx + errors })}\n`);
}

async function main(rounds, seconds) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const service = (log) =>
    start([join(root, 'dist/main.js')], {
      VERDICT_PORT: '0',
      VERDICT_AUTH: 'none',
      VERDICT_POLICY_DIR: join(root, 'policies'),
      VERDICT_DATABASE_URL: `sqlite:${join(directory, log, 'verdict.sqlite')}`,
      VERDICT_DECISION_LOG: log,
      VERDICT_LOG_LEVEL: 'warn',
    });
  const off = await service('off');
  const answer = await decide(off.url);
  console.log(`${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s; the answer: ${JSON.stringify(answer)}\n`);
  const subjects = {
    'bare Fastify': await start([self, '--bare', JSON.stringify(answer)]),
    'decide, log off': off,
    'decide, log sync': await service('sync'),
  };
  const results = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
  for (const subject of Object.values(subjects)) await measure(subject, 2);
  for (let round = 0; round < rounds; round++) {
    for (const [name, subject] of Object.entries(subjects)) results[name].push(await measure(subject, seconds));
  }
  for (const { child } of Object.values(subjects)) child.kill();
  rmSync(directory, { recursive: true, force: true });
  report(results);
}

/** Starts a server and waits for its line `… listening on <url>`. */
async function start(args, env = {}) {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listening on (http:\S+)/.exec(line)?.[1];
    if (url !== undefined) return { child, url: `${url}/v1/decide` };
  }
  throw new Error(`${args[0]} did not start`);
}

async function decide(url) {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

async function measure({ child, url }, seconds) {
  const before = cpuMicroseconds(child.pid);
  const loader = spawn(process.execPath, [self, '--load', url, String(seconds)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  for await (const chunk of loader.stdout) output += chunk;
  const { total, p99, failed } = JSON.parse(output);
  if (failed > 0) throw new Error(`${failed} requests failed`);
  return { cpu: (cpuMicroseconds(child.pid) - before) / total, rate: total / seconds, p99 };
}

/** User and system time of a process and all its threads: fields 14 and 15 of /proc/<pid>/stat, in ticks of 10 ms. */
function cpuMicroseconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function report(results) {
  const bare = median(results['bare Fastify'].map(({ cpu }) => cpu));
  for (const [name, rounds] of Object.entries(results)) {
    const cpu = median(rounds.map((round) => round.cpu));
    // The ratio of each round to the bare route next to it, then the median: a noisy spell counts once.
    const ratio = median(rounds.map((round, index) => round.cpu / results['bare Fastify'][index].cpu));
    const rate = median(rounds.map((round) => round.rate));
    const p99 = median(rounds.map((round) => round.p99));
    console.log(
      `${name.padEnd(18)} ${cpu.toFixed(1).padStart(6)} µs CPU/request (${(cpu - bare).toFixed(1).padStart(5)} over)   ${ratio.toFixed(2)} × bare   ${Math.round(rate)} requests/s, p99 ${p99} ms`,
    );
  }
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}
