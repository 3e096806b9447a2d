/** Rates and quotas over real replicas on one PostgreSQL, also while it is killed. */
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { LimitLeases } from '../../src/auth/limit-leases.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { onePolicySet, type Service, startService } from '../http/service.js';
import { ServiceProcess, serviceFolder } from './processes.js';

const question = { subject: 'ann', action: 'read', resource: 'doc' };

interface Asked {
  readonly passed: number;
  /** Calls in each second of the run, refused ones too. */
  readonly offered: readonly number[];
}

/** Asks services for decisions without a pause, each on its own number of connections, until the time is over. */
async function askAll(services: readonly ServiceProcess[], lanes: readonly number[], ms: number): Promise<Asked[]> {
  const body = JSON.stringify(question);
  const headers = { 'content-type': 'application/json', 'content-length': body.length };
  const ends = performance.now() + ms;
  return Promise.all(
    services.map(async ({ url }, n) => {
      const agent = new Agent({ keepAlive: true });
      const asked = { passed: 0, offered: Array<number>(Math.ceil(ms / 1_000)).fill(0) };
      const ask = () =>
        new Promise<number>((resolve, reject) => {
          const sent = request(`${url}/v1/decide`, { method: 'POST', agent, headers }, (response) => {
            response.resume().on('end', () => resolve(response.statusCode!));
          });
          sent.on('error', reject).end(body);
        });
      const lane = async () => {
        while (performance.now() < ends) {
          const second = Math.floor((ms - (ends - performance.now())) / 1_000);
          if (second < asked.offered.length) asked.offered[second]!++;
          const status = await ask();
          if (status === 200) asked.passed++;
          else {
            // No error of another kind, whatever happens to the database.
            expect(status).toBe(429);
            // Clients that are refused do not go on as fast as they can.
            await delay(2);
          }
        }
      };
      await Promise.all(Array.from({ length: lanes[n]! }, lane));
      agent.destroy();
      return asked;
    }),
  );
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, each) => all + each, 0);

describe.skipIf(!hasPostgres)('limits of replicas (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  describe('a limit of 1,000 a second over three processes', () => {
    const limit = 1_000;
    /** How much more may pass in one period, and in all of them together: see docs/limits.md. */
    const bound = 0.1 * limit;
    /** What has to pass of the calls that came within the limit; how many come in a period, a busy machine says. */
    const leastShare = 0.8;
    const seconds = 5;

    async function startThree(): Promise<ServiceProcess[]> {
      const url = server().newSchema();
      const names = ['a', 'b', 'c'];
      const services = await Promise.all(
        names.map((instance) =>
          ServiceProcess.start(serviceFolder(), {
            VERDICT_DATABASE_URL: url,
            VERDICT_SPOOL_DIR: 'spool',
            VERDICT_INSTANCE: instance,
            VERDICT_RATE_LIMIT: `${limit}/s`,
            VERDICT_DECISION_LOG: 'off',
          }),
        ),
      );
      // Each knows of the others.
      for (const service of services) {
        await expect
          .poll(async () => (await service.get('/metrics')).body, { timeout: 10_000 })
          .toMatch(/^verdict_limit_replicas 3$/m);
      }
      return services;
    }

    /** A run meets one period more than it has seconds. */
    function expectWithin(asked: readonly Asked[]): void {
      const passed = sum(asked.map((each) => each.passed));
      const offered = asked[0]!.offered.map((_, second) => sum(asked.map((each) => each.offered[second]!)));
      expect(passed, JSON.stringify(asked)).toBeLessThanOrEqual((offered.length + 1) * limit + bound);
      const within = sum(offered.map((each) => Math.min(limit, each)));
      expect(passed, JSON.stringify(asked)).toBeGreaterThanOrEqual(leastShare * within);
    }

    it.each([
      ['evenly', [4, 4, 4]],
      ['unevenly', [12, 2, 1]],
      ['to one alone', [12, 0, 0]],
    ])(
      'passes 1,000 a second within its bound: %s',
      async (_load, lanes) => {
        const services = await startThree();
        await askAll(services, lanes, 1_500);
        expectWithin(await askAll(services, lanes, seconds * 1_000));
      },
      60_000,
    );

    it('opens while PostgreSQL is killed, for each replica alone, and closes to 1,000 when it is back', async () => {
      const services = await startThree();
      const lanes = [6, 6, 6];
      await askAll(services, lanes, 1_500);
      const killed = server().kill();
      // Every request is answered meanwhile, with 200 or 429.
      await askAll(services, lanes, 1_500);
      await killed;
      try {
        // Each of them counts alone.
        for (const asked of await askAll(services, lanes, 3_000)) expectWithin([asked]);
      } finally {
        await server().resume();
      }
      for (const service of services) {
        await expect
          .poll(async () => (await service.get('/health')).body.details.database.status, { timeout: 10_000 })
          .toBe('up');
      }
      await askAll(services, lanes, 2_500);
      expectWithin(await askAll(services, lanes, seconds * 1_000));
    }, 90_000);
  });

  describe('of keys with a quota, and of wrong ones', () => {
    const key = makeApiKey('test');

    async function startReplica(databaseUrl: string, config: object = {}): Promise<Service> {
      const directory = serviceFolder();
      const apiKeysFile = join(directory, 'keys.yaml');
      const declared = `- {name: daily, sha256: ${digestOf(key)}, scopes: [decide, metrics:read], dailyQuota: 20}\n`;
      writeFileSync(apiKeysFile, declared);
      const service = await startService(onePolicySet, {
        databaseUrl,
        spoolDir: join(directory, 'spool'),
        apiKeysFile,
        auth: 'required',
        ...config,
      });
      onTestFinished(() => service.stop());
      return service;
    }
    const authorization = `Bearer ${key}`;
    const decide = async (service: Service, credential = authorization) =>
      (await service.post('/v1/decide', question, { authorization: credential })).status;
    const knowEachOther = async (...replicas: Service[]) => {
      for (const replica of replicas) {
        await expect
          .poll(async () => (await replica.get('/metrics', { authorization })).body, { timeout: 5_000 })
          .toMatch(new RegExp(`^verdict_limit_replicas ${replicas.length}$`, 'm'));
      }
    };
    /** Until PostgreSQL knows everything that was counted. */
    const settle = async (...replicas: Service[]) => {
      for (const replica of replicas) await expect.poll(() => replica.app.get(LimitLeases).untoldMs).toBe(0);
    };

    it('a daily quota is one for all replicas, and closes with 503 while PostgreSQL is away', async () => {
      const url = server().newSchema();
      const [one, two] = [await startReplica(url), await startReplica(url)];
      await knowEachOther(one, two);
      // The day may end, once.
      const untilUsedUp = async () => {
        let passed = 0;
        for (let refused = 0; refused < 20; ) {
          for (const replica of [one, two]) {
            if ((await decide(replica)) === 200) passed++;
            else refused++;
          }
          await settle(one, two);
        }
        return passed;
      };
      const passed = await untilUsedUp();
      expect(passed).toBeGreaterThanOrEqual(20);
      expect(passed % 20).toBeLessThanOrEqual(1);
      const three = await startReplica(url);
      await server().stop();
      try {
        const isCutOff = async () => (await three.get('/health', { authorization })).body.details.keys.status;
        await expect.poll(isCutOff, { timeout: 10_000 }).toBe('degraded');
        const { status, body } = await three.post('/v1/decide', question, { authorization });
        expect([status, body.type, body.detail]).toEqual([
          503,
          'urn:verdict:problem:database_unavailable',
          'The daily quota of the caller cannot be counted now.',
        ]);
      } finally {
        await server().resume();
      }
      await expect.poll(async () => decide(three), { timeout: 10_000 }).toBe(429);
    }, 60_000);

    it('wrong keys from one address are limited over all replicas, and to each its share while PostgreSQL is away', async () => {
      const url = server().newSchema();
      const limits = { authFailureLimit: '20/h' };
      const [one, two] = [await startReplica(url, limits), await startReplica(url, limits)];
      await knowEachOther(one, two);
      const wrong = `Bearer ${makeApiKey('test')}`;
      let refused = 0;
      for (let n = 0; n < 30; n++) {
        for (const replica of [one, two]) if ((await decide(replica, wrong)) === 401) refused++;
        await settle(one, two);
      }
      // The hour may end, once; the first of a replica may be one too many.
      expect([20, 21, 40, 41]).toContain(refused);
      await server().stop();
      try {
        const three = await startReplica(url, limits);
        const statuses: number[] = [];
        for (let n = 0; n < 25; n++) statuses.push(await decide(three, wrong));
        expect(statuses.at(-1)).toBe(429);
      } finally {
        await server().resume();
      }
    }, 60_000);
  });
});
