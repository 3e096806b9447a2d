/** P7, P8: API keys and sessions over real replicas on one PostgreSQL, while the connections to it fail. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { Link } from '../database/postgres/link.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { onePolicySet, type Service, startService } from '../http/service.js';
import { serviceFolder } from './processes.js';

/** What is changed on one replica holds on every other within this time, in milliseconds. */
const boundMs = 1_000;

describe.skipIf(!hasPostgres)('keys of replicas (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();
  const adminKey = makeApiKey('test');
  const admin = { authorization: `Bearer ${adminKey}` };
  const ask = { subject: 'ann', action: 'read', resource: 'doc' };

  async function startReplica(
    databaseUrl: string,
    directory = serviceFolder(),
    keysMaxAge = '24h',
    instance = 'replica',
  ): Promise<Service> {
    const apiKeysFile = join(directory, 'keys.yaml');
    const scopes = '[decide, keys:admin, metrics:read]';
    writeFileSync(apiKeysFile, `- {name: admin, sha256: ${digestOf(adminKey)}, scopes: ${scopes}}\n`);
    const service = await startService(onePolicySet, {
      databaseUrl,
      spoolDir: join(directory, 'spool'),
      instance,
      apiKeysFile,
      keysMaxAge,
      auth: 'required',
      // The tests ask with a key until it is good, or refused.
      authFailureLimit: '100000/s',
    });
    onTestFinished(() => service.stop());
    return service;
  }

  const statusOf = async (service: Service, key: string) =>
    (await service.post('/v1/decide', ask, { authorization: `Bearer ${key}` })).status;
  /** The key is good, or refused, within the bound from now. */
  const within = (service: Service, key: string, status: 200 | 401, timeout = boundMs) =>
    expect.poll(() => statusOf(service, key), { timeout, interval: 10 }).toBe(status);
  const create = async (service: Service, name: string): Promise<string> => {
    const { status, body } = await service.post('/v1/api-keys', { name, scopes: ['decide'] }, admin);
    expect(status).toBe(201);
    return body.key;
  };
  const revoke = async (service: Service, name: string) => {
    const answer = await service.app.inject({ method: 'DELETE', url: `/v1/api-keys/${name}`, headers: admin });
    expect(answer.statusCode).toBe(204);
  };
  const healthOf = async (service: Service) => (await service.get('/health', admin)).body.details;

  it('P8: a key that is made, rotated or revoked on one replica is so on the other within a second', async () => {
    const url = server().newSchema();
    const [one, two] = [await startReplica(url), await startReplica(url)];
    for (const round of [1, 2, 3]) {
      const key = await create(one, `shop-${round}`);
      await within(two, key, 200);
      const { body } = await two.post(`/v1/api-keys/shop-${round}/rotate`, { overlapSeconds: 0 }, admin);
      await within(one, body.key, 200);
      await within(one, key, 401);
      await revoke(one, `shop-${round}`);
      await within(two, body.key, 401);
    }
    expect((await healthOf(one)).keys).toMatchObject({ status: 'up', from: 'database' });
  });

  it('P8: a revoked key is refused within a second by a replica whose session is dead, without a word', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [one, two] = [await startReplica(url), await startReplica(link.through(url))];
    for (const round of [1, 2, 3]) {
      const key = await create(one, `shop-${round}`);
      await within(two, key, 200);
      link.silence();
      link.open();
      await revoke(one, `shop-${round}`);
      await within(two, key, 401);
    }
  });

  it('P8: a revoked key is refused within a second although every session of the other replica is ended', async () => {
    const url = server().newSchema();
    const [one, two] = [await startReplica(url), await startReplica(url, serviceFolder(), '24h', 'other')];
    for (const round of [1, 2, 3]) {
      const key = await create(one, `shop-${round}`);
      await within(two, key, 200);
      await revoke(one, `shop-${round}`);
      const ended = await server().query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'verdict other'`,
      );
      expect(ended).not.toEqual([]);
      await within(two, key, 401);
    }
  });

  it('P8: a replica that is cut off decides, says within 3 s that it cannot know, and refuses when it is back', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [one, two] = [await startReplica(url), await startReplica(link.through(url))];
    const key = await create(one, 'shop');
    await within(two, key, 200);
    link.silence();
    await revoke(one, 'shop');
    await expect
      .poll(async () => (await healthOf(two)).keys, { timeout: 3_000, interval: 50 })
      .toMatchObject({ status: 'degraded', from: 'database' });
    expect(await statusOf(two, key)).toBe(200);
    link.open();
    await within(two, key, 401, 5_000);
    await expect.poll(async () => (await healthOf(two)).keys.status).toBe('up');
  });

  it('P8: what was changed before PostgreSQL was killed is in force, and what is changed after it came back, too', async () => {
    const url = server().newSchema();
    const [one, two] = [await startReplica(url), await startReplica(url)];
    const [first, second] = [await create(one, 'first'), await create(one, 'second')];
    await within(two, second, 200);
    await revoke(one, 'first');
    await server().kill();
    // Nobody told it, and it cannot ask: it may go on with the key, and decisions wait for nothing.
    expect(await statusOf(two, second)).toBe(200);
    await server().resume();
    await within(two, first, 401, boundMs + 1_500);
    await expect
      .poll(
        async () => (await one.app.inject({ method: 'DELETE', url: '/v1/api-keys/second', headers: admin })).statusCode,
        { timeout: 10_000 },
      )
      .toBe(204);
    await within(two, second, 401);
  });

  it('starts while PostgreSQL is away with the keys of its copy, and with those of PostgreSQL when it is back', async () => {
    const url = server().newSchema();
    const directory = serviceFolder();
    const before = await startReplica(url, directory);
    const [key, other] = [await create(before, 'shop'), await create(before, 'other')];
    await before.stop();
    expect(readFileSync(join(directory, 'spool/verdict.keys.json'), 'utf8')).not.toContain(key.split('_')[2]);
    const elsewhere = await startReplica(url);
    await revoke(elsewhere, 'other');
    await elsewhere.stop();
    await server().stop();
    const after = await startReplica(url, directory);
    expect(await statusOf(after, key)).toBe(200);
    // The copy does not know, and says so.
    expect(await statusOf(after, other)).toBe(200);
    expect((await healthOf(after)).keys).toMatchObject({ status: 'degraded', from: 'copy' });
    await server().resume();
    await within(after, other, 401, boundMs + 1_500);
    expect(await statusOf(after, key)).toBe(200);
    await expect.poll(async () => (await healthOf(after)).keys).toMatchObject({ status: 'up', from: 'database' });
  });

  /** The copy as it would be if PostgreSQL had been away for so long. */
  function age(directory: string, ms: number): void {
    const file = join(directory, 'spool/verdict.keys.json');
    const [header, keys] = readFileSync(file, 'utf8').split('\n');
    const older = { ...JSON.parse(header!), confirmed: new Date(Date.now() - ms).toISOString() };
    writeFileSync(file, `${JSON.stringify(older)}\n${keys}\n`);
  }

  it('P7: refuses the keys of a copy that is older than VERDICT_KEYS_MAX_AGE, and those of none; declared ones are good', async () => {
    const url = server().newSchema();
    const directory = serviceFolder();
    const before = await startReplica(url, directory);
    const key = await create(before, 'shop');
    await before.stop();
    await server().stop();
    age(directory, 3_600_000 - 60_000);
    const young = await startReplica(url, directory, '1h');
    expect(await statusOf(young, key)).toBe(200);
    await young.stop();
    age(directory, 3_600_000);
    const old = await startReplica(url, directory, '1h');
    expect(await statusOf(old, key)).toBe(401);
    expect(await statusOf(old, adminKey)).toBe(200);
    expect((await healthOf(old)).keys).toMatchObject({ status: 'degraded', problem: expect.stringMatching(/too old/) });
    await old.stop();
    rmSync(join(directory, 'spool/verdict.keys.json'));
    const none = await startReplica(url, directory, '1h');
    expect(await statusOf(none, key)).toBe(401);
    expect(await statusOf(none, adminKey)).toBe(200);
    expect((await healthOf(none)).keys).toMatchObject({ status: 'degraded', from: 'nowhere' });
    await none.stop();
    await server().resume();
  });

  it('P8: a log-out, and the revocation of the key behind, end a session on the other replica within a second', async () => {
    const url = server().newSchema();
    const [one, two] = [await startReplica(url), await startReplica(url)];
    for (const how of ['log-out', 'revocation']) {
      const key = await create(one, how);
      const began = await one.post('/v1/session', {}, { authorization: `Bearer ${key}` });
      const cookie = [began.headers['set-cookie']].flat().map((each) => String(each).split(';')[0]);
      const session = { cookie: cookie.join('; '), 'x-csrf-token': began.body.csrfToken };
      const decides = async () => (await two.post('/v1/decide', ask, session)).status;
      await expect.poll(decides).toBe(200);
      if (how === 'revocation') await revoke(one, how);
      else await one.app.inject({ method: 'DELETE', url: '/v1/session', headers: session });
      await expect.poll(decides, { timeout: boundMs + 50, interval: 10 }).toBe(401);
    }
  });
});
