/**
 * P1, P3, P7, P8: one policy for a fleet. Three processes on one PostgreSQL serve sets, from the database or from bundles, that
 * are changed and rolled back all the time, and keys are made and revoked, while clients ask, some of whom demand what they
 * know of.
 *
 *     VERDICT_TEST_FLEET=full    # 500 changes
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { versionOf } from '../../src/policy-store/policy-set-files.js';
import { openDatabase, postgresForTests } from '../database/postgres/databases.js';
import { Link } from '../database/postgres/link.js';
import { hasPostgres } from '../database/postgres/postgres-server.js';
import { idModel } from '../models.js';
import { bundleFolder, publicationOf, setOf } from '../policy-store/bundle/published.js';
import { newKey } from '../policy-store/bundle/signing-keys.js';
import { ServiceProcess, serviceFolder } from './processes.js';
import { type Change, type Told, wrongAnswers } from './told-answers.js';

const isFull = process.env.VERDICT_TEST_FLEET === 'full';
const changes = isFull ? 500 : 60;
const bundleChanges = isFull ? 500 : 12;
/** What is changed is in force everywhere within this time, in milliseconds. */
const boundMs = 1_000;
/** Time in milliseconds in which a replica that is cut off is seen. */
const seenMs = 3_000;

/** Every so many changes a key is made, and one that was made earlier is revoked. */
const keyEvery = 4;
/** The sets of bundles are looked for so often, in milliseconds. */
const pollMs = 1_000;

/** A key, by the monotonic clock. */
interface Key {
  readonly name: string;
  readonly key: string;
  /** When the answer came that made it. */
  readonly madeAt: number;
  /** When its revocation was asked for, and answered. */
  revoking: number;
  revoked: number;
}

/**
 * How long the plainest calls take meanwhile: what a busy machine adds to a bound. One that fails says nothing.
 */
function paceOf(calls: readonly (() => Promise<unknown>)[]) {
  const taken: { readonly call: number; readonly ended: number; readonly ms: number }[] = [];
  let isOver = false;
  const loops = calls.map(async (call, n) => {
    while (!isOver) {
      const began = performance.now();
      const isAnswered = await call().then(
        () => true,
        () => false,
      );
      const ended = performance.now();
      if (isAnswered) taken.push({ call: n, ended, ms: ended - began });
      await delay(50);
    }
  });
  return {
    stop: async () => {
      isOver = true;
      await Promise.all(loops);
    },
    /** The longest of each kind in the bound, and as long as that before, together. */
    slowest: (at: number, moreMs = 0) =>
      calls.reduce((sum, _, n) => {
        const then = taken.filter(
          ({ call, ended }) => call === n && ended > at - 2 * boundMs - moreMs && ended < at + boundMs,
        );
        return sum + Math.max(0, ...then.map(({ ms }) => ms));
      }, 0),
  };
}

describe.skipIf(!hasPostgres)('one policy for a fleet (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  it('P8: no answer is older than demanded, nor than a second; each is right for the version that it names', async () => {
    const url = server().newSchema();
    const link = await Link.to(server().port);
    const [direct, linked] = [openDatabase(url), openDatabase(link.through(url))];
    const admin = makeApiKey('test');
    const keysFile = join(serviceFolder(), 'keys.yaml');
    const scopes = `[decide, 'keys:admin', 'policies:read', 'policies:write']`;
    writeFileSync(keysFile, `- {name: admin, sha256: ${digestOf(admin)}, scopes: ${scopes}}\n`);
    const replicas: ServiceProcess[] = [];
    for (const n of [0, 1, 2]) {
      const replica = await ServiceProcess.start(serviceFolder(), {
        VERDICT_DATABASE_URL: n === 2 ? link.through(url) : url,
        VERDICT_SPOOL_DIR: join('.', 'spool'),
        VERDICT_POLICY_SOURCE: 'database',
        VERDICT_INSTANCE: `replica-${n}`,
        VERDICT_LOG_LEVEL: 'error',
        VERDICT_AUTH: 'required',
        VERDICT_API_KEYS_FILE: keysFile,
        // Clients ask with keys until long after they are revoked.
        VERDICT_AUTH_FAILURE_LIMIT: '100000/s',
      });
      replica.key = admin;
      replicas.push(replica);
    }
    const put = async (replica: number, subject: string, ifMatch?: string) => {
      const files = { 'model.conf': idModel, 'rules.csv': `p, ${subject}, data1, read\n` };
      const headers: Record<string, string> = ifMatch === undefined ? {} : { 'if-match': ifMatch };
      const { status, body } = await replicas[replica]!.send('PUT', '/v1/policy-sets/acl', { files }, headers);
      expect(status).toBe(200);
      return body as { version: string; revision: number };
    };
    const keys: Key[] = [];
    const makeKey = async (replica: number, name: string) => {
      const { status, body } = await replicas[replica]!.post('/v1/api-keys', { name, scopes: ['decide'] });
      expect(status).toBe(201);
      const never = Number.POSITIVE_INFINITY;
      keys.push({ name, key: body.key, madeAt: performance.now(), revoking: never, revoked: never });
    };
    const revokeKey = async (replica: number, key: Key) => {
      key.revoking = performance.now();
      expect((await replicas[replica]!.send('DELETE', `/v1/api-keys/${key.name}`)).status).toBe(204);
      key.revoked = performance.now();
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

    /** How each key was taken. */
    const tried: { readonly replica: number; readonly key: Key; readonly askedAt: number; readonly status: number }[] =
      [];
    const trying = (async () => {
      for (let replica = 0; !isOver; replica = (replica + 1) % 3) {
        const key = keys[Math.floor(Math.random() * keys.length)];
        const askedAt = performance.now();
        if (key !== undefined) {
          const question = { subject: 'user-0', action: 'read', resource: 'data1', policySet: 'acl' };
          const { status } = await replicas[replica]!.send('POST', '/v1/decide', question, {}, key.key);
          tried.push({ replica, key, askedAt, status });
        }
        await delay(20);
      }
    })();

    const pace = paceOf([
      ...replicas.map((replica) => () => replica.get('/health/live')),
      () => direct.query('SELECT 1'),
      () => linked.query('SELECT 1'),
    ]);
    for (let n = 1; n <= changes; n++) {
      if (n % keyEvery === 0) {
        await makeKey(n % 2, `key-${n}`);
        const earlier = keys.find(({ revoking }) => revoking === Number.POSITIVE_INFINITY);
        if (keys.length > 3 && earlier !== undefined) await revokeKey((n + 1) % 2, earlier);
      }
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
    await Promise.all([...asking, trying, pace.stop()]);

    const wrongKeys = tried.filter(({ replica, key, askedAt, status }) => {
      const bound = boundMs + pace.slowest(askedAt);
      // It reads the keys anew when the link is back.
      const wasCut = replica === 2 && askedAt >= cut.from && askedAt <= cut.to + bound;
      if (wasCut) return false;
      if (askedAt > key.revoked + bound) return status !== 401;
      return askedAt > key.madeAt + bound && askedAt + bound < key.revoking && status !== 200;
    });
    expect(wrongKeys.slice(0, 5)).toEqual([]);
    const refusedKeys = tried.filter(({ key, askedAt }) => askedAt > key.revoked + boundMs);
    expect(refusedKeys.length).toBeGreaterThan(0);
    expect(tried.filter(({ status }) => status === 200).length).toBeGreaterThan(0);

    const wrong = wrongAnswers(told, made, {
      isAllowed: (version, subject) => subjectOf.get(version) === subject,
      boundAt: (askedAt) => boundMs + pace.slowest(askedAt),
      absence: { replica: 2, ...cut },
    });
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

  it('P8: of bundles that are published and rolled back, no answer is older than demanded, nor than the poll and a second', async () => {
    const url = server().newSchema();
    const { publicPem, signing } = await newKey();
    const published = bundleFolder({ signing });
    const keysFile = join(serviceFolder(), 'keys.pem');
    writeFileSync(keysFile, publicPem);
    const subjectOf = new Map<string, string>();
    const made: Change[] = [];
    const push = async (subject: string) => {
      const set = setOf(subject);
      const { sets } = await published.publisher().push([publicationOf(set)]);
      subjectOf.set(versionOf(set.files), subject);
      made.push({ revision: sets[0]!.revision, version: versionOf(set.files), at: performance.now() });
    };
    await push('user-0');
    const replicas: ServiceProcess[] = [];
    for (const n of [0, 1, 2]) {
      replicas.push(
        await ServiceProcess.start(serviceFolder(), {
          VERDICT_DATABASE_URL: url,
          VERDICT_SPOOL_DIR: join('.', 'spool'),
          VERDICT_POLICY_SOURCE: 'bundle',
          VERDICT_BUNDLE_URL: pathToFileURL(published.path).href,
          VERDICT_BUNDLE_KEYS: keysFile,
          VERDICT_BUNDLE_POLL: `${pollMs}ms`,
          VERDICT_INSTANCE: `replica-${n}`,
          VERDICT_LOG_LEVEL: 'error',
        }),
      );
    }
    let isOver = false;
    const told: Told[] = [];
    const refused: Told[] = [];
    const asking = Array.from({ length: 6 }, async (_, client) => {
      const replica = client % 3;
      while (!isOver) {
        const subject = `user-${Math.floor(Math.random() * 8)}`;
        const demanded = client >= 3 ? made.at(-1)!.revision : undefined;
        const askedAt = performance.now();
        const question = { subject, action: 'read', resource: 'data', policySet: 'acl' };
        const demand = demanded === undefined ? {} : { atLeast: demanded };
        const { status, body } = await replicas[replica]!.post('/v1/decide', { ...question, ...demand });
        const answer = { allowed: body.allowed, version: body.policyVersion, revision: body.revision };
        (status === 200 ? told : refused).push({ replica, subject, askedAt, demanded, status, ...answer });
        await delay(10);
      }
    });
    const pace = paceOf(replicas.map((replica) => () => replica.get('/health/live')));
    const allServeTheNewest = () =>
      expect
        .poll(() => Promise.all(replicas.map(async (each) => (await each.get('/v1/policy-sets/acl')).body.revision)), {
          timeout: pollMs + boundMs,
          interval: 20,
        })
        .toEqual(Array(3).fill(made.at(-1)!.revision));
    for (let n = 1; n <= bundleChanges; n++) {
      // One that is replaced between two looks is never served, and cannot be rolled back to.
      if (n % 3 === 0) await allServeTheNewest();
      await push(`user-${n % 8}`);
      if (n % 3 === 0) {
        await allServeTheNewest();
        const { version } = made.at(-2)!;
        expect((await replicas[(n / 3) % 3]!.post('/v1/policy-sets/acl/rollback', { version })).status).toBe(200);
        const serves = async () =>
          Promise.all(replicas.map(async (each) => (await each.get('/v1/policy-sets/acl')).body.version));
        const answered = performance.now();
        await expect.poll(serves, { timeout: 10_000, interval: 20 }).toEqual(Array(3).fill(version));
        const followed = performance.now();
        expect(followed - answered).toBeLessThan(boundMs + pace.slowest(followed));
      }
      await delay(50);
    }
    await allServeTheNewest();
    isOver = true;
    await Promise.all([...asking, pace.stop()]);
    const wrong = wrongAnswers(told, made, {
      isAllowed: (version, subject) => subjectOf.get(version) === subject,
      boundAt: (askedAt) => pollMs + boundMs + pace.slowest(askedAt, pollMs),
    });
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(refused.filter(({ status, demanded }) => status !== 503 || demanded === undefined)).toEqual([]);
    expect(told.filter(({ demanded }) => demanded !== undefined).length).toBeGreaterThan(bundleChanges);
  }, 1_200_000);
});
