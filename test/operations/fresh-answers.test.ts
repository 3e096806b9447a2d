/** P8: callers that demand freshness of real replicas, whose policy sets are in PostgreSQL. */
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Config } from '../../src/config/config.js';
import { postgresForTests } from '../database/postgres/databases.js';
import { Link } from '../database/postgres/link.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { type Answer, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { serviceFolder } from './processes.js';

describe.skipIf(!hasPostgres)('demanded freshness over replicas (skipped without PostgreSQL)', () => {
  const server = postgresForTests();

  async function startReplica(databaseUrl: string, settings: Partial<Config> = {}): Promise<Service> {
    const service = await startService(
      {},
      { databaseUrl, spoolDir: join(serviceFolder(), 'spool'), policySource: 'database', ...settings },
    );
    onTestFinished(() => service.stop());
    return service;
  }

  /** Lets one subject read, and nobody else; the answer has the revision to demand. */
  async function allowOnly(service: Service, subject: string, isNew = false): Promise<{ revision: number }> {
    const answer = await service.app.inject({
      method: 'PUT',
      url: '/v1/policy-sets/acl',
      headers: { 'content-type': 'application/json', ...(!isNew && { 'if-match': '*' }) },
      payload: JSON.stringify({ files: { 'model.conf': idModel, 'rules.csv': `p, ${subject}, data1, read\n` } }),
    });
    expect(answer.statusCode).toBe(200);
    return answer.json();
  }

  const decide = (service: Service, subject: string, demand: object = {}): Promise<Answer> =>
    service.post('/v1/decide', { subject, action: 'read', resource: 'data1', policySet: 'acl', ...demand });
  const codeOf = ({ status, body }: Answer) => (status === 200 ? 'answered' : body.type.replace(/.*:/, ''));

  it('200 changes and rollbacks: nobody who demands the last one is answered from an older one', async () => {
    const url = server().newSchema();
    const replicas = [await startReplica(url), await startReplica(url), await startReplica(url)];
    const first = (await replicas[0]!.app.inject({ url: '/v1/policy-sets' })).json();
    expect(first.items).toEqual([]);
    await allowOnly(replicas[0]!, 'user-0', true);
    const outcomes = new Map<string, number>();
    const wrong: unknown[] = [];
    for (let n = 1; n <= 200; n++) {
      const [writer, other, third] = [0, 1, 2].map((offset) => replicas[(n + offset) % 3]!);
      let revision: number;
      let allowed = `user-${n}`;
      if (n % 10 === 0) {
        const { body } = await writer!.get('/v1/policy-sets/acl/versions?limit=100');
        const version = body.items.at(-1).version;
        const back = await writer!.post('/v1/policy-sets/acl/rollback', { version });
        expect(back.status).toBe(200);
        revision = back.body.revision;
        allowed = '';
      } else {
        ({ revision } = await allowOnly(writer!, allowed));
      }
      // The one before was allowed by what is older.
      const before = `user-${n - 1}`;
      const asked = await Promise.all([
        decide(other!, before, { atLeast: revision }),
        decide(third!, allowed === '' ? before : allowed, { atLeast: { acl: revision } }),
      ]);
      for (const [index, answer] of asked.entries()) {
        const code = codeOf(answer);
        outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
        if (code === 'policy_too_old') continue;
        const isRight = answer.body.revision === revision && (allowed === '' || answer.body.allowed === (index === 1));
        if (!isRight) wrong.push({ n, revision, answer });
      }
    }
    expect(wrong).toEqual([]);
    // A replica hears of a change in some milliseconds; only now and then one takes longer than a request waits.
    expect(outcomes.get('answered')).toBeGreaterThan(200);
    expect([...outcomes.keys()].sort()).toEqual(outcomes.size === 1 ? ['answered'] : ['answered', 'policy_too_old']);
  }, 300_000);

  it('a replica that is cut off refuses who demands what it cannot know, answers the others, and catches up', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [one, two] = [await startReplica(url), await startReplica(link.through(url))];
    const { revision } = await allowOnly(one, 'ann', true);
    await expect.poll(async () => codeOf(await decide(two, 'ann', { atLeast: revision }))).toBe('answered');
    expect(codeOf(await decide(two, 'ann', { maxStaleness: '5s' }))).toBe('answered');
    expect(codeOf(await decide(two, 'ann', { atLeast: revision + 1 }))).toBe('unknown_revision');
    link.cut();
    const changed = await allowOnly(one, 'bob');
    expect(codeOf(await decide(two, 'ann', { atLeast: changed.revision }))).toBe('policy_too_old');
    // Neither can it tell that a revision was never given out.
    expect(codeOf(await decide(two, 'ann', { atLeast: changed.revision + 1 }))).toBe('policy_too_old');
    await expect
      .poll(async () => codeOf(await decide(two, 'ann', { maxStaleness: '1s' })), { timeout: 5_000, interval: 50 })
      .toBe('policy_too_old');
    expect((await decide(two, 'ann')).body).toMatchObject({ allowed: true, revision });
    link.open();
    await expect
      .poll(async () => codeOf(await decide(two, 'bob', { atLeast: changed.revision })), {
        timeout: 10_000,
        interval: 50,
      })
      .toBe('answered');
    expect((await decide(two, 'ann', { atLeast: changed.revision })).body).toMatchObject({ allowed: false });
  }, 60_000);

  it('past VERDICT_MAX_STALENESS a replica that is cut off refuses everybody, says so, and answers again', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [one, two] = [await startReplica(url), await startReplica(link.through(url), { maxStaleness: '2s' })];
    const { revision } = await allowOnly(one, 'ann', true);
    await expect.poll(async () => codeOf(await decide(two, 'ann', { atLeast: revision }))).toBe('answered');
    expect(codeOf(await decide(two, 'ann'))).toBe('answered');
    link.cut();
    await expect
      .poll(async () => codeOf(await decide(two, 'ann')), { timeout: 6_000, interval: 50 })
      .toBe('policy_too_old');
    expect(codeOf(await decide(two, 'ann', { maxStaleness: '1h' }))).toBe('policy_too_old');
    expect((await two.get('/health')).body.details.policies).toMatchObject({ status: 'degraded', outdated: ['acl'] });
    expect(codeOf(await decide(one, 'ann'))).toBe('answered');
    link.open();
    await expect.poll(async () => codeOf(await decide(two, 'ann')), { timeout: 10_000, interval: 50 }).toBe('answered');
  }, 60_000);
});
