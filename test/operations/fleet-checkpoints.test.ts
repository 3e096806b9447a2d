/** Checkpoints of the fleet leave the machine, and show later what was taken away. */
import { generateKeyPairSync } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { verdict } from '../cli/run.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { ServiceProcess, serviceFolder } from './processes.js';

const fleetKey = () => String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));

const linesOf = (path: string) => {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { number: number; note: string });
  } catch {
    return [];
  }
};

const numbersOf = (path: string) => linesOf(path).map(({ number }) => number);

it('a killed service leaves no hole in them, and a data folder that was put back is found out by them alone', async () => {
  const directory = serviceFolder();
  const sink = join(directory, 'away/checkpoints.ndjson');
  const env = { VERDICT_CHECKPOINT_SINK: sink, VERDICT_LOG_SIGNING_KEY: fleetKey() };
  const verify = (...args: string[]) =>
    verdict(['log', 'verify', '--keys', 'keys.json', '--database', 'data/verdict.sqlite', ...args], { cwd: directory });

  // The folder of the sink is not there yet: what is made waits, and that is said.
  let service = await ServiceProcess.start(directory, env);
  writeFileSync(join(directory, 'keys.json'), JSON.stringify((await service.get('/v1/decisions/keys')).body));
  await service.decide();
  const checkpoints = async () => (await service.get('/health')).body.details.checkpoints;
  await expect.poll(checkpoints, { timeout: 30_000 }).toMatchObject({
    status: 'degraded',
    newest: 1,
    sinks: [
      { name: 'log', due: 0 },
      { name: 'file', due: 1 },
    ],
  });
  const metrics = await (await fetch(`${service.url}/metrics`)).text();
  expect(metrics).toContain('verdict_checkpoint_sink_due{sink="file"} 1');
  expect(metrics).toMatch(/verdict_checkpoint_sink_failures_total\{sink="file"\} [1-9]/);
  expect(service.errors.map(({ msg }) => msg)).toEqual([expect.stringContaining('checkpoints could not be sent')]);
  await service.stop('SIGKILL');
  mkdirSync(join(directory, 'away'));

  service = await ServiceProcess.start(directory, env);
  await expect.poll(() => numbersOf(sink), { timeout: 30_000 }).toEqual([1]);
  await service.decide();
  await service.stop();
  expect(numbersOf(sink)).toEqual([1, 2]);
  expect(linesOf(sink)[1]!.note).toContain('— verdict-fleet ');
  const logged = service.lines.filter((line) => 'note' in line) as unknown as { checkpoint: number }[];
  expect(logged.map(({ checkpoint }) => checkpoint)).toEqual([2]);
  const fine = await verify('--against', sink);
  expect(JSON.parse(fine.stdout)).toMatchObject({ found: 0, records: 2, unsigned: 0, fleetCheckpoints: 2 });
  expect(fine.code).toBe(0);

  // An older copy of everything, which is right in itself.
  cpSync(join(directory, 'data'), join(directory, 'copy'), { recursive: true });
  service = await ServiceProcess.start(directory, env);
  await service.decide();
  await service.stop();
  expect(numbersOf(sink)).toEqual([1, 2, 3]);
  // With the line that says where it listens.
  writeFileSync(join(directory, 'service.log'), service.output.stdout);
  rmSync(join(directory, 'data'), { recursive: true });
  cpSync(join(directory, 'copy'), join(directory, 'data'), { recursive: true });
  expect(JSON.parse((await verify()).stdout)).toMatchObject({ found: 0 });
  for (const kept of [sink, 'service.log']) {
    const old = await verify('--against', kept);
    expect(old.code).toBe(1);
    const { findings } = JSON.parse(old.stdout);
    expect(findings.slice(0, 2)).toEqual([
      expect.objectContaining({ kind: 'missing', sequence: 3, through: 3 }),
      expect.objectContaining({ kind: 'missing', what: 'checkpoint 3 of the fleet is missing' }),
    ]);
    // The last start was an event, too.
    for (const { kind, place } of findings.slice(2)) expect([kind, place]).toEqual(['missing', 'the audit events']);
  }

  // It goes on, and its sink, which has more, says so.
  service = await ServiceProcess.start(directory, env);
  await expect
    .poll(checkpoints, { timeout: 30_000 })
    .toMatchObject({ sinks: [{}, { problem: expect.stringContaining('has another checkpoint 3') }] });
  await service.stop();

  // What is changed in the file itself is named.
  const text = readFileSync(sink, 'utf8');
  const [first, second, third] = text.split('\n');
  const inFile = async (content: string) => {
    writeFileSync(join(directory, 'changed'), content);
    const found = JSON.parse((await verify('--against', 'changed')).stdout).findings;
    return found.map(({ place, what }: { place: string; what: string }) => `${place}: ${what}`);
  };
  // The database has it.
  expect(await inFile(`${first}\n${third}\n`)).not.toContain('changed: checkpoint 2 of the fleet is missing');
  expect(await inFile(text.replace('verdict-fleet', 'verdict-fleeu'))).toContain(
    'changed: a checkpoint of the fleet is not signed by any of these keys, or was changed',
  );
  expect(await inFile(`${first}\n${second!.slice(0, 90)}\n${third}\n`)).toContain('changed: line 2 cannot be read');
  // A line that a full disk cut off, and that was written again.
  expect(await inFile(`${first}\n${second!.slice(0, 90)}\n${second}\n`)).not.toContain(
    'changed: line 2 cannot be read',
  );
});

describe.skipIf(!hasPostgres)('with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  it('one of two replicas makes them, of the trees of both, and the other one when that one is killed', async () => {
    const url = await server().createDatabase();
    const key = fleetKey();
    const start = async () => {
      const directory = serviceFolder();
      const service = await ServiceProcess.start(directory, {
        VERDICT_DATABASE_URL: url,
        VERDICT_CHECKPOINT_SINK: join(directory, 'checkpoints.ndjson'),
        VERDICT_LOG_SIGNING_KEY: key,
      });
      return { directory, service, sink: join(directory, 'checkpoints.ndjson') };
    };
    const replicas = [await start(), await start()];
    for (const { service } of replicas) await service.decide();
    const leads = async ({ service }: (typeof replicas)[0]) =>
      (await service.get('/health')).body.details.checkpoints.leads as boolean;
    await expect
      .poll(async () => (await Promise.all(replicas.map(leads))).filter((each) => each).length, { timeout: 30_000 })
      .toBe(1);
    const isFirst = await leads(replicas[0]!);
    const [leader, other] = isFirst ? replicas : replicas.toReversed();
    await expect.poll(() => numbersOf(leader!.sink), { timeout: 30_000 }).toEqual([1]);
    writeFileSync(
      join(other!.directory, 'keys.json'),
      JSON.stringify((await leader!.service.get('/v1/decisions/keys')).body),
    );
    await leader!.service.stop('SIGKILL');
    await expect.poll(() => leads(other!), { timeout: 60_000 }).toBe(true);
    await other!.service.stop();
    // Its own file has all of them, those that the other one made among them.
    expect(numbersOf(other!.sink)).toEqual([1, 2]);
    const { stdout } = await verdict(
      ['log', 'verify', '--keys', 'keys.json', '--database', url, '--against', other!.sink],
      { cwd: other!.directory },
    );
    expect(JSON.parse(stdout)).toMatchObject({ found: 0, fleetCheckpoints: 2 });
    // A replica's own journal has one of the trees.
    const spool = await verdict(
      ['log', 'verify', '--keys', 'keys.json', '--database', 'data', '--against', other!.sink],
      { cwd: other!.directory },
    );
    expect(JSON.parse(spool.stdout)).toMatchObject({ found: 0, records: 1 });
  });
});
