// Verdict with its decision log beside Cerbos with its own: the same AuthZEN questions, in alternating rounds.
//
//   node test/bench/log-beside-cerbos.mjs [rounds] [seconds]     (npm run bench:log does it at its end)
//
// Cerbos is what npm has of it, in a folder that goes when this ends; where there is none for this machine, that is said
// and nothing is measured. Both answer from the same two rules, with 64 connections, each in a process of its own; compared is
// processor time (user and system, all threads) per answer, and answers per second. Linux only.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';

const cerbosVersion = '0.55.0';
const self = fileURLToPath(import.meta.url);
const root = fileURLToPath(new URL('../..', import.meta.url));

/** 1,000 questions of a nurse, one in ten of them denied. Cerbos wants the roles in the question; our set knows them. */
const questions = Array.from({ length: 1_000 }, (_, i) =>
  JSON.stringify({
    subject: { type: 'user', id: 'dana', properties: { 'cerbos.roles': ['nurse'], department: 'ward 3' } },
    action: { name: i % 10 === 0 ? 'record' : 'read' },
    resource: { type: 'lab-result', id: `L-${i}` },
    context: { ip: '10.0.0.7' },
  }),
);

/** The rules of policies/default about a lab result. */
const cerbosPolicy = `apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: lab-result
  version: default
  rules:
    - { actions: [read], effect: EFFECT_ALLOW, roles: [nurse, physician, chief-physician] }
    - { actions: [record], effect: EFFECT_ALLOW, roles: [laboratory] }
`;

const [mode, ...rest] = process.argv[1] === self ? process.argv.slice(2) : ['imported'];
if (mode === '--load') await load(rest[0], Number(rest[1]));
else if (mode !== 'imported') await besideCerbos(Number(mode ?? 5), Number(rest[0] ?? 3));

export async function besideCerbos(rounds = 5, seconds = 3) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const started = [];
  try {
    const binary = installCerbos(directory);
    if (binary === undefined) {
      console.log(`\nno Cerbos ${cerbosVersion} for ${process.platform}-${process.arch}: not compared`);
      return;
    }
    const services = { verdict: await startVerdict(directory), cerbos: await startCerbos(directory, binary) };
    started.push(...Object.values(services));
    const rows = { verdict: [], cerbos: [] };
    for (const [name, service] of Object.entries(services)) {
      await checkAnswers(name, service);
      await measure(service, seconds);
    }
    for (let round = 0; round < rounds; round++)
      for (const [name, service] of Object.entries(services)) rows[name].push(await measure(service, seconds));
    report(rows, rounds, seconds);
  } finally {
    // They write into the folder until they are gone.
    await Promise.all(started.map(({ child }) => child.kill('SIGKILL') && once(child, 'exit')));
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

function report(rows, rounds, seconds) {
  console.log(`\nBeside Cerbos ${cerbosVersion} with its local audit log, median of ${rounds} rounds of ${seconds} s:`);
  const table = Object.entries(rows).map(([name, list]) => ({
    '': name,
    'CPU, µs a decision': median(list.map(({ cpu }) => cpu)).toFixed(0),
    'decisions a second': median(list.map(({ rate }) => rate)).toFixed(0),
    'p99, ms': median(list.map(({ p99 }) => p99)).toFixed(1),
  }));
  console.table(table);
  const ratio = (field) => median(rows.verdict.map((row, i) => row[field] / rows.cerbos[i][field])).toFixed(2);
  console.log(`verdict / cerbos: CPU ${ratio('cpu')} (at most 0.25), throughput ${ratio('rate')} (at least 2.5)`);
}

function installCerbos(directory) {
  const name = `@cerbos/cerbos-${process.platform}-${process.arch}`;
  const install = ['install', '--no-save', '--ignore-scripts', '--prefix', directory, `${name}@${cerbosVersion}`];
  try {
    execFileSync('npm', install, { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return join(directory, 'node_modules', name, name.slice('@cerbos/'.length));
}

async function startCerbos(directory, binary) {
  const [http, grpc] = [await freePort(), await freePort()];
  mkdirSync(join(directory, 'cerbos-policies'));
  writeFileSync(join(directory, 'cerbos-policies/lab-result.yaml'), cerbosPolicy);
  const config = {
    server: { httpListenAddr: `127.0.0.1:${http}`, grpcListenAddr: `127.0.0.1:${grpc}` },
    storage: { driver: 'disk', disk: { directory: join(directory, 'cerbos-policies') } },
    audit: {
      enabled: true,
      accessLogsEnabled: false,
      decisionLogsEnabled: true,
      backend: 'local',
      local: { storagePath: join(directory, 'cerbos-audit') },
    },
    telemetry: { disabled: true },
  };
  // JSON is YAML too.
  writeFileSync(join(directory, 'cerbos.yaml'), JSON.stringify(config));
  const flags = ['--debug-listen-addr=', '--log-level=error'];
  const child = spawn(binary, ['server', `--config=${join(directory, 'cerbos.yaml')}`, ...flags], { stdio: 'ignore' });
  const url = `http://127.0.0.1:${http}`;
  for (let attempt = 0; attempt < 100; attempt++) {
    const health = await fetch(`${url}/_cerbos/health`).catch(() => undefined);
    if (health?.ok) return { child, url };
    await delay(100);
  }
  child.kill();
  throw new Error('Cerbos did not start');
}

async function startVerdict(directory) {
  const child = spawn(process.execPath, [join(root, 'dist/main.js')], {
    cwd: root,
    env: {
      PATH: process.env.PATH,
      VERDICT_PORT: '0',
      VERDICT_AUTH: 'none',
      VERDICT_POLICY_DIR: join(root, 'policies'),
      VERDICT_DATABASE_URL: `sqlite:${join(directory, 'verdict.sqlite')}`,
      VERDICT_DECISION_LOG: 'sync',
      VERDICT_LOG_LEVEL: 'warn',
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listening on (http:\S+)/.exec(line)?.[1];
    if (url === undefined) continue;
    child.stdout.resume();
    return { child, url };
  }
  throw new Error('the service did not start');
}

/** What is compared must give the same answers. */
async function checkAnswers(name, { url }) {
  for (const [i, body] of questions.slice(0, 20).entries()) {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${url}/access/v1/evaluation`, { method: 'POST', headers, body });
    const { decision } = await response.json();
    if (decision !== (i % 10 !== 0)) throw new Error(`${name} answers ${decision} to ${body}`);
  }
}

async function measure({ child, url }, seconds) {
  const before = cpuMicroseconds(child.pid);
  const loader = spawn(process.execPath, [self, '--load', url, String(seconds)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  for await (const chunk of loader.stdout) output += chunk;
  const { total, rate, p99, failed } = JSON.parse(output);
  if (failed > 0) throw new Error(`${failed} requests failed`);
  return { cpu: (cpuMicroseconds(child.pid) - before) / total, rate, p99 };
}

async function load(url, seconds) {
  const { requests, latency, non2xx, errors, duration } = await autocannon({
    url: `${url}/access/v1/evaluation`,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    requests: questions.map((body) => ({ body })),
    connections: 64,
    duration: seconds,
  });
  const result = { total: requests.total, rate: requests.total / duration, p99: latency.p99, failed: non2xx + errors };
  process.stdout.write(JSON.stringify(result));
}

/** User and system time of a process and all its threads: fields 14 and 15 of /proc/<pid>/stat, in ticks of 10 ms. */
function cpuMicroseconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** Free a moment ago; Cerbos does not say which port it got. */
function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function median(list) {
  return [...list].sort((a, b) => a - b)[Math.floor((list.length - 1) / 2)];
}
