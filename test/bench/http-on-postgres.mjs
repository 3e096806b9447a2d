/**
 * What decisions cost with PostgreSQL, in alternating rounds as `http.mjs`, which runs this:
 *
 *   npm run bench:http -- --workers [rounds seconds]   // two workers beside one process, the load on the same cores
 *   npm run bench:http -- --limits [rounds seconds]    // a rate that all replicas share, beside none
 *
 * It starts a PostgreSQL of its own, whose processor time is printed apart. Nothing is asserted.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { load } from './load.mjs';
import { startPostgres } from './postgres.mjs';
import { cpuMicroseconds, endAll, median, root, startService } from './service.mjs';

const connections = 64;
/** Longer than the shipper waits for company: what a round left is shipped in the time of that round. */
const settleMs = 600;
/** Until the code of each worker is compiled, which gets its part of the load alone. */
const warmUpSeconds = 6;

/** @param subject its processes are those of the service: the one that was started, and its workers */
async function measureAll(subject, postgres, spec) {
  const pids = [subject.child.pid, ...childrenOf(subject.child.pid)];
  const before = pids.map(cpuMicroseconds);
  const postgresBefore = postgres.cpu();
  const result = await load({ ...spec, connections, url: subject.url + spec.path, headers: subject.headers });
  if (result.failed > 0) throw new Error(`${result.failed} requests failed`);
  await delay(settleMs);
  const each = pids.map((pid, n) => (cpuMicroseconds(pid) - before[n]) / result.total);
  return {
    ...result,
    cpu: each.reduce((sum, cpu) => sum + cpu),
    // The primary, which comes first, serves nothing.
    ofPrimary: each[0],
    ofWorkers: each.slice(1),
    postgres: (postgres.cpu() - postgresBefore) / result.total,
  };
}

function childrenOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);
}

/** Starts what `subjects` says, measures them in turn, and returns the results of the rounds by name. */
async function inRounds(rounds, seconds, subjects, spec) {
  const folder = mkdtempSync(join(tmpdir(), 'verdict-bench-'));
  const postgres = await startPostgres();
  const started = {};
  try {
    for (const [name, start] of Object.entries(subjects)) started[name] = await start(folder, postgres);
    const results = Object.fromEntries(Object.keys(started).map((name) => [name, []]));
    for (const subject of Object.values(started))
      await measureAll(subject, postgres, { ...spec, seconds: warmUpSeconds });
    for (let round = 0; round < rounds; round++) {
      // Who comes first changes, since a machine is not the same at the beginning of a round and at its end.
      const names = round % 2 === 0 ? Object.keys(started) : Object.keys(started).reverse();
      for (const name of names) results[name].push(await measureAll(started[name], postgres, { ...spec, seconds }));
    }
    return results;
  } finally {
    const children = Object.values(started).map(({ child }) => child);
    for (const { child } of Object.values(started))
      for (const pid of childrenOf(child.pid)) process.kill(pid, 'SIGKILL');
    await endAll(children);
    await postgres.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

function onPostgres(name, log, env = {}) {
  return async (folder, postgres) =>
    startService('', log, {
      VERDICT_DATABASE_URL: await postgres.createDatabase(),
      VERDICT_SPOOL_DIR: join(folder, name),
      VERDICT_INSTANCE: 'bench',
      ...env,
    });
}

export async function compareWorkers(rounds, seconds, spec) {
  for (const log of ['off', 'sync']) {
    const workers = (count) => onPostgres(`${log}-${count}`, log, { VERDICT_WORKERS: String(count) });
    const results = await inRounds(rounds, seconds, { 'one process': workers(1), 'two workers': workers(2) }, spec);
    console.log(`log ${log}: ${connections} connections, ${rounds} rounds of ${seconds} s, the load on the same cores`);
    report(results);
    const [one, two] = Object.values(results);
    const throughput = ratio(two, one, ({ rate }) => rate);
    const split = median(two.map(({ ofWorkers }) => Math.max(...ofWorkers) / Math.min(...ofWorkers)));
    const share = (of) => `${Math.round(100 * median(two.map((round) => of(round) / round.cpu)))} %`;
    const shares = [0, 1].map((n) => share(({ ofWorkers }) => ofWorkers[n]));
    console.log(
      `two workers: ${throughput.toFixed(2)} × the throughput, ${ratio(two, one, ({ cpu }) => cpu).toFixed(2)} × the CPU a decision; ` +
        `the workers take ${shares.join(' and ')} of it, the primary ${share(({ ofPrimary }) => ofPrimary)}; ` +
        `the busier worker has ${split.toFixed(2)} × the CPU of the other\n`,
    );
  }
}

export async function compareLimits(rounds, seconds, spec, rateLimit) {
  const { digestOf, makeApiKey } = await import(join(root, 'dist/auth/api-key.js'));
  const key = makeApiKey('prod');
  const withKey = (start) => async (folder, postgres) => {
    const file = join(folder, 'keys.yaml');
    writeFileSync(file, `- {name: shop, sha256: ${digestOf(key)}, scopes: ["decide:default"]}`);
    const env = { VERDICT_AUTH: 'required', VERDICT_API_KEYS_FILE: file };
    return { ...(await start(env)(folder, postgres)), headers: { authorization: `Bearer ${key}` } };
  };
  const limited = { VERDICT_RATE_LIMIT: rateLimit };
  const results = await inRounds(
    rounds,
    seconds,
    {
      'without a rate': withKey((env) => onPostgres('off', 'off', env)),
      'a shared rate': withKey((env) => onPostgres('shared', 'off', { ...env, ...limited })),
      'SQLite, no rate': withKey((env) => (folder) => startService(join(folder, 'a', 'verdict.sqlite'), 'off', env)),
      'SQLite, a rate': withKey(
        (env) => (folder) => startService(join(folder, 'b', 'verdict.sqlite'), 'off', { ...env, ...limited }),
      ),
    },
    spec,
  );
  console.log(`an API key, log off: ${connections} connections, ${rounds} rounds of ${seconds} s`);
  report(results);
  const [none, shared, , local] = Object.values(results);
  const cost = ratio(shared, none, ({ cpu }) => cpu);
  const besideLocal = ratio(shared, local, ({ cpu }) => cpu);
  console.log(
    `a shared rate: ${cost.toFixed(3)} × the CPU without one, ${besideLocal.toFixed(3)} × that of a rate on SQLite`,
  );
  const [own, leased] = await costOfTakes();
  console.log(`one look at a limit: ${own.toFixed(0)} ns counted in this process, ${leased.toFixed(0)} ns leased`);
}

/** Processor time of one look at a limit, in ns: one that is counted in this process, and one that is leased. */
async function costOfTakes() {
  const { LimitLeases } = await import(join(root, 'dist/auth/limit-leases.js'));
  const { leasedLimiters } = await import(join(root, 'dist/auth/leased-limiters.js'));
  const { RateLimits } = await import(join(root, 'dist/auth/rate-limits.js'));
  const rates = { decide: { points: 1e9, seconds: 60, burst: 1e9 } };
  const leases = new LimitLeases({ silentMs: () => 0, onProblem: () => undefined });
  const subjects = [new RateLimits(rates), new RateLimits(rates, leasedLimiters(leases))];
  const keys = Array.from({ length: 100 }, (_, n) => `key ${n}`);
  const rounds = Array.from({ length: 9 }, () =>
    subjects.map((limits) => {
      const { user } = process.cpuUsage();
      for (let n = 0; n < 1e6; n++) limits.take('decide', keys[n % keys.length], 1);
      return (process.cpuUsage().user - user) / 1e3;
    }),
  );
  await leases.stop();
  return subjects.map((_, n) => median(rounds.map((round) => round[n])));
}

/** Of each round to the round beside it, then the median: a noisy spell counts once. */
function ratio(these, those, of) {
  return median(these.map((each, round) => of(each) / of(those[round])));
}

function report(results) {
  for (const [name, rounds] of Object.entries(results)) {
    const of = (what) => median(rounds.map((round) => round[what]));
    console.log(
      `${name.padEnd(16)} ${of('cpu').toFixed(1).padStart(6)} µs CPU/request, PostgreSQL ${of('postgres').toFixed(1).padStart(5)} µs   ` +
        `${Math.round(of('rate'))} requests/s, p99 ${of('p99').toFixed(1)} ms`,
    );
  }
}
