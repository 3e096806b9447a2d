/**
 * One candidate for a fleet: three processes on one PostgreSQL answer the same subjects as a canary, a gate that one of them
 * passes withdraws it on all, and a shadow changes no answer of any.
 *
 *     VERDICT_TEST_FLEET=full    # 100,000 subjects
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { writePolicies } from '../http/service.js';
import { idModel } from '../models.js';
import { ServiceProcess, serviceFolder } from './processes.js';

const isFull = process.env.VERDICT_TEST_FLEET === 'full';
const subjects = Array.from({ length: isFull ? 100_000 : 4_000 }, (_, n) => `subject-${n}`);
const batch = 1_000;
const open = { maxGained: 1, maxLost: 1, maxErrors: 1, maxLatencyMs: 60_000 };
const path = '/v1/policy-sets/default/candidate';
/** What is changed is in force everywhere within this time. */
const boundMs = 1_000;
/** What three processes, PostgreSQL and the test's own calls may take beside it on two busy cores: a change is late after both. */
const busyMs = 4_000;

/** Allows everybody. */
const everybody = { 'model.conf': idModel.replace('r.sub == p.sub && ', ''), 'rules.csv': 'p, x, doc, read\n' };
const base = { 'model.conf': idModel, 'rules.csv': 'p, ann, doc, read\n' };

interface Told {
  readonly allowed: boolean;
  readonly candidate?: string;
  readonly policyVersion: string;
}

async function askAll(replica: ServiceProcess, asked: readonly string[] = subjects): Promise<Told[]> {
  const told: Told[] = [];
  for (let from = 0; from < asked.length; from += batch) {
    const requests = asked
      .slice(from, from + batch)
      .map((id) => ({ subject: { type: 'user', id }, action: 'read', resource: 'doc' }));
    const { status, body } = await replica.post('/v1/decide/batch', { requests });
    expect(status).toBe(200);
    told.push(...body.decisions);
  }
  return told;
}

describe.skipIf(!hasPostgres)('a candidate of a fleet (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  async function start(env: Record<string, string> = {}) {
    const url = server().newSchema();
    const startOne = async (instance: string, directory = serviceFolder()) => {
      writePolicies(join(directory, 'policies'), {
        'default/model.conf': base['model.conf'],
        'default/rules.csv': base['rules.csv'],
      });
      const settings = { VERDICT_DATABASE_URL: url, VERDICT_INSTANCE: instance, VERDICT_LOG_LEVEL: 'error', ...env };
      return { directory, service: await ServiceProcess.start(directory, settings) };
    };
    const replicas = [await startOne('a'), await startOne('b'), await startOne('c')];
    return { replicas, services: replicas.map(({ service }) => service), startOne };
  }
  const everywhere = (services: readonly ServiceProcess[], holds: (service: ServiceProcess) => Promise<boolean>) =>
    expect
      .poll(async () => (await Promise.all(services.map(holds))).every(Boolean), {
        timeout: boundMs + busyMs,
        interval: 20,
      })
      .toBe(true);
  const isCanaryHere = async (service: ServiceProcess) =>
    (await service.post('/v1/decide', { subject: 'zoe', action: 'read', resource: 'doc' })).body.candidate === 'canary';

  it('answers the same share of subjects on every replica, also after a restart, and counts them together', async () => {
    const { replicas, services, startOne } = await start();
    const set = await services[0]!.send('PUT', path, { files: everybody, mode: 'canary', subjects: 0.05, gates: open });
    expect(set).toMatchObject({ status: 200 });
    const { version } = set.body;
    await everywhere(services, async (service) => (await service.get(path)).body.counts !== undefined);
    const [first, second] = await Promise.all([askAll(services[0]!), askAll(services[1]!)]);
    const inside = (told: readonly Told[]) => subjects.filter((_, n) => told[n]!.candidate === 'canary');
    expect(Math.abs(inside(first).length / subjects.length - 0.05)).toBeLessThan(0.01);
    for (const [n, { allowed, candidate, policyVersion }] of first.entries()) {
      expect(second[n]).toMatchObject({ allowed, policyVersion });
      expect(allowed).toBe(candidate === 'canary');
      expect(policyVersion === version).toBe(candidate === 'canary');
    }
    await services[2]!.stop('SIGKILL');
    const again = await startOne('c', replicas[2]!.directory);
    // The active version answers alone until the candidate has been loaded.
    const [known] = inside(first);
    await expect
      .poll(async () => (await askAll(again.service, [known!]))[0]!.candidate, { timeout: boundMs + busyMs })
      .toBe('canary');
    expect(inside(await askAll(again.service))).toEqual(inside(first));
    const answered = 3 * inside(first).length + 1;
    await expect
      .poll(async () => (await services[0]!.get(path)).body.counts.answered, { timeout: 20_000 })
      .toBe(answered);
    await expect
      .poll(
        async () => {
          const { compared, skipped } = (await services[1]!.get(path)).body.counts;
          return compared + skipped;
        },
        { timeout: 60_000 },
      )
      .toBe(answered);
  });

  it('is withdrawn on every replica when a gate is passed on one, and dropped and promoted on all', async () => {
    const { services } = await start();
    const canary = { files: everybody, mode: 'canary', subjects: 1 };
    await services[0]!.send('PUT', path, { ...canary, gates: { ...open, maxGained: 0.1, minCompared: 50 } });
    await everywhere(services, isCanaryHere);
    await askAll(services[1]!, subjects.slice(0, 200));
    await expect
      .poll(async () => (await services[0]!.get(path)).body.state, { timeout: 10_000, interval: 20 })
      .toBe('withdrawn');
    const at = performance.now();
    await everywhere(services, async (service) => !(await isCanaryHere(service)));
    expect((await services[2]!.get(path)).body).toMatchObject({ state: 'withdrawn', reason: 'gained' });
    console.log(`withdrawn everywhere ${Math.round(performance.now() - at)} ms after it was seen`);
    const { items } = (await services[2]!.get('/v1/audit-events?type=policy_candidate_withdrawn')).body;
    expect(items).toHaveLength(1);

    await services[2]!.send('PUT', path, { ...canary, gates: open });
    await everywhere(services, isCanaryHere);
    expect((await services[1]!.send('DELETE', path)).status).toBe(204);
    await everywhere(services, async (service) => !(await isCanaryHere(service)));

    const { body } = await services[1]!.send('PUT', path, { files: everybody, mode: 'shadow', gates: open });
    await expect.poll(async () => (await services[2]!.get(path)).status).toBe(200);
    const promoted = await services[2]!.post(`${path}/promote`, {});
    expect(promoted).toMatchObject({ status: 200, body: { version: body.version, pinned: true } });
    await everywhere(
      services,
      async (service) => (await service.get('/v1/policy-sets/default')).body.version === body.version,
    );
    await everywhere(services, async (service) => (await service.get(path)).status === 404);
  });

  it('follows files that change: a canary answers nobody over another version', async () => {
    const { replicas, services } = await start();
    await services[0]!.send('PUT', path, { files: everybody, mode: 'canary', subjects: 1, gates: open });
    await everywhere(services, isCanaryHere);
    writePolicies(join(replicas[1]!.directory, 'policies'), { 'default/rules.csv': 'p, eve, doc, read\n' });
    await everywhere(services, async (service) => !(await isCanaryHere(service)));
    expect((await services[2]!.get(path)).body).toMatchObject({ state: 'withdrawn', reason: 'active_version_changed' });
  });

  it('writes a new revision for all where the database is the source', async () => {
    const { services } = await start({ VERDICT_POLICY_SOURCE: 'database' });
    expect((await services[0]!.send('PUT', '/v1/policy-sets/default', { files: base })).status).toBe(200);
    // It is listed a moment before it serves.
    const asked = { subject: 'zoe', action: 'read', resource: 'doc' };
    await everywhere(services, async (service) => (await service.post('/v1/decide', asked)).status === 200);
    const set = await services[1]!.send('PUT', path, { files: everybody, mode: 'canary', subjects: 1, gates: open });
    expect(set).toMatchObject({ status: 200 });
    await everywhere(services, isCanaryHere);
    expect((await services[2]!.post(`${path}/promote`, {})).body).toMatchObject({ revision: 2, pinned: false });
    await everywhere(services, async (service) => {
      const { body } = await service.post('/v1/decide', { subject: 'zoe', action: 'read', resource: 'doc' });
      return body.allowed && body.revision === 2 && body.candidate === undefined;
    });
  });

  it('changes no answer as a shadow, whatever it does, while replicas answer', async () => {
    const { services } = await start();
    const { version } = (await services[0]!.get('/v1/policy-sets/default')).body;
    const looping = {
      'model.conf': idModel.replace('r.obj == p.obj', 'regexMatch(r.obj, p.obj)'),
      'rules.csv': Array.from({ length: 300 }, (_, n) => `p, ann, (${'ab'.repeat(500)}|x)*${n}, read`).join('\n'),
    };
    const asked = subjects.slice(0, isFull ? 20_000 : 1_000);
    const isOfActive = ({ allowed, candidate, policyVersion }: Told) =>
      !allowed && policyVersion === version && candidate === undefined;
    const countsOf = async () => (await services[0]!.get(path)).body.counts;
    await services[0]!.send('PUT', path, { files: everybody, mode: 'shadow', gates: open });
    await everywhere(services, async (service) => (await service.get(path)).body.state === 'running');
    for (const told of await Promise.all(services.map((service) => askAll(service, asked)))) {
      expect(told.every(isOfActive)).toBe(true);
    }
    await expect.poll(async () => (await countsOf()).gained, { timeout: 20_000 }).toBeGreaterThan(0);

    const set = await services[0]!.send('PUT', path, { files: looping, mode: 'shadow', gates: open });
    expect(set.status, JSON.stringify(set.body)).toBe(200);
    await everywhere(services, async (service) => (await service.get(path)).body.version === set.body.version);
    // Of all rules the patterns are tried on this resource: many times the steps that a shadow has.
    const long = { subject: { type: 'user', id: 'ann' }, action: 'read', resource: 'ab'.repeat(400) };
    const requests = Array.from({ length: 300 }, () => long);
    const batches = services.map((service) => service.post('/v1/decide/batch', { requests }));
    for (const { status, body } of await Promise.all(batches)) {
      expect(status).toBe(200);
      expect(body.decisions.every((each: Told & { errors: [] }) => isOfActive(each) && each.errors.length === 0)).toBe(
        true,
      );
    }
    await expect.poll(async () => (await countsOf()).errors, { timeout: 20_000 }).toBeGreaterThan(0);
    const { differences } = (await services[1]!.get(path)).body;
    const erred = differences.find(({ kind }: { kind: string }) => kind === 'errors');
    expect(erred.candidate.errors[0].code).toBe('step_budget_exceeded');
  });

  /** What a shadow adds to the time of answers is printed: on a machine with other work it says nothing. */
  it.runIf(isFull)('answers as fast beside a shadow', async () => {
    const { services } = await start();
    const windowMs = Number(process.env.VERDICT_TEST_WINDOW_MS ?? 10_000);
    const took = { alone: [] as number[], shadowed: [] as number[] };
    const measure = async (into: number[]) => {
      const until = performance.now() + windowMs;
      const clients = services.flatMap((service) => [service, service]);
      await Promise.all(
        clients.map(async (service) => {
          for (let n = 0; performance.now() < until; n++) {
            const began = performance.now();
            await service.post('/v1/decide', { subject: subjects[n % 1_000], action: 'read', resource: 'doc' });
            into.push(performance.now() - began);
            // Below what the machine can do: at its limit any work of any process makes answers wait.
            await delay(10);
          }
        }),
      );
    };
    await measure([]);
    for (let round = 0; round < 6; round++) {
      await measure(took.alone);
      await services[0]!.send('PUT', path, { files: everybody, mode: 'shadow', gates: open });
      await everywhere(services, async (service) => (await service.get(path)).status === 200);
      await measure(took.shadowed);
      await services[0]!.send('DELETE', path);
    }
    const at = (all: number[], share: number) => all.toSorted((a, b) => a - b)[Math.floor(all.length * share)]!;
    for (const share of [0.5, 0.99]) {
      const [alone, shadowed] = [at(took.alone, share), at(took.shadowed, share)];
      console.log(
        `p${share * 100}: ${alone.toFixed(2)} ms alone, ${shadowed.toFixed(2)} ms beside a shadow, ${(shadowed / alone).toFixed(3)}`,
      );
    }
    expect(took.shadowed.length).toBeGreaterThan(1_000);
  });
});
