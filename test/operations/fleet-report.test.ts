/** P8: who serves what, as every replica of a fleet on one PostgreSQL says it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { FleetReplica, FleetReport } from '../../src/fleet/fleet-report.js';
import { openDatabase, postgresForTests } from '../database/postgres/databases.js';
import { Link } from '../database/postgres/link.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { onePolicySet, type Service, startService } from '../http/service.js';
import { ServiceProcess, serviceFolder } from './processes.js';

const fleetOf = async (service: Pick<Service, 'get'> | ServiceProcess): Promise<FleetReport> => {
  const { status, body } = await service.get('/v1/fleet');
  expect(status, JSON.stringify(body)).toBe(200);
  return body;
};
const stateOf = (report: FleetReport, name: string): FleetReplica['state'] | undefined =>
  report.replicas.find(({ instance }) => instance === name)?.state;

it('with SQLite is the one process', async () => {
  const service = await startService(onePolicySet, { instance: 'only' });
  onTestFinished(() => service.stop());
  const { version } = (await service.get('/v1/policy-sets/default')).body;
  expect(await fleetOf(service)).toMatchObject({
    replicas: [
      { instance: 'only', state: 'running', health: 'ok', sets: [{ name: 'default', state: 'active', version }] },
    ],
    differences: [],
    problems: [],
  });
  const age = /^verdict_policy_source_age_seconds (\S+)$/m.exec((await service.get('/metrics')).body)![1];
  expect(Number(age)).toBeLessThan(2);
});

describe.skipIf(!hasPostgres)('a fleet on PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  async function startReplica(databaseUrl: string, instance: string): Promise<Service> {
    const spoolDir = join(serviceFolder(), 'spool');
    const service = await startService(onePolicySet, { databaseUrl, spoolDir, instance });
    onTestFinished(() => service.stop());
    return service;
  }

  /** Every replica says the same, once it does. */
  async function untilAll(replicas: readonly Service[], expected: object, timeout = 3_000): Promise<void> {
    for (const replica of replicas) await expect.poll(() => fleetOf(replica), { timeout }).toMatchObject(expected);
  }

  it('says on each replica what all serve, where they differ since when, and what they do again', async () => {
    const url = server().newSchema();
    const replicas = [
      await startReplica(url, 'a'),
      await startReplica(url, 'b'),
      await startReplica(url, 'c'),
    ] as const;
    const [a, b, c] = replicas;
    const { version: old } = (await a.get('/v1/policy-sets/default')).body;
    const same = { sets: [{ name: 'default', state: 'active', version: old, pinned: false }] };
    const all = ['a', 'b', 'c'].map((instance) => ({ instance, state: 'running', health: 'ok', ...same }));
    await untilAll(replicas, { replicas: all, differences: [], problems: [] });
    const began = new Date().toISOString();
    writeFileSync(join(b.directory, 'policies/default/rules.csv'), 'p, bob, doc, read\n');
    await b.post('/v1/policy-sets/default/reload', {});
    const { version } = (await b.get('/v1/policy-sets/default')).body;
    expect(version).not.toBe(old);
    await untilAll(replicas, {
      differences: [
        {
          policySet: 'default',
          versions: [
            { version: old, instances: ['a', 'c'] },
            { version, instances: ['b'] },
          ],
        },
      ],
    });
    const [difference] = (await fleetOf(c)).differences;
    expect(difference!.since >= began && difference!.since <= new Date().toISOString()).toBe(true);
    await expect
      .poll(async () => (await a.get('/metrics')).body, { timeout: 8_000, interval: 500 })
      .toMatch('verdict_fleet_differing_replicas{policy_set="default"} 1');
    for (const each of [a, c]) writeFileSync(join(each.directory, 'policies/default/rules.csv'), 'p, bob, doc, read\n');
    await untilAll(replicas, { differences: [] });
    expect((await a.get('/health')).body.details.fleet.status).toBe('up');
  });

  it('writes rows of sets when they change, and else one narrow row a second', async () => {
    const url = server().newSchema();
    const a = await startReplica(url, 'a');
    const database = openDatabase(url);
    const rows = (table: string) => database.query(`SELECT xmin::text, ctid::text FROM ${database.table(table)}`);
    await expect.poll(() => rows('replica_set').catch(() => [])).toHaveLength(1);
    const [sets, [beat]] = [await rows('replica_set'), await rows('replica')];
    for (let n = 0; n < 2; n++) {
      const before = await rows('replica');
      await expect.poll(() => rows('replica'), { timeout: 2_000 }).not.toEqual(before);
    }
    expect(await rows('replica')).not.toEqual([beat]);
    expect(await rows('replica_set')).toEqual(sets);
    await a.post('/v1/policy-sets/default/reload', {});
    writeFileSync(join(a.directory, 'policies/default/rules.csv'), 'p, bob, doc, read\n');
    await expect.poll(() => rows('replica_set'), { timeout: 3_000 }).not.toEqual(sets);
  });

  it('P8: a replica that is cut off says so within 3 s and is silent for the others, until it is back', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [a, b] = [await startReplica(url, 'a'), await startReplica(link.through(url), 'b')];
    await untilAll([a, b], { replicas: [{ instance: 'a' }, { instance: 'b', state: 'running' }] });
    link.silence();
    const began = performance.now();
    await expect
      .poll(async () => (await b.get('/health')).body.details.fleet.status, { timeout: 3_000, interval: 50 })
      .toBe('degraded');
    await expect.poll(async () => stateOf(await fleetOf(a), 'b'), { timeout: 3_000, interval: 50 }).toBe('silent');
    expect(performance.now() - began).toBeLessThan(4_500);
    expect((await a.get('/health')).body.details.fleet.status).toBe('up');
    link.open();
    await expect.poll(async () => stateOf(await fleetOf(a), 'b'), { timeout: 10_000 }).toBe('running');
    await expect.poll(async () => (await b.get('/health')).body.details.fleet.status).toBe('up');
  });

  it('keeps one that was killed as gone for an hour, lists one that stopped no more, and names two of one name', async () => {
    const url = server().newSchema();
    const a = await startReplica(url, 'a');
    const start = (instance: string) =>
      ServiceProcess.start(serviceFolder(), {
        VERDICT_DATABASE_URL: url,
        VERDICT_SPOOL_DIR: 'spool',
        VERDICT_INSTANCE: instance,
      });
    const [killed, stopped] = [await start('killed'), await start('a')];
    await untilAll([a], {
      replicas: [{ instance: 'a' }, { instance: 'a' }, { instance: 'killed', state: 'running' }],
      problems: [{ code: 'duplicate_instance', message: expect.stringContaining('"a"') }],
    });
    const cli = ServiceProcess.run(serviceFolder(), ['fleet', '--url', stopped.url]);
    expect(await cli.exit).toBe(1);
    expect(cli.output.stdout).toMatch(/^replica +build +is +log +set +version +state +since/);
    expect(cli.output.stdout).toMatch(/killed .* ok .* default +sha256:\w{12} +active/);
    expect(cli.output.stdout).toMatch('2 replicas are called "a"');
    await stopped.stop();
    await untilAll([a], { replicas: [{ instance: 'a' }, { instance: 'killed' }], problems: [] });
    await killed.stop('SIGKILL');
    await expect.poll(async () => stateOf(await fleetOf(a), 'killed'), { timeout: 5_000 }).toBe('silent');
    const database = openDatabase(url);
    const hear = (seconds: number) =>
      database.write(
        `UPDATE ${database.table('replica')} SET beat = clock_timestamp() - $1 * interval '1 second' WHERE instance = 'killed'`,
        [seconds],
      );
    await hear(31);
    expect(stateOf(await fleetOf(a), 'killed')).toBe('gone');
    await hear(3_590);
    expect(stateOf(await fleetOf(a), 'killed')).toBe('gone');
    await hear(3_601);
    expect(stateOf(await fleetOf(a), 'killed')).toBe(undefined);
  });

  it('is 503 while PostgreSQL is away, and metrics say what was known', async () => {
    const url = server().newSchema();
    const a = await startReplica(url, 'a');
    const running = 'verdict_fleet_replicas{state="running"} 1';
    await expect.poll(async () => (await a.get('/metrics')).body).toMatch(running);
    await server().stop();
    await expect.poll(() => a.get('/v1/fleet')).toMatchObject({ status: 503 });
    expect((await a.get('/metrics')).body).toMatch(running);
    await server().resume();
    await expect.poll(async () => (await a.get('/v1/fleet')).status, { timeout: 5_000 }).toBe(200);
  });
});
