/** The built service as a process to be measured. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { load } from './load.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Starts the service with the bundled policies and no authentication, unless `env` says otherwise. */
export function startService(database, log, env = {}) {
  return startServer([join(root, 'dist/main.js')], {
    VERDICT_PORT: '0',
    VERDICT_AUTH: 'none',
    VERDICT_POLICY_DIR: join(root, 'policies'),
    VERDICT_DATABASE_URL: `sqlite:${database}`,
    VERDICT_DECISION_LOG: log,
    VERDICT_LOG_LEVEL: 'warn',
    ...env,
  });
}

/** Starts a server of ours and waits for its line `… listening on <url>`. */
export async function startServer(args, env = {}, stderr = 'inherit') {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', stderr],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listening on (http:\S+)/.exec(line)?.[1];
    if (url === undefined) continue;
    child.stdout.resume();
    return { child, url };
  }
  throw new Error(`${args[0]} did not start`);
}

/** Ends processes at once and waits until they are gone, since they write into their folders until then. */
export async function endAll(children) {
  await Promise.all(children.map((child) => child.exitCode === null && child.kill('SIGKILL') && once(child, 'exit')));
}

/**
 * Asks a process for some seconds (load.mjs), and returns what an answer cost it.
 *
 * @returns what `load` says, and `cpu`: processor time of the process, user and system, all threads, in µs an answer
 */
export async function measure({ child, url, headers }, { path, bodies, connections, seconds, pace }) {
  const before = cpuMicroseconds(child.pid);
  const result = await load({ url: url + path, bodies, connections, seconds, pace, headers });
  if (result.failed > 0) throw new Error(`${result.failed} requests failed`);
  return { ...result, cpu: (cpuMicroseconds(child.pid) - before) / result.total };
}

/** Fields 14 and 15 of /proc/<pid>/stat, in ticks of 10 ms. Linux only. */
export function cpuMicroseconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

export function percentile(values, share) {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * share)];
}

export function median(values) {
  return percentile(values, 0.5);
}
