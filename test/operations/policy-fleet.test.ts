/**
 * P1, P3, P8: one policy for a fleet. Three processes on one PostgreSQL serve sets that are changed all the time, while
 * clients ask, some of whom demand what they know of.
 *
 *     VERDICT_TEST_FLEET=full    # 500 changes
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { postgresForTests } from '../database/postgres/databases.js';
import { Link } from '../database/postgres/link.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { idModel } from '../models.js';
import { ServiceProcess, serviceFolder } from './processes.js';

const isFull = process.env.VERDICT_TEST_FLEET === 'full';
const changes = isFull ? 500 : 60;
/** What is changed is in force everywhere within this time, in milliseconds. */
const boundMs = 1_000;
/** Time in milliseconds in which a replica that is cut off is seen. */
const seenMs = 3_000;

/** What one client was told. */
interface Told {
  readonly replica: number;
  readonly subject: string;
  /** By the monotonic clock: when it was asked. */
  readonly askedAt: number;
  readonly demanded: number | undefined;
  readonly status: number;
  readonly allowed: boolean;
  readonly version: string;
  readonly revision: number;
}

/** One change of the set, as its writer was told of it. */
interface Change {
  readonly revision: number;
  readonly version: string;
  /** By the monotonic clock: when the answer came. */
  readonly at: number;
}

describe.skipIf(!hasPostgres)('one policy for a fleet (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  it('P8: no answer is older than demanded, nor than a second; each is right for the version that it names', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const replicas: ServiceProcess[] = [];
    for (const n of [0, 1, 2]) {
      replicas.push(
        await ServiceProcess.start(serviceFolder(), {
          VERDICT_DATABASE_URL: n === 2 ? link.through(url) : url,
          VERDICT_SPOOL_DIR: join('.', 'spool'),
          VERDICT_POLICY_SOURCE: 'database',
          VERDICT_INSTANCE: `replica-${n}`,
          VERDICT_LOG_LEVEL: 'error',
        }),
      );
    }
    const put = async (replica: number, subject: string, ifMatch?: string) => {
      const response = await fetch(`${replicas[replica]!.url}/v1/policy-sets/acl`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json', ...(ifMatch !== undefined && { 'if-match': ifMatch }) },
        body: JSON.stringify({ files: { 'model.conf': idModel, 'rules.csv': `p, ${subject}, data1, read\n` } }),
      });
      expect(response.status).toBe(200);
      return (await response.json()) as { version: string; revision: number };
    };

    /** Whom each version allows. */
    const subjectOf = new Map<string, string>();
    const made: Change[] = [];
    const note = ({ revision, version }: { revision: number; version: string }) =>
      made.push({ revision, version, at: performance.now() });
    const first = await put(0, 'user-0');
    subjectOf.set(first.version, 'user-0');
    note(first);
    for (const replica of replicas) {
      await expect
        .poll(async () => (await replica.get('/v1/policy-sets/acl')).body.revision, { timeout: 5_000, interval: 10 })
        .toBe(1);
    }

    let isOver = false;
    /** When the third replica was cut off, by the monotonic clock: it cannot know of changes from then until it caught up. */
    const cut = { from: Number.POSITIVE_INFINITY, to: Number.POSITIVE_INFINITY };
    const told: Told[] = [];
    const refused: Told[] = [];
    const ask = async (replica: number, demands: boolean): Promise<void> => {
      const subject = `user-${Math.floor(Math.random() * 8)}`;
      const demanded = demands ? Math.max(...made.slice(-5).map(({ revision }) => revision)) : undefined;
      const askedAt = performance.now();
      const question = { subject, action: 'read', resource: 'data1', policySet: 'acl' };
      const { status, body } = await replicas[replica]!.post('/v1/decide', {
        ...question,
        ...(demanded !== undefined && { atLeast: demanded }),
      });
      const answer = { allowed: body.allowed, version: body.policyVersion, revision: body.revision };
      (status === 200 ? told : refused).push({ replica, subject, askedAt, demanded, status, ...answer });
    };
    const asking = Array.from({ length: 6 }, async (_, client) => {
      while (!isOver) {
        await ask(client % 3, client >= 3);
        await delay(5);
      }
    });

    for (let n = 1; n <= changes; n++) {
      // The third replica is cut off in the middle of it: what it is asked to change it cannot.
      const replica = n % 2;
      if (n % 5 === 0) {
        const { version } = made[Math.floor(Math.random() * made.length)]!;
        const { status, body } = await replicas[replica]!.post('/v1/policy-sets/acl/rollback', { version });
        expect(status).toBe(200);
        note(body);
      } else {
        const subject = `user-${n % 8}`;
        const written = await put(replica, subject, '*');
        subjectOf.set(written.version, subject);
        note(written);
      }
      if (n === Math.floor(changes / 2)) {
        link.cut();
        cut.from = performance.now();
        await expect
          .poll(
            async () => {
              const { replicas: seen } = (await replicas[0]!.get('/v1/fleet')).body;
              return seen.find(({ instance }: { instance: string }) => instance === 'replica-2').state;
            },
            { timeout: seenMs + 1_500, interval: 50 },
          )
          .toBe('silent');
        expect(performance.now() - cut.from).toBeLessThan(seenMs + 1_500);
        const strict = { subject: 'user-1', action: 'read', resource: 'data1', policySet: 'acl', maxStaleness: '2s' };
        const late = await replicas[2]!.post('/v1/decide', strict);
        expect(late.body.type).toBe('urn:verdict:problem:policy_too_old');
        expect((await replicas[0]!.post('/v1/decide', strict)).status).toBe(200);
        await put(0, `user-${n % 8}`, '*').then((written) => {
          subjectOf.set(written.version, `user-${n % 8}`);
          note(written);
        });
        link.open();
        const { revision } = made.at(-1)!;
        await expect
          .poll(async () => (await replicas[2]!.get('/v1/policy-sets/acl')).body.revision, {
            timeout: 10_000,
            interval: 10,
          })
          .toBeGreaterThanOrEqual(revision);
        cut.to = performance.now();
      }
      await delay(20);
    }
    isOver = true;
    await Promise.all(asking);

    const wrong: unknown[] = [];
    for (const answer of told) {
      if (answer.allowed !== (subjectOf.get(answer.version) === answer.subject)) wrong.push(['wrong', answer]);
      if (answer.demanded !== undefined && answer.revision < answer.demanded)
        wrong.push(['older than demanded', answer]);
      const knew = made.filter(({ at }) => at <= answer.askedAt - boundMs).at(-1);
      const wasCut = answer.replica === 2 && answer.askedAt >= cut.from && answer.askedAt <= cut.to;
      if (knew !== undefined && !wasCut && answer.revision < knew.revision)
        wrong.push(['older than a second', answer, knew]);
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    // Only who demands is refused, and only because the replica is behind.
    expect(refused.filter(({ status, demanded }) => status !== 503 || demanded === undefined)).toEqual([]);
    expect(told.filter(({ demanded }) => demanded !== undefined).length).toBeGreaterThan(changes);
    const revisions = made.map(({ revision }) => revision);
    expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
    const { revision, version } = made.at(-1)!;
    for (const replica of replicas) {
      await expect
        .poll(async () => (await replica.get('/v1/policy-sets/acl')).body, { timeout: boundMs, interval: 5 })
        .toMatchObject({ revision, version, state: 'active' });
    }
    await expect
      .poll(
        async () => {
          const { replicas: seen } = (await replicas[0]!.get('/v1/fleet')).body;
          return seen.map(({ sets }: { sets: { revision: number }[] }) => sets[0]?.revision);
        },
        { timeout: seenMs, interval: 50 },
      )
      .toEqual([revision, revision, revision]);
  }, 600_000);
});
