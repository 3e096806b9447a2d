// Verdict with its decision log beside Cerbos with its own: the same AuthZEN questions, in alternating rounds.
//
//   node test/bench/log-beside-cerbos.mjs [rounds] [seconds]     (npm run bench:log does it at its end)
//
// Cerbos is what npm has of it, in a folder that goes when this ends; where there is none for this machine, that is said
// and nothing is measured. Both answer from the same two rules, with 64 connections, each in a process of its own; compared is
// processor time (user and system, all threads) per answer, and answers per second. Linux only.

import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endAll, measure, median, startService } from './service.mjs';

const cerbosVersion = '0.55.0';
const self = fileURLToPath(import.meta.url);

/** 1,000 questions of a nurse, one in ten of them denied. Cerbos wants the roles in the question; our set knows them. */
const questions = Array.from({ length: 1_000 }, (_, i) =>
  JSON.stringify({
    subject: { type: 'user', id: 'dana', properties: { 'cerbos.roles': ['nurse'], department: 'ward 3' } },
    action: { name: i % 10 === 0 ? 'record' : 'read' },
    resource: { type: 'lab-result', id: `L-${i}` },
    context: { ip: '10.0.0.7' },
  }),
);

const load = { path: '/access/v1/evaluation', bodies: questions, connections: 64 };

/** The rules of policies/default about a lab result. */
const cerbosPolicy = `apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: lab-result
  version: default
  rules:
    - { actions: [read], effect: EFFECT_ALLOW, roles: [nurse, physician, chief-physician] }
    - { actions: [record], effect: EFFECT_ALLOW, roles: [laboratory] }
`;

if (process.argv[1] === self) await besideCerbos(...process.argv.slice(2).map(Number));

export async function besideCerbos(rounds = 5, seconds = 3) {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const started = [];
  try {
    const binary = installCerbos(directory);
    if (binary === undefined) {
      console.log(`\nno Cerbos ${cerbosVersion} for ${process.platform}-${process.arch}: not compared`);
      return;
    }
    const services = {
      verdict: await startService(join(directory, 'verdict.sqlite'), 'sync'),
      cerbos: await startCerbos(directory, binary),
    };
    started.push(...Object.values(services));
    const rows = { verdict: [], cerbos: [] };
    for (const [name, service] of Object.entries(services)) {
      await checkAnswers(name, service);
      await measure(service, { ...load, seconds });
    }
    for (let round = 0; round < rounds; round++)
      for (const [name, service] of Object.entries(services))
        rows[name].push(await measure(service, { ...load, seconds }));
    report(rows, rounds, seconds);
  } finally {
    await endAll(started.map(({ child }) => child));
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

/** What is compared must give the same answers. */
async function checkAnswers(name, { url }) {
  for (const [i, body] of questions.slice(0, 20).entries()) {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(url + load.path, { method: 'POST', headers, body });
    const { decision } = await response.json();
    if (decision !== (i % 10 !== 0)) throw new Error(`${name} answers ${decision} to ${body}`);
  }
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
