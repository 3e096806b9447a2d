/** Several processes that share the port, over a real PostgreSQL: together they are one service, and none is missed when it ends. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../authzen/built-service.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { type CheckClient, checkOf, clientSees, connectTo, headersOf } from '../gateway/envoy/grpc-client.js';
import { ServiceProcess, serviceFolder } from './processes.js';

describe.skipIf(!hasPostgres)('workers (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  const settings = (directory: string, env: Record<string, string> = {}) => ({
    VERDICT_WORKERS: '2',
    VERDICT_DATABASE_URL: server().newSchema(),
    VERDICT_SPOOL_DIR: join(directory, 'spool'),
    VERDICT_INSTANCE: 'pdp',
    ...env,
  });

  /** Resolves when its log has named every worker, too. */
  async function start(directory = serviceFolder(), env: Record<string, string> = {}): Promise<ServiceProcess> {
    const service = await ServiceProcess.start(directory, settings(directory, env));
    const { wanted } = await workersOf(service);
    await expect.poll(() => pidsOf(service)).toHaveLength(wanted);
    return service;
  }

  /** The processes of the workers, as the log of the primary names them. */
  const pidsOf = ({ lines }: ServiceProcess): number[] => {
    const served = lines.filter(({ msg }) => msg === 'a worker serves') as unknown as { worker: number; pid: number }[];
    return [...new Map(served.map(({ worker, pid }) => [worker, pid])).entries()].sort().map(([, pid]) => pid);
  };

  const workersOf = async (service: ServiceProcess) => (await service.get('/health')).body.details.workers;

  /** All records of the log: who made them, by their ids. */
  async function recorded(service: ServiceProcess): Promise<Map<string, string>> {
    const instances = new Map<string, string>();
    let cursor: string | undefined;
    do {
      const { body } = await service.get(`/v1/decisions?limit=1000${cursor === undefined ? '' : `&cursor=${cursor}`}`);
      for (const { id, instance } of body.items) instances.set(id, instance);
      cursor = body.nextCursor;
    } while (cursor !== undefined);
    return instances;
  }

  /** Asks on a connection of its own: what `fetch` keeps open ends at one worker. */
  function decideOnce(service: ServiceProcess, agent: Agent | false = false): Promise<string | undefined> {
    return new Promise((resolve) => {
      const body = JSON.stringify({ subject: 'ann', action: 'read', resource: 'doc' });
      const asked = request(
        `${service.url}/v1/decide`,
        {
          method: 'POST',
          agent,
          headers: { 'content-type': 'application/json', 'content-length': body.length },
        },
        async (response) => {
          let text = '';
          try {
            for await (const chunk of response) text += chunk;
          } catch {
            return resolve(undefined);
          }
          resolve(response.statusCode === 200 ? JSON.parse(text).decisionId : undefined);
        },
      );
      asked.on('error', () => resolve(undefined));
      asked.end(body);
    });
  }

  it('share a port evenly, each with its journal, and answer as one for metrics, health and the log', async () => {
    const directory = serviceFolder();
    const service = await start(directory);
    const ids: (string | undefined)[] = [];
    // One after another as well as at once: an idle service gets the connections that a gateway opens and keeps.
    for (let i = 0; i < 200; i++) ids.push(await decideOnce(service));
    for (let i = 0; i < 25; i++) ids.push(...(await Promise.all(Array.from({ length: 8 }, () => decideOnce(service)))));
    expect(ids).not.toContain(undefined);
    // A worker finds at once what it recorded itself, and what another one did when that is shipped.
    let instances: string[] = [];
    await expect
      .poll(async () => {
        instances = [...(await recorded(service)).values()];
        return instances.length;
      })
      .toBe(400);
    const counts = ['pdp-1', 'pdp-2'].map((name) => instances.filter((instance) => instance === name).length);
    expect(counts[0]! + counts[1]!).toBe(400);
    expect(Math.max(...counts)).toBeLessThanOrEqual(2 * Math.min(...counts));
    const metrics = String((await service.get('/metrics')).body);
    expect(metrics).toMatch(/^verdict_decisions_total\{[^}]*decision="allow"[^}]*\} 400$/m);
    expect(metrics).toMatch(/^verdict_workers\{state="serving"\} 2$/m);
    expect(metrics).toMatch(/^verdict_build_info\{[^}]*\} 1$/m);
    expect(metrics).toMatch(/^verdict_policy_set_state\{policy_set="default",state="active"\} 1$/m);
    expect(await workersOf(service)).toMatchObject({ status: 'up', wanted: 2, serving: 2, answering: 2, restarts: 0 });
    expect((await service.get('/health/ready')).status).toBe(200);
    expect(service.output.stdout.match(/verdict listening on/g)).toHaveLength(1);
    expect(await service.stop()).toBe(0);
    expect(service.output.stdout.trimEnd().split('\n').at(-1)).toContain('stopped');
  }, 60_000);

  it('share the port of gRPC, and stop with their calls answered', async () => {
    const directory = serviceFolder();
    writeFileSync(join(directory, 'policies/default/policy-set.yaml'), 'gateway: { anonymous: ann }\n');
    const grpcPort = await freePort();
    const service = await start(directory, { VERDICT_GRPC_PORT: String(grpcPort) });
    const ids = new Set<string>();
    // Connections of their own, that each may end at another worker.
    const clients = Array.from({ length: 24 }, (_, n) => connectTo(grpcPort, undefined, n));
    const check = async (client: CheckClient) => {
      const outcome = await client.check(checkOf('GET', '/doc'));
      expect(clientSees(outcome)).toBe(403);
      ids.add(headersOf(outcome.response!.deniedResponse!.headers)['x-verdict-decision-id']!);
    };
    for (const client of clients) await check(client);
    expect(ids.size).toBe(clients.length);
    const deciders = async () => {
      const instances = await recorded(service);
      return new Set([...ids].map((id) => instances.get(id)));
    };
    await expect.poll(deciders, { timeout: 10_000 }).toEqual(new Set(['pdp-1', 'pdp-2']));
    const running = Promise.all(clients.map((client) => client.check(checkOf('GET', '/doc'))));
    expect(await service.stop()).toBe(0);
    for (const outcome of await running) expect([403, 'error 14']).toContain(clientSees(outcome));
    for (const client of clients) client.close();
  });

  it('have their journals in a backup that is made while they answer', async () => {
    const directory = serviceFolder();
    const service = await start(directory);
    const ids: (string | undefined)[] = [];
    for (let i = 0; i < 40; i++) ids.push(await decideOnce(service));
    const copy = join(directory, 'copy');
    const backup = ServiceProcess.run(directory, ['backup', copy], {
      VERDICT_SPOOL_DIR: join(directory, 'spool'),
      VERDICT_DATABASE_URL: 'postgres://verdict:x@127.0.0.1:1/nowhere',
    });
    expect(await backup.exit, backup.output.stderr).toBe(0);
    const files = ['1', '2'].map((worker) => join(copy, worker, 'verdict.decisions.sqlite'));
    expect(backup.output.stdout.trimEnd().split('\n').sort()).toEqual(files);
    const copied = files.map((file) => {
      const log = ServiceProcess.run(directory, ['log', 'export', '--database', join(dirname(file), 'verdict.sqlite')]);
      return log.exit.then(() =>
        log.output.stdout
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line).id),
      );
    });
    const [first, second] = await Promise.all(copied);
    expect(first!.length * second!.length).toBeGreaterThan(0);
    expect([...first!, ...second!].sort()).toEqual([...ids].sort());
    expect(await service.stop()).toBe(0);
  }, 60_000);

  it('P4: killed under load lose no decision that was acknowledged, and others take their place', async () => {
    const service = await start();
    const acknowledged: string[] = [];
    let [failed, isOver] = [0, false];
    const clients = Array.from({ length: 8 }, async () => {
      while (!isOver) {
        const id = await decideOnce(service);
        if (id === undefined) failed++;
        else acknowledged.push(id);
      }
    });
    for (const worker of [0, 1, 0]) {
      const before = pidsOf(service);
      const until = acknowledged.length + 20;
      await expect.poll(() => acknowledged.length).toBeGreaterThan(until);
      process.kill(before[worker]!, 'SIGKILL');
      await expect.poll(() => pidsOf(service)[worker], { timeout: 20_000 }).not.toBe(before[worker]);
    }
    isOver = true;
    await Promise.all(clients);
    expect(await workersOf(service)).toMatchObject({ serving: 2, restarts: 3 });
    // Each kill costs at most the requests that the worker had in its hands: each client waits for one.
    expect(failed).toBeLessThanOrEqual(3 * clients.length);
    // Those that were killed are not missed: others follow them under their names.
    await expect
      .poll(async () => (await service.get('/v1/fleet')).body.replicas, { timeout: 5_000 })
      .toMatchObject([
        { instance: 'pdp-1', state: 'running', worker: { of: 'pdp', number: 1, restarts: 2 } },
        { instance: 'pdp-2', state: 'running', worker: { of: 'pdp', number: 2, restarts: 1 } },
      ]);
    const listed = ServiceProcess.run(serviceFolder(), ['fleet', '--url', service.url, '--bound', '60s']);
    expect(await listed.exit, listed.output.stdout).toBe(0);
    expect(listed.output.stdout).toMatch(/^pdp +2 workers, 3 restarts *\n {2}pdp-1 .* default .*\n {2}pdp-2 /m);
    const missing = async () => {
      const records = await recorded(service);
      return acknowledged.filter((id) => !records.has(id)).length;
    };
    await expect.poll(missing, { timeout: 20_000, interval: 500 }).toBe(0);
    expect(await service.stop()).toBe(0);
  }, 120_000);

  it('are replaced one after another at SIGUSR2, and no request fails; all read their policy sets again at SIGHUP', async () => {
    const directory = serviceFolder();
    const service = await start(directory);
    const before = pidsOf(service);
    let [failed, answered, isOver] = [0, 0, false];
    const clients = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        if ((await decideOnce(service)) === undefined) failed++;
        else answered++;
      }
    });
    service.child.kill('SIGUSR2');
    await expect
      .poll(() => service.lines.some(({ msg }) => msg === 'all workers were replaced'), { timeout: 30_000 })
      .toBe(true);
    isOver = true;
    await Promise.all(clients);
    expect(pidsOf(service).filter((pid) => before.includes(pid))).toEqual([]);
    expect(answered).toBeGreaterThan(20);
    expect(failed).toBe(0);
    expect(await workersOf(service)).toMatchObject({ serving: 2, restarts: 0 });
    service.child.kill('SIGHUP');
    await expect.poll(() => service.lines.filter(({ msg }) => msg === 'reading the policy sets again').length).toBe(2);
    expect(await service.stop()).toBe(0);
  }, 120_000);

  it('share the connections that clients keep, also those of before when one is started anew', async () => {
    const service = await start(serviceFolder(), { VERDICT_WORKERS: '3' });
    const agents = Array.from({ length: 60 }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
    let [failed, isOver] = [0, false];
    // Each goes on by the connection that it has, as a gateway does, and opens another when that is closed.
    const clients = agents.map(async (agent) => {
      while (!isOver) if ((await decideOnce(service, agent)) === undefined) failed++;
    });
    const names = ['pdp-1', 'pdp-2', 'pdp-3'];
    /** How many of the latest decisions each worker has made. */
    const latest = async (): Promise<number[]> => {
      const { body } = await service.get('/v1/decisions?limit=600');
      return names.map((name) => body.items.filter(({ instance }: { instance: string }) => instance === name).length);
    };
    const isEven = (counts: readonly number[]) =>
      Math.min(...counts) > 0 && Math.max(...counts) <= 2 * Math.min(...counts);
    await expect.poll(async () => isEven(await latest()), { timeout: 20_000 }).toBe(true);
    expect(failed).toBe(0);
    const before = pidsOf(service);
    process.kill(before[1]!, 'SIGKILL');
    await expect.poll(() => pidsOf(service)[1], { timeout: 20_000 }).not.toBe(before[1]);
    const lost = failed;
    expect(lost).toBeLessThanOrEqual(clients.length);
    await expect.poll(async () => isEven(await latest()), { timeout: 20_000 }).toBe(true);
    isOver = true;
    await Promise.all(clients);
    for (const agent of agents) agent.destroy();
    // To be moved costs nobody a request.
    expect(failed).toBe(lost);
  }, 90_000);

  it('count rates together', async () => {
    const service = await start(serviceFolder(), { VERDICT_RATE_LIMIT: '60/h' });
    await expect
      .poll(async () => (await service.get('/metrics')).body, { timeout: 10_000 })
      .toMatch(/^verdict_limit_replicas 2$/m);
    let passed = 0;
    for (let n = 0; n < 200; n++) if ((await decideOnce(service)) !== undefined) passed++;
    // The hour may end, once. Each worker may pass some before it has heard of the other's last.
    expect(passed).toBeGreaterThanOrEqual(55);
    expect(Math.min(Math.abs(passed - 60), Math.abs(passed - 120))).toBeLessThanOrEqual(6);
  }, 60_000);

  it('are as many as there are processor cores where auto says so', async () => {
    const service = await start(serviceFolder(), { VERDICT_WORKERS: 'auto' });
    expect(await workersOf(service)).toMatchObject({ wanted: availableParallelism(), serving: availableParallelism() });
  }, 60_000);

  it('stop by themselves when the primary is killed', async () => {
    const service = await start();
    const pids = pidsOf(service);
    service.child.kill('SIGKILL');
    const isThere = (pid: number) => {
      try {
        return process.kill(pid, 0);
      } catch {
        return false;
      }
    };
    await expect.poll(() => pids.filter(isThere), { timeout: 20_000 }).toEqual([]);
  }, 60_000);

  it('that cannot start end the service, which says why once', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const directory = serviceFolder();
    const service = ServiceProcess.run(
      directory,
      ['serve', '--local'],
      settings(directory, { VERDICT_PORT: `${port}` }),
    );
    expect(await service.exit).toBe(1);
    taken.close();
    expect(service.output.stderr.match(/another process does already/g)).toHaveLength(1);
  }, 60_000);

  it('that find a journal of theirs in use, or no folder, are a problem of the configuration', async () => {
    const directory = serviceFolder();
    mkdirSync(join(directory, 'spool'));
    writeFileSync(join(directory, 'spool/2'), '');
    const service = ServiceProcess.run(directory, ['serve', '--local'], settings(directory));
    expect(await service.exit).toBe(78);
    expect(service.output.stderr).toMatch(/VERDICT_SPOOL_DIR names the folder .*spool\/2, which is not a folder/);
  }, 60_000);
});

describe('workers on SQLite', () => {
  it.each([
    ['2', /VERDICT_WORKERS wants PostgreSQL beyond 1/],
    ['auto', /VERDICT_WORKERS wants PostgreSQL beyond 1/],
    ['0', /VERDICT_WORKERS must be auto, or a number from 1 to 256/],
    ['257', /VERDICT_WORKERS must be auto, or a number from 1 to 256/],
  ])('are refused: VERDICT_WORKERS=%s', async (workers, why) => {
    const service = ServiceProcess.run(serviceFolder(), ['serve', '--local'], { VERDICT_WORKERS: workers });
    expect(await service.exit).toBe(78);
    expect(service.output.stderr).toMatch(why);
  });
});
