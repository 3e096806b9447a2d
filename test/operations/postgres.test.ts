/** The service with its database in a real PostgreSQL: what replicas share, and what goes on while it is away. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { openDatabase, postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { onePolicySet, type Service, startService } from '../http/service.js';
import { ServiceProcess, serviceFolder } from './processes.js';

describe.skipIf(!hasPostgres)('the service with PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  const adminKey = makeApiKey('test');
  const admin = { authorization: `Bearer ${adminKey}` };
  const ask = { subject: 'ann', action: 'read', resource: 'doc' };

  function writeKeys(file: string, ...keys: [name: string, key: string][]): void {
    const scopes = '[decide, keys:admin, decisions:read, policies:read, policies:write, metrics:read]';
    const entries = keys.map(([name, key]) => `- name: ${name}\n  sha256: ${digestOf(key)}\n  scopes: ${scopes}\n`);
    writeFileSync(file, entries.join(''));
  }

  /** A replica with a folder of its own, a declared administrator, and the policies that all have. */
  async function startReplica(databaseUrl: string, directory = serviceFolder()): Promise<Service> {
    const apiKeysFile = join(directory, 'keys.yaml');
    writeKeys(apiKeysFile, ['admin', adminKey]);
    const spoolDir = join(directory, 'spool');
    const service = await startService(onePolicySet, { databaseUrl, spoolDir, apiKeysFile, auth: 'required' });
    onTestFinished(() => service.stop());
    return service;
  }

  const decide = (service: Service, headers: Record<string, string>) => service.post('/v1/decide', ask, headers);
  /** Of the whole health a busy machine has its part. */
  const databaseOf = async (service: Service) => (await service.get('/health', admin)).body.details.database.status;
  const setsOf = async (service: Service) => (await service.get('/v1/policy-sets/default/versions', admin)).body.items;

  it('shares keys, audit events, versions and cursors between replicas; each has its journal in its spool folder', async () => {
    const url = server().newSchema();
    const replicas = [await startReplica(url), await startReplica(url)] as const;
    const made = await replicas[0].post(
      '/v1/api-keys',
      { name: 'shop', scopes: ['decide', 'decisions:read:default'] },
      admin,
    );
    expect(made.status).toBe(201);
    const shop = { authorization: `Bearer ${made.body.key}` };
    await expect.poll(async () => (await decide(replicas[1], shop)).status).toBe(200);
    await replicas[1].post('/v1/policy-sets/default/reload', {}, admin);
    const page = await replicas[0].get('/v1/audit-events?actor=admin&limit=1', admin);
    const next = await replicas[1].get(`/v1/audit-events?actor=admin&limit=1&cursor=${page.body.nextCursor}`, admin);
    expect([page.body.items[0].type, next.body.items[0].type]).toEqual(['policy_set_reloaded', 'api_key_created']);
    // A caller of some sets gets cursors that are sealed with a key that the replicas share.
    await replicas[0].post('/v1/policy-sets/default/reload', {}, admin);
    const sealed = await replicas[0].get('/v1/audit-events?limit=1', shop);
    expect(sealed.body.nextCursor).toMatch(/^[\w-]{40,}$/);
    const opened = await replicas[1].get(`/v1/audit-events?limit=1&cursor=${sealed.body.nextCursor}`, shop);
    expect(opened.body.items).toMatchObject([{ policySet: 'default' }]);
    expect(await setsOf(replicas[0])).toHaveLength(1);
    expect(await setsOf(replicas[1])).toEqual(await setsOf(replicas[0]));
    const database = openDatabase(url);
    expect(await database.query(`SELECT count(*) AS n FROM ${database.table('policy_version')}`)).toEqual([{ n: 1 }]);
    expect(await databaseOf(replicas[0])).toBe('up');
    expect((await replicas[0].get('/metrics', admin)).body).toMatch(
      /verdict_database_size_bytes\{database="main"\} [1-9]/,
    );
  });

  interface LoggedIn {
    readonly cookie: string;
    readonly 'x-csrf-token': string;
  }

  async function logIn(service: Service, headers = admin): Promise<LoggedIn> {
    const { status, headers: given, body } = await service.post('/v1/session', {}, headers);
    expect(status).toBe(201);
    const cookies = [given['set-cookie']].flat().map((each) => String(each).split(';')[0]);
    return { cookie: cookies.join('; '), 'x-csrf-token': body.csrfToken };
  }

  it('keeps sessions that every replica knows, until a log-out on any', async () => {
    const url = server().newSchema();
    const [one, two] = [await startReplica(url), await startReplica(url)];
    const session = { ...(await logIn(one)) };
    expect(await two.get('/v1/session', session)).toMatchObject({ status: 200, body: { caller: 'admin' } });
    expect((await decide(two, session)).body).toMatchObject({ decision: 'allow' });
    expect((await decide(two, { cookie: session.cookie })).status).toBe(403);
    expect((await decide(two, { ...session, 'x-csrf-token': 'x'.repeat(43) })).status).toBe(403);
    const other = { ...(await logIn(two)) };
    const out = await two.app.inject({ method: 'DELETE', url: '/v1/session', headers: session });
    expect(out.statusCode).toBe(204);
    expect((await decide(two, session)).status).toBe(401);
    await expect.poll(async () => (await decide(one, session)).status).toBe(401);
    // Of the same key another goes on, until that is revoked.
    expect((await decide(one, other)).status).toBe(200);
    const { body } = await one.post('/v1/api-keys', { name: 'shop', scopes: ['decide'] }, admin);
    await two.get('/v1/session', { authorization: `Bearer ${body.key}` });
    const shop = { ...(await logIn(one, { authorization: `Bearer ${body.key}` })) };
    await expect.poll(async () => (await decide(two, shop)).status).toBe(200);
    await one.app.inject({ method: 'DELETE', url: '/v1/api-keys/shop', headers: admin });
    await expect.poll(async () => (await decide(two, shop)).status).toBe(401);
  });

  it('answers sessions with 503 while PostgreSQL is away, and not with 401', async () => {
    const service = await startReplica(server().newSchema());
    const session = { ...(await logIn(service)) };
    const unknown = { cookie: `verdict-session=${'x'.repeat(43)}` };
    await server().stop();
    const unavailable = { status: 503, body: { type: 'urn:verdict:problem:database_unavailable' } };
    expect(await service.get('/v1/session', unknown)).toMatchObject(unavailable);
    await expect.poll(() => service.get('/v1/session', session)).toMatchObject(unavailable);
    expect(await service.post('/v1/session', {}, admin)).toMatchObject(unavailable);
    expect((await decide(service, admin)).status).toBe(200);
    await server().resume();
    await expect.poll(async () => (await decide(service, session)).status).toBe(200);
    expect((await service.get('/v1/session', unknown)).status).toBe(401);
  });

  it('goes on with an AuthZEN search on another replica by the token of its page', async () => {
    const url = server().newSchema();
    const [one, two] = [await startReplica(url), await startReplica(url)];
    for (const { directory } of [one, two]) {
      const rules = ['ann', 'bob', 'cyd'].map((name) => `p, ${name}, doc, read\n`).join('');
      writeFileSync(join(directory, 'policies/default/rules.csv'), rules);
    }
    for (const replica of [one, two]) await replica.post('/v1/policy-sets/default/reload', {}, admin);
    const query = { subject: { type: 'user' }, action: { name: 'read' }, resource: { type: 'doc', id: 'doc' } };
    const search = async (replica: Service, page: object) =>
      (await replica.post('/access/v1/search/subject', { ...query, page }, admin)).body;
    const first = await search(one, { limit: 1 });
    const second = await search(two, { token: first.page.next_token });
    const third = await search(one, { token: second.page.next_token });
    const ids = [first, second, third].map(({ results }) => results.map(({ id }: { id: string }) => id));
    expect(ids).toEqual([['ann'], ['bob'], ['cyd']]);
    expect(third.page.next_token).toBe('');
  });

  it('decides, and says that it is degraded, when it starts while PostgreSQL is away; all is there when it is back', async () => {
    const url = server().newSchema();
    await server().stop();
    const service = await startReplica(url);
    expect((await decide(service, admin)).body).toMatchObject({ decision: 'allow' });
    const { body } = await service.get('/health', admin);
    expect(body).toMatchObject({
      status: 'degraded',
      details: { database: { problem: expect.stringMatching(/^ECONNREFUSED/) } },
    });
    expect(await service.get('/health/ready')).toMatchObject({ status: 200 });
    expect((await service.get('/metrics', admin)).status).toBe(200);
    for (const path of ['/v1/audit-events', '/v1/api-keys', '/v1/policy-sets/default/versions']) {
      expect(await service.get(path, admin)).toMatchObject({
        status: 503,
        body: { type: 'urn:verdict:problem:database_unavailable' },
      });
    }
    await server().resume();
    await expect.poll(() => databaseOf(service)).toBe('up');
    await expect.poll(async () => (await setsOf(service)).length).toBe(1);
    expect((await service.get('/v1/audit-events?type=policy_set_changed', admin)).body.items).toMatchObject([
      { policySet: 'default' },
    ]);
    expect((await service.post('/v1/api-keys', { name: 'shop', scopes: ['decide'] }, admin)).status).toBe(201);
  });

  it('goes on with the keys that it read last while PostgreSQL is away, and reads the file of keys still', async () => {
    const directory = serviceFolder();
    const service = await startReplica(server().newSchema(), directory);
    const { body } = await service.post('/v1/api-keys', { name: 'shop', scopes: ['decide'] }, admin);
    await server().stop();
    const shop = { authorization: `Bearer ${body.key}` };
    expect((await decide(service, shop)).status).toBe(200);
    expect((await service.post('/v1/api-keys', { name: 'other', scopes: ['decide'] }, admin)).status).toBe(503);
    await expect.poll(() => databaseOf(service)).toBe('degraded');
    const declared = makeApiKey('test');
    writeKeys(join(directory, 'keys.yaml'), ['admin', adminKey], ['declared', declared]);
    await expect.poll(async () => (await decide(service, { authorization: `Bearer ${declared}` })).status).toBe(200);
    expect((await decide(service, shop)).status).toBe(200);
    await server().resume();
    await expect.poll(() => databaseOf(service)).toBe('up');
    expect((await service.post('/v1/api-keys', { name: 'other', scopes: ['decide'] }, admin)).status).toBe(201);
  });

  it('serves a changed folder while PostgreSQL is away, and archives its version later', async () => {
    const service = await startReplica(server().newSchema());
    await server().stop();
    writeFileSync(join(service.directory, 'policies/default/rules.csv'), 'p, bob, doc, read\n');
    await expect.poll(async () => (await decide(service, admin)).body.decision).toBe('deny');
    await server().resume();
    await expect.poll(async () => (await setsOf(service)).length).toBe(2);
  });

  it('is a process of its own folder: the journal and the lock lie in the spool folder, and a second one is refused', async () => {
    const directory = serviceFolder();
    const env = { VERDICT_DATABASE_URL: server().newSchema(), VERDICT_SPOOL_DIR: 'spool', VERDICT_INSTANCE: 'one' };
    const first = await ServiceProcess.start(directory, env);
    expect((await first.post('/v1/decide', ask)).status).toBe(200);
    expect(existsSync(join(directory, 'spool/verdict.decisions.sqlite'))).toBe(true);
    expect(existsSync(join(directory, 'spool/verdict.lock'))).toBe(true);
    expect(existsSync(join(directory, 'spool/verdict.sqlite'))).toBe(false);
    expect(existsSync(join(directory, 'data'))).toBe(false);
    const second = ServiceProcess.run(directory, ['serve', '--local'], { ...env, VERDICT_INSTANCE: 'two' });
    expect(await second.exit).toBe(78);
    expect(second.output.stderr).toMatch(/the data folder \S+spool is in use by instance "one"/);
    expect(second.output.stderr).toMatch('VERDICT_SPOOL_DIR');
    const key = ServiceProcess.run(directory, ['keys', 'create', 'shop', '--scope', 'decide'], env);
    expect(await key.exit).toBe(0);
    first.child.kill('SIGTERM');
    expect(await first.exit).toBe(0);
    expect(
      await server().query(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'verdict one'`),
    ).toEqual([{ n: 0 }]);
  });

  it('works with the roles and grants of its page: one that changes tables, and one that does not', async () => {
    const page = readFileSync(new URL('../../docs/postgres.md', import.meta.url), 'utf8');
    const [roles, appendOnly] = [...page.matchAll(/^```sql\n(.*?)^```/gms)].map(([, sql]) => sql!);
    const superuser = await server().createDatabase();
    await server().query(roles!, superuser);
    const as = (role: string) => superuser.replace('postgres@', `${role}@`);
    const refused = ServiceProcess.run(serviceFolder(), ['serve', '--local'], {
      VERDICT_DATABASE_URL: as('verdict_app'),
    });
    expect(await refused.exit).toBe(1);
    expect(refused.output.stderr).toMatch(
      '42501: permission denied for schema verdict: the table of migrations cannot be made',
    );
    const owner = await startReplica(as('verdict_owner'));
    await owner.app.close();
    await server().query(appendOnly!, superuser);
    const app = await startReplica(as('verdict_app'));
    const { body, status } = await app.post('/v1/api-keys', { name: 'shop', scopes: ['decide'] }, admin);
    expect(status).toBe(201);
    await app.post('/v1/policy-sets/default/reload', {}, admin);
    expect((await decide(app, { authorization: `Bearer ${body.key}` })).status).toBe(200);
    expect((await app.get('/v1/audit-events', admin)).body.items.length).toBeGreaterThan(2);
    expect(await setsOf(app)).toHaveLength(1);
    await expect(server().query('DELETE FROM verdict.audit_event', as('verdict_app'))).rejects.toThrow(
      'permission denied',
    );
  });

  it.each([
    [
      '?sslmode=verify-full&sslrootcert=/nowhere/ca.pem',
      78,
      /VERDICT_DATABASE_URL names a file by sslrootcert that cannot be read/,
    ],
    [
      '?sslmode=require',
      1,
      /cannot use the database that VERDICT_DATABASE_URL names: TLS: The server does not support SSL/,
    ],
  ])('says why it does not start with %s, and not the password', async (parameters, code, message) => {
    const env = { VERDICT_DATABASE_URL: server().url('postgres', parameters, 'postgres:hunter2') };
    const service = ServiceProcess.run(serviceFolder(), ['serve', '--local'], env);
    expect(await service.exit).toBe(code);
    expect(service.output.stderr).toMatch(message);
    expect(service.output.stderr + service.output.stdout).not.toMatch('hunter2');
  });
});
