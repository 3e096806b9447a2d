/** P1, P3, P8: policy sets in PostgreSQL over real replicas: what one writes all serve within a second. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase, postgresForTests } from '../database/postgres/databases.js';
import { Link } from '../database/postgres/link.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { serviceFolder } from './processes.js';

/** What is changed on one replica is in force on every other within this time, in milliseconds. */
const boundMs = 1_000;

describe.skipIf(!hasPostgres)('policy sets in PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();

  async function startReplica(databaseUrl: string, spoolDir = join(serviceFolder(), 'spool')): Promise<Service> {
    const service = await startService({}, { databaseUrl, spoolDir, policySource: 'database', auth: 'none' });
    onTestFinished(() => service.stop());
    return service;
  }

  const rules = (subject: string) => ({ 'model.conf': idModel, 'rules.csv': `p, ${subject}, data1, read\n` });
  const send = async (service: Service, method: 'PUT' | 'DELETE', set: string, files?: object, ifMatch = '*') => {
    const headers = {
      ...(files !== undefined && { 'content-type': 'application/json' }),
      ...(ifMatch !== '' && { 'if-match': ifMatch }),
    };
    const url = `/v1/policy-sets/${set}`;
    const answer = await service.app.inject({
      method,
      url,
      headers,
      ...(files !== undefined && { payload: JSON.stringify({ files }) }),
    });
    return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() };
  };
  const decide = async (service: Service, subject: string, policySet = 'acl') =>
    (await service.post('/v1/decide', { subject, action: 'read', resource: 'data1', policySet })).body;
  const serves = (service: Service, revision: number, timeout = boundMs) =>
    expect
      .poll(async () => (await service.get('/v1/policy-sets/acl')).body.revision, { timeout, interval: 5 })
      .toBe(revision);

  it('P8: a set that is written, rolled back or removed on one replica is so on the others within a second', async () => {
    const url = server().newSchema();
    const [one, two, three] = [await startReplica(url), await startReplica(url), await startReplica(url)];
    const written = await send(one, 'PUT', 'acl', rules('alice'), '');
    expect(written).toMatchObject({ status: 200, body: { revision: 1 } });
    await Promise.all([serves(two, 1), serves(three, 1)]);
    expect(await decide(two, 'alice')).toMatchObject({ allowed: true, policyVersion: written.body.version });
    expect(await send(two, 'PUT', 'acl', rules('bob'), '"1"')).toMatchObject({ status: 200, body: { revision: 2 } });
    await Promise.all([serves(one, 2), serves(three, 2)]);
    expect(await decide(three, 'alice')).toMatchObject({ allowed: false, revision: 2 });
    const back = await three.post('/v1/policy-sets/acl/rollback', { version: written.body.version });
    expect(back).toMatchObject({ status: 200, body: { revision: 3, pinned: true } });
    await Promise.all([serves(one, 3), serves(two, 3)]);
    expect(await decide(one, 'alice')).toMatchObject({ allowed: true, revision: 3 });
    expect((await send(one, 'DELETE', 'acl')).status).toBe(204);
    await expect
      .poll(async () => (await two.get('/v1/policy-sets/acl')).status, { timeout: boundMs, interval: 5 })
      .toBe(404);
  });

  it('P8: a replica whose session is dead, without a word, serves a change within a second all the same', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [one, two] = [await startReplica(url), await startReplica(link.through(url))];
    await send(one, 'PUT', 'acl', rules('user-0'), '');
    await serves(two, 1);
    for (const revision of [2, 3, 4]) {
      link.silence();
      link.open();
      await send(one, 'PUT', 'acl', rules(`user-${revision}`));
      await serves(two, revision, 1_500);
    }
  });

  it('P8: a look whose connection is lost halfway delays no change beyond the bound', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [one, two] = [await startReplica(url), await startReplica(link.through(url))];
    await send(one, 'PUT', 'acl', rules('alice'), '');
    await serves(two, 1);
    const direct = openDatabase(url);
    const heads = direct.table('policy_head');
    let look: Promise<unknown> | undefined;
    await direct.transaction(async (client) => {
      await client.query(`LOCK TABLE ${heads} IN ACCESS EXCLUSIVE MODE`);
      look = two.post('/v1/policy-sets/acl/reload', {});
      await expect
        .poll(
          async () => {
            // Not by the client: within one transaction, all looks at this view show what the first one saw.
            const sql = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%policy_head%'`;
            return (await server().query(sql)).length;
          },
          { timeout: 10_000 },
        )
        .toBe(1);
      link.silence();
    });
    // The answer to the look goes nowhere, and the session that hears of changes is dead, too.
    link.open();
    await send(one, 'PUT', 'acl', rules('bob'), '"1"');
    await serves(two, 2, 1_500);
    await look;
  });

  it('P1: 100 changes by two replicas under questions: each answer is right for the version that it names', async () => {
    const url = server().newSchema();
    const replicas = [await startReplica(url), await startReplica(url), await startReplica(url)];
    const subjectOf = new Map<string, string>();
    const first = await send(replicas[0]!, 'PUT', 'acl', rules('user-0'), '');
    subjectOf.set(first.body.version, 'user-0');
    await Promise.all(replicas.map((replica) => serves(replica, 1)));
    let isOver = false;
    const wrong: unknown[] = [];
    const answers: { subject: string; answer: { policyVersion: string; allowed: boolean; revision: number } }[] = [];
    const asking = replicas.map(async (replica) => {
      let last = 0;
      for (let n = 0; !isOver; n++) {
        const subject = `user-${n % 101}`;
        const answer = await decide(replica, subject);
        answers.push({ subject, answer });
        if (!(answer.revision >= last)) wrong.push({ last, answer });
        last = answer.revision;
      }
    });
    const writing = [0, 1].map(async (writer) => {
      for (let n = writer + 1; n <= 100; n += 2) {
        const { status, body } = await send(replicas[writer]!, 'PUT', 'acl', rules(`user-${n}`));
        expect(status).toBe(200);
        subjectOf.set(body.version, `user-${n}`);
      }
    });
    await Promise.all(writing);
    await Promise.all(replicas.map((replica) => serves(replica, 101)));
    isOver = true;
    await Promise.all(asking);
    for (const { subject, answer } of answers) {
      if (answer.allowed !== (subjectOf.get(answer.policyVersion) === subject)) wrong.push({ subject, answer });
    }
    expect(wrong).toEqual([]);
    expect(answers.length).toBeGreaterThan(300);
    const versions = await Promise.all(
      replicas.map(async (replica) => (await replica.get('/v1/policy-sets/acl')).body.version),
    );
    expect(new Set(versions).size).toBe(1);
  });

  it('P8: a replica that is cut off says so within seconds, goes on, and catches up', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [one, two] = [await startReplica(url), await startReplica(link.through(url))];
    await send(one, 'PUT', 'acl', rules('alice'), '');
    await serves(two, 1);
    link.cut();
    const stateOf = async () => (await two.get('/v1/policy-sets/acl')).body;
    await expect.poll(async () => (await stateOf()).state, { timeout: 5_000, interval: 50 }).toBe('stale');
    expect((await stateOf()).problems[0]).toMatchObject({ code: 'policy_database_away' });
    expect(await decide(two, 'alice')).toMatchObject({ allowed: true, revision: 1 });
    await send(one, 'PUT', 'acl', rules('bob'));
    expect(await decide(two, 'alice')).toMatchObject({ allowed: true, revision: 1 });
    link.open();
    await serves(two, 2, 5_000);
    await expect.poll(async () => (await stateOf()).state, { timeout: 2_000, interval: 20 }).toBe('active');
  });

  it('serves its copy, stale, when it is started while the database is away, and catches up when it is back', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [one, spool] = [await startReplica(url), join(serviceFolder(), 'spool')];
    await send(one, 'PUT', 'acl', rules('alice'), '');
    await send(one, 'PUT', 'gone', rules('alice'), '');
    const before = await startReplica(link.through(url), spool);
    await serves(before, 1);
    await send(one, 'DELETE', 'gone');
    await expect
      .poll(async () => (await before.get('/v1/policy-sets/gone')).status, { timeout: boundMs, interval: 5 })
      .toBe(404);
    await before.stop();
    link.cut();
    const again = await startReplica(link.through(url), spool);
    const { body } = await again.get('/v1/policy-sets');
    expect(body.items).toMatchObject([{ name: 'acl', state: 'stale', revision: 1 }]);
    expect(await decide(again, 'alice')).toMatchObject({ allowed: true, revision: 1 });
    expect((await again.get('/health/ready')).status).toBe(200);
    expect((await again.get('/health')).body.status).not.toBe('ok');
    await send(one, 'PUT', 'acl', rules('bob'));
    link.open();
    await serves(again, 2, 5_000);
    expect((await again.get('/health/ready')).status).toBe(200);
  }, 60_000);

  it('is not ready when it is started while the database is away and there is no copy, or a damaged one', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [one, spool] = [await startReplica(url), join(serviceFolder(), 'spool')];
    await send(one, 'PUT', 'acl', rules('alice'), '');
    const before = await startReplica(link.through(url), spool);
    await serves(before, 1);
    await before.stop();
    link.cut();
    const empty = await startReplica(link.through(url));
    expect((await empty.get('/health/ready')).status).toBe(503);
    expect(await decide(empty, 'alice')).toMatchObject({ status: 503 });
    const copy = join(spool, 'verdict.policies');
    const [file] = readdirSync(copy).filter((name) => name.endsWith('.set'));
    writeFileSync(join(copy, file!), 'damaged');
    const damaged = await startReplica(link.through(url), spool);
    expect(await decide(damaged, 'alice')).toMatchObject({ status: 503 });
    expect((await damaged.get('/health/ready')).status).toBe(503);
    link.open();
    await serves(damaged, 1, 5_000);
    expect((await damaged.get('/health/ready')).status).toBe(200);
  }, 60_000);
});
