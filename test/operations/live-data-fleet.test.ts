/**
 * P1, P3, P8 with live data: three processes on one PostgreSQL change the role links of one set all the time, with its files
 * now and then, while clients ask, some of whom demand what they know of. One of them is ended and started again.
 *
 *     VERDICT_TEST_FLEET=full    # 500 changes
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { postgresForTests } from '../database/postgres/databases.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { roleModel } from '../models.js';
import { ServiceProcess, serviceFolder } from './processes.js';
import { type Change, type Told, wrongAnswers } from './told-answers.js';

const isFull = process.env.VERDICT_TEST_FLEET === 'full';
const changes = isFull ? 500 : 60;
/** What is changed is in force everywhere within this time, in milliseconds. */
const boundMs = 1_000;
const users = 6;

/** An answer by the id of its decision. */
interface Recorded extends Told {
  readonly id: string;
}

describe.skipIf(!hasPostgres)('live data of a fleet (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  it('P8: every answer has the links that were demanded, and those of a second ago; each replays to itself', async () => {
    const url = server().newSchema();
    const folders = [0, 1, 2].map(() => serviceFolder());
    const start = (n: number) =>
      ServiceProcess.start(folders[n]!, {
        VERDICT_DATABASE_URL: url,
        VERDICT_SPOOL_DIR: join('.', 'spool'),
        VERDICT_POLICY_SOURCE: 'database',
        VERDICT_INSTANCE: `replica-${n}`,
        VERDICT_LOG_LEVEL: 'error',
      });
    const replicas = [await start(0), await start(1), await start(2)];
    const put = async (replica: number, extra: string) => {
      const rules = `p, reader, data1, read\n${extra}`;
      const response = await fetch(`${replicas[replica]!.url}/v1/policy-sets/acl`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json', ...(made.length > 0 && { 'if-match': '*' }) },
        body: JSON.stringify({
          files: { 'model.conf': roleModel, 'rules.csv': rules, 'policy-set.yaml': 'data: { roles: [g] }\n' },
        }),
      });
      const body = (await response.json()) as { revision: number };
      expect(response.status, JSON.stringify(body)).toBe(200);
      return body.revision;
    };
    const made: Change[] = [];
    const isServed = (replica: number, revision: number, timeout: number) =>
      expect
        .poll(async () => (await replicas[replica]!.get('/v1/policy-sets/acl')).body.revision, {
          timeout,
          interval: 10,
        })
        .toBeGreaterThanOrEqual(revision);
    /** Who reads, by version. */
    const readers = new Map<string, ReadonlySet<string>>();
    let now: ReadonlySet<string> = new Set();
    const note = async (replica: number, revision: number) => {
      const at = performance.now();
      await isServed(replica, revision, 5_000);
      const { version } = (await replicas[replica]!.get('/v1/policy-sets/acl')).body;
      readers.set(version, now);
      made.push({ revision, version, at });
    };
    await note(0, await put(0, ''));
    for (const replica of [1, 2]) await isServed(replica, 1, 5_000);

    let isOver = false;
    /** When the third replica was away, by the monotonic clock. */
    const away = { from: Number.POSITIVE_INFINITY, to: Number.POSITIVE_INFINITY };
    const told: Recorded[] = [];
    const refused: { readonly status: number; readonly demanded: number | undefined }[] = [];
    const asking = Array.from({ length: 6 }, async (_, client) => {
      const replica = client % 3;
      while (!isOver) {
        const subject = `user-${Math.floor(Math.random() * users)}`;
        const demanded = client >= 3 ? made.at(-1)!.revision : undefined;
        const askedAt = performance.now();
        const question = { subject, action: 'read', resource: 'data1', policySet: 'acl' };
        const demand = demanded === undefined ? {} : { atLeast: demanded };
        await replicas[replica]!.post('/v1/decide', { ...question, ...demand }).then(
          ({ status, body }) => {
            if (status !== 200) return refused.push({ status, demanded });
            const { decisionId: id, allowed, policyVersion: version, revision } = body;
            return told.push({ id, replica, subject, askedAt, demanded, status, allowed, version, revision });
          },
          // It is being ended or started.
          () => expect(replica).toBe(2),
        );
        await delay(10);
      }
    });

    for (let n = 1; n <= changes; n++) {
      const replica = n % 3 === 2 && performance.now() >= away.from && performance.now() <= away.to ? 0 : n % 2;
      if (n % 15 === 0) await note(replica, await put(replica, `p, nobody, data${n}, read\n`));
      else {
        const user = `user-${n % users}`;
        const roles = [['g', user, 'reader']];
        const isReader = now.has(user);
        const next = new Set(now);
        if (isReader) next.delete(user);
        else next.add(user);
        const change = isReader ? { remove: { roles } } : { add: { roles } };
        const { status, body } = await replicas[replica]!.post('/v1/policy-sets/acl/changes', change);
        expect(status, JSON.stringify(body)).toBe(200);
        expect(body).toMatchObject(isReader ? { added: 0, removed: 1 } : { added: 1, removed: 0 });
        now = next;
        await note(replica, body.revision);
      }
      if (n === Math.floor(changes / 2)) {
        away.from = performance.now();
        await replicas[2]!.stop('SIGKILL');
        replicas[2] = await start(2);
        await isServed(2, made.at(-1)!.revision, 10_000);
        away.to = performance.now();
      }
      await delay(10);
    }
    isOver = true;
    await Promise.all(asking);

    const wrong = wrongAnswers(told, made, {
      isAllowed: (version, subject) => readers.get(version)?.has(subject),
      boundAt: () => boundMs,
      absence: { replica: 2, ...away },
    });
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(refused.filter(({ status, demanded }) => status !== 503 || demanded === undefined)).toEqual([]);
    expect(told.filter(({ demanded }) => demanded !== undefined).length).toBeGreaterThan(changes);
    const revisions = made.map(({ revision }) => revision);
    expect(revisions).toEqual(Array.from(revisions, (_, index) => index + 1));
    const { revision, version } = made.at(-1)!;
    for (const replica of replicas) {
      await expect
        .poll(async () => (await replica.get('/v1/policy-sets/acl')).body, { timeout: boundMs, interval: 5 })
        .toMatchObject({ revision, version, state: 'active' });
    }

    // Any replica, after all these changes: the data of that time is worked out from what was changed since.
    for (let at = 0; at < told.length; at += Math.ceil(told.length / 20)) {
      const { id, allowed, version: of } = told[at]!;
      const { status, body } = await replicas[at % 3]!.post(`/v1/decisions/${id}/replay`, {});
      expect(status, JSON.stringify(body)).toBe(200);
      expect(body).toMatchObject({ same: true, replayed: { policyVersion: of, decision: allowed ? 'allow' : 'deny' } });
    }
  }, 600_000);
});
