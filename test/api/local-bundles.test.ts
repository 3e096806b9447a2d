/** `GET /v1/policy-sets/{set}/bundle`: what clients that decide in their own process get, and when they get it. */

import { createPublicKey } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { flattenedVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readNoteKey } from '../../src/decision-log/proof/signed-note.js';
import { compilePolicySet } from '../../src/engine.js';
import { LocalBundles, maxWaiting } from '../../src/policy-store/local/local-bundles.js';
import { PolicyStore } from '../../src/policy-store/policy-store.js';
import { type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { startKeyedService } from '../security/keyed-service.js';
import { liveSets } from './live-data-sets.js';

const entities = `- { type: user, id: ann, attributes: { level: 3, salary: 9000, notes: "a \\"quoted\\" 𝒳" } }
- { type: page, id: home, attributes: { salary: 1 } }
`;
const manifest = 'local: { omit: [user.salary, user.notes, robot.secret] }\ndata: { roles: [g], entities: [robot] }\n';
const sets = {
  ...liveSets,
  'open/model.conf': idModel,
  'open/rules.csv': 'p, ann, doc, read\n',
  'open/policy-set.yaml': 'local: allowed\n',
  'open/tests/a.yaml':
    'tests: [{ name: a, subject: { id: ann }, action: read, resource: { id: doc }, expect: allow }]\n',
  'partly/model.conf': liveSets['plain/model.conf']!,
  'partly/rules.csv': 'p, editor, article, edit\ng, ann, editor\n',
  'partly/policy-set.yaml': manifest,
  'partly/entities.yaml': entities,
  'default/model.conf': idModel,
  'default/rules.csv': 'p, ann, doc, read\n',
};

interface Bundle {
  readonly version: string;
  readonly files: readonly { readonly path: string; readonly text: string }[];
  readonly data?: { roles: string[][]; entities: { type: string; id: string }[] };
}

/** Compiles a bundle as a client does. */
function compiled({ files, data }: Bundle, version?: string) {
  const textOf = (path: string) => files.find((file) => file.path === path)?.text;
  const [manifestText, entitiesText] = [textOf('policy-set.yaml'), textOf('entities.yaml')];
  return compilePolicySet({
    strict: true,
    model: textOf('model.conf')!,
    rules: files.filter(({ path }) => path.endsWith('.csv')).map(({ path, text }) => ({ file: path, text })),
    ...(manifestText !== undefined && { manifest: manifestText }),
    ...(entitiesText !== undefined && { entities: entitiesText }),
    ...(data !== undefined && { data }),
    ...(version !== undefined && { version }),
  });
}

describe('GET /v1/policy-sets/{set}/bundle', () => {
  let service: Service;
  const fetchOf = (set: string, headers: Record<string, string> = {}, query = '') =>
    service.get(`/v1/policy-sets/${set}/bundle${query}`, headers);

  const rules = (text: string) => {
    writeFileSync(join(service.directory, 'policies/open/rules.csv'), text);
    return service.post('/v1/policy-sets/open/reload', {});
  };

  beforeAll(async () => {
    service = await startService(sets);
  });
  afterAll(() => service.stop());

  it('has all that the engine compiles to the version that serves, and no tests', async () => {
    const { status, headers, body } = await fetchOf('open');
    expect(status).toBe(200);
    expect(headers['content-type']).toMatch(/^application\/json/);
    const { version } = (await service.get('/v1/policy-sets/open')).body;
    expect(body).toMatchObject({ format: 1, set: 'open', version, engineVersion: expect.any(String), semantics: 2 });
    expect(body.files.map(({ path }: { path: string }) => path)).toEqual([
      'model.conf',
      'policy-set.yaml',
      'rules.csv',
    ]);
    expect(compiled(body).version).toBe(version);
    expect(body).not.toHaveProperty('data');
    expect(Number(headers['verdict-source-age'])).toBeLessThan(60_000);
    expect(Number(headers['verdict-waited'])).toBeLessThan(60_000);
  });

  it('is signed by a key of the log, over its bytes, as what it is', async () => {
    const { headers, body } = await service.app
      .inject({ method: 'GET', url: '/v1/policy-sets/open/bundle' })
      .then((answer) => ({ headers: answer.headers, body: answer.rawPayload }));
    const [header, signature] = String(headers['verdict-bundle-signature']).split('..') as [string, string];
    const protectedHeader = JSON.parse(Buffer.from(header, 'base64url').toString());
    expect(protectedHeader).toMatchObject({ alg: 'EdDSA', typ: 'verdict-local-bundle', b64: false, crit: ['b64'] });
    const { keys } = (await service.get('/v1/decisions/keys')).body;
    const known = keys.map(({ key }: { key: string }) => readNoteKey(key)!);
    const key = known.find(
      ({ name, id }: { name: string; id: Buffer }) => `${name}+${id.toString('hex')}` === protectedHeader.kid,
    );
    const verify = (payload: Uint8Array) =>
      flattenedVerify(
        { protected: header, payload, signature },
        createPublicKey(key!.key.export({ type: 'spki', format: 'pem' })),
      );
    await verify(body);
    await expect(verify(Buffer.concat([body, Buffer.from(' ')]))).rejects.toThrow('signature');
  });

  it('is not for sets whose manifest does not allow it, nor for those that are not there', async () => {
    expect(await fetchOf('default')).toMatchObject({
      status: 403,
      body: { type: 'urn:verdict:problem:local_not_allowed' },
    });
    expect(await fetchOf('none')).toMatchObject({
      status: 404,
      body: { type: 'urn:verdict:problem:policy_set_not_found' },
    });
    for (const wait of ['-1', '61', '1.5', 'a', '']) {
      expect(await fetchOf('open', {}, `?wait=${wait}`), wait).toMatchObject({ status: 400 });
    }
  });

  it('has live data, and leaves out what the manifest says, under the version of the set', async () => {
    const change = {
      add: {
        roles: [
          ['g', 'ben', 'editor'],
          ['g', 'ada', 'editor'],
        ],
        entities: [{ type: 'robot', id: 'r2', attributes: { secret: 1, level: 2 } }],
      },
    };
    expect((await service.post('/v1/policy-sets/partly/changes', change)).status).toBe(200);
    const { body } = await fetchOf('partly');
    const { version, revision } = (await service.get('/v1/policy-sets/partly')).body;
    expect(body).toMatchObject({ version, revision });
    expect(body.data).toEqual({
      roles: [
        ['g', 'ada', 'editor'],
        ['g', 'ben', 'editor'],
      ],
      entities: [{ type: 'robot', id: 'r2', attributes: { level: 2 } }],
    });
    const text = body.files.find(({ path }: { path: string }) => path === 'entities.yaml').text;
    expect(JSON.parse(text)).toEqual([
      { type: 'user', id: 'ann', attributes: { level: 3 } },
      { type: 'page', id: 'home', attributes: { salary: 1 } },
    ]);
    expect(JSON.stringify(body)).not.toMatch(/9000|quoted|secret"/);
    // What is here has another digest; the set is compiled under the version that decisions have.
    expect(compiled(body).version).not.toBe(version);
    expect(compiled(body, version).version).toBe(version);
  });

  it('is answered with 304 where the client has it, and anew after a change', async () => {
    const { headers } = await fetchOf('open');
    const etag = String(headers.etag);
    expect(etag).toMatch(/^"sha256:[0-9a-f]{64}"$/);
    for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      expect(await fetchOf('open', { 'if-none-match': known }), known).toMatchObject({ status: 304, body: '' });
    }
    expect((await fetchOf('open', { 'if-none-match': '"other"' })).status).toBe(200);
    await rules('p, ann, doc, read\np, ben, doc, read\n');
    const next = await fetchOf('open', { 'if-none-match': etag });
    expect(next.status).toBe(200);
    expect(next.headers.etag).not.toBe(etag);
  });

  it('waits for a change if asked to, not for one of another set, and no longer than it is asked', async () => {
    const bundles = service.app.get(LocalBundles);
    const { headers } = await fetchOf('open');
    const known = { 'if-none-match': String(headers.etag) };
    const waiting = fetchOf('open', known, '?wait=60');
    await expect.poll(() => bundles.waiters).toBe(1);
    expect(
      (await service.post('/v1/policy-sets/partly/changes', { add: { roles: [['g', 'eve', 'editor']] } })).status,
    ).toBe(200);
    await expect.poll(() => bundles.waiters).toBe(1);
    const changed = rules('p, ann, doc, read\np, eve, doc, read\n');
    const answer = await waiting;
    expect(answer.status).toBe(200);
    expect(answer.body.files.find(({ path }: { path: string }) => path === 'rules.csv').text).toContain('eve');
    await changed;

    const began = performance.now();
    const unchanged = await fetchOf('open', { 'if-none-match': String(answer.headers.etag) }, '?wait=1');
    expect(unchanged).toMatchObject({ status: 304 });
    expect(performance.now() - began).toBeGreaterThan(900);
    expect(Number(unchanged.headers['verdict-waited'])).toBeGreaterThan(900);
    expect(unchanged.headers).not.toHaveProperty('retry-after');
    expect(bundles.waiters).toBe(0);
  });

  it('answers at once where too many wait, and tells when to come back', async () => {
    const bundles = service.app.get(LocalBundles);
    const known = { 'if-none-match': String((await fetchOf('open')).headers.etag) };
    const left = new AbortController();
    setMaxListeners(maxWaiting, left.signal);
    const all = Array.from({ length: maxWaiting }, () => bundles.next('open', () => true, 60_000, left.signal));
    await expect.poll(() => bundles.waiters).toBe(maxWaiting);
    expect(await fetchOf('open', known, '?wait=60')).toMatchObject({ status: 304, headers: { 'retry-after': '1' } });
    left.abort();
    await Promise.all(all);
    expect(bundles.waiters).toBe(0);
  });

  it('lets a client go that has left', async () => {
    const bundles = service.app.get(LocalBundles);
    await service.app.listen(0, '127.0.0.1');
    const url = `${await service.app.getUrl()}/v1/policy-sets/open/bundle`;
    const { headers } = await fetchOf('open');
    const leaving = new AbortController();
    const asked = fetch(`${url}?wait=60`, {
      headers: { 'if-none-match': String(headers.etag) },
      signal: leaving.signal,
    });
    await expect.poll(() => bundles.waiters).toBe(1);
    leaving.abort();
    await expect(asked).rejects.toThrow();
    await expect.poll(() => bundles.waiters).toBe(0);
  });

  it('says that it was fetched, to whom, and which version', async () => {
    const { headers, body } = await fetchOf('open');
    await fetchOf('open', { 'if-none-match': String(headers.etag) });
    const events = async () =>
      (await service.get('/v1/audit-events?type=policy_set_fetched&policySet=open&limit=1')).body.items;
    await expect.poll(events).toMatchObject([{ actor: 'anonymous', toVersion: body.version, policySet: 'open' }]);
  });

  it('says how old it is by what was last confirmed, and refuses what the service would not answer from', async () => {
    const store = service.app.get(PolicyStore);
    const { ageOf } = store;
    try {
      store.ageOf = () => 12_345.6;
      expect((await fetchOf('open')).headers['verdict-source-age']).toBe('12346');
      store.ageOf = () => Number.POSITIVE_INFINITY;
      const { status, headers } = await fetchOf('open');
      expect(status).toBe(200);
      expect(headers).not.toHaveProperty('verdict-source-age');
    } finally {
      store.ageOf = ageOf;
    }
    const strict = await startService(sets, { maxStaleness: '10s' });
    try {
      expect((await strict.get('/v1/policy-sets/open/bundle')).status).toBe(200);
      strict.app.get(PolicyStore).ageOf = () => 10_001;
      expect(await strict.get('/v1/policy-sets/open/bundle')).toMatchObject({
        status: 503,
        body: { type: 'urn:verdict:problem:policy_too_old' },
      });
    } finally {
      await strict.stop();
    }
  });
});

describe('callers of bundles', () => {
  it('have the scope for the set, also at the end of a wait', async () => {
    const policies = { 'invoices/policy-set.yaml': 'local: allowed\n', 'salaries/policy-set.yaml': 'local: allowed\n' };
    const keyed = await startKeyedService({
      client: 'scopes: ["bundles:read:invoices"]',
      decider: 'scopes: [decide, "policies:read", "data:read"]',
    });
    try {
      for (const [path, text] of Object.entries(policies))
        writeFileSync(join(keyed.service.directory, 'policies', path), text);
      const reload = () => keyed.service.app.get(PolicyStore).reload();
      await reload();
      const found = await keyed.as('client', 'GET', '/v1/policy-sets/invoices/bundle');
      expect(found.statusCode).toBe(200);
      expect((await keyed.as('client', 'GET', '/v1/policy-sets/salaries/bundle')).statusCode).toBe(404);
      expect((await keyed.as('decider', 'GET', '/v1/policy-sets/invoices/bundle')).statusCode).toBe(403);
      expect((await keyed.inject({ method: 'GET', url: '/v1/policy-sets/invoices/bundle' })).statusCode).toBe(401);

      const headers = { 'if-none-match': String(found.headers.etag) };
      const waiting = keyed.as('client', 'GET', '/v1/policy-sets/invoices/bundle?wait=60', undefined, headers);
      await expect.poll(() => keyed.service.app.get(LocalBundles).waiters).toBe(1);
      // Longer than a request may have come before its credential was last looked at.
      await delay(150);
      writeFileSync(keyed.keysFile, '[]\n');
      await expect
        .poll(async () => (await keyed.as('client', 'GET', '/v1/policy-sets/invoices/bundle')).statusCode)
        .toBe(401);
      writeFileSync(join(keyed.service.directory, 'policies/invoices/rules.csv'), 'p, eve, invoice, pay\n');
      await reload();
      expect((await waiting).statusCode).toBe(401);
    } finally {
      await keyed.stop();
    }
  });
});

it('what waits is answered when the service stops', async () => {
  const service = await startService(sets);
  await service.app.listen(0, '127.0.0.1');
  const url = `${await service.app.getUrl()}/v1/policy-sets/open/bundle`;
  const { headers } = await fetch(url);
  const waiting = fetch(`${url}?wait=60`, { headers: { 'if-none-match': headers.get('etag')! } });
  await expect.poll(() => service.app.get(LocalBundles).waiters).toBe(1);
  await Promise.all([waiting.then(({ status }) => expect(status).toBe(304)), service.stop()]);
});
