import { generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DecisionRecord } from '../../src/decision-log/decision-record.js';
import { type PolicyFiles, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { processorMsOfAsync } from '../processor-time.js';
import { fixtureSet } from './built-service.js';

const explained = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft, reason, obligations, advice
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`;

const files: PolicyFiles = {
  ...fixtureSet('authzen-certification', 'default'),
  'explained/model.conf': explained,
  'explained/rules.csv': [
    `p, ann, doc, read, allow, Readers may read, "[{""log"":""access""}]", "[""use the cache""]"`,
    `p, ann, doc, write, deny, "{""en"":""The document is locked"",""de"":""Das Dokument ist gesperrt""}", ,`,
    `p, ann, doc, print, deny, , ,`,
    '',
  ].join('\n'),
  'stock/model.conf': idModel,
  'stock/rules.csv': Array.from(
    { length: 25 },
    (_, i) => `p, user-${String(i).padStart(2, '0')}, doc, ${i % 2 === 0 ? 'read' : 'write'}\n`,
  ).join(''),
  'stock/policy-set.yaml': 'engine: casbin\n',
  'levels/model.conf': idModel.replace(/m = .*/, 'm = r.sub.level > 3 && r.obj == p.obj && r.act == p.act'),
  'levels/rules.csv': 'p, ann, doc, read\n',
};

const question = (subject: string, action: string, resource: string, type = 'document') => ({
  subject: { type: 'user', id: subject },
  action: { name: action },
  resource: { type, id: resource },
});

let service: Service;
beforeAll(async () => {
  service = await startService(files);
});
afterAll(() => service.stop());

const recordOf = (id: string) => service.log.find(id) as Promise<DecisionRecord>;

describe('an evaluation', () => {
  it('says under which id it was recorded, by which version, and why', async () => {
    const { body } = await service.post('/sets/explained/access/v1/evaluation', question('ann', 'read', 'doc'));
    expect(body).toEqual({
      decision: true,
      context: {
        id: expect.any(String),
        policy_set: 'explained',
        policy_version: expect.stringMatching(/^sha256:/),
        reason: expect.objectContaining({ code: 'rule_allowed', line: 1, message: 'Readers may read' }),
        reason_admin: { en: 'Allowed by the rule at rules.csv:1.' },
        reason_user: { en: 'Readers may read' },
        obligations: [{ log: 'access' }],
        advice: ['use the cache'],
      },
    });
    expect(await recordOf(body.context.id)).toMatchObject({
      policySet: 'explained',
      policyVersion: body.context.policy_version,
      decision: 'allow',
      via: 'authzen',
      request: {
        subject: { type: 'user', id: 'ann' },
        action: { name: 'read' },
        resource: { type: 'document', id: 'doc' },
      },
    });
  });

  it('gives the user the reason in the languages that the rule has', async () => {
    const { body } = await service.post('/sets/explained/access/v1/evaluation', question('ann', 'write', 'doc'));
    expect(body.decision).toBe(false);
    expect(body.context.reason_user).toEqual({ en: 'The document is locked', de: 'Das Dokument ist gesperrt' });
  });

  it('gives the user of a denial without a text at least a sentence', async () => {
    for (const action of ['print', 'burn']) {
      const { body } = await service.post('/sets/explained/access/v1/evaluation', question('ann', action, 'doc'));
      expect(body.context.reason_user).toEqual({ en: 'You may not do this.' });
    }
  });

  it('is a denial where it errs, and says what went wrong', async () => {
    const { body } = await service.post('/sets/levels/access/v1/evaluation', question('ann', 'read', 'doc'));
    expect(body).toMatchObject({ decision: false, context: { errors: [{ code: expect.any(String) }] } });
  });

  it('takes properties as attributes and context as the attributes of the request', async () => {
    const body = { ...question('ann', 'read', 'doc'), subject: { type: 'user', id: 'ann', properties: { level: 4 } } };
    const { body: answer } = await service.post('/sets/levels/access/v1/evaluation', {
      ...body,
      context: { ip: 'x' },
    });
    expect(answer.decision).toBe(true);
    const { request } = await recordOf(answer.context.id);
    expect(request).toMatchObject({ subject: { attributes: { level: 4 } }, attributes: { ip: 'x' } });
  });

  it('has the same answer as /v1/decide', async () => {
    for (const action of ['read', 'write', 'print', 'burn']) {
      const asked = question('ann', action, 'doc');
      const { body: authzen } = await service.post('/sets/explained/access/v1/evaluation', asked);
      const { body: decided } = await service.post('/v1/decide', { ...asked, policySet: 'explained' });
      expect(authzen.decision).toBe(decided.allowed);
      expect(authzen.context.reason).toEqual(decided.reason);
      expect(authzen.context.policy_version).toBe(decided.policyVersion);
    }
  });

  it('is 404 for a set that is not there', async () => {
    const { status, body } = await service.post('/sets/none/access/v1/evaluation', question('ann', 'read', 'doc'));
    expect(status).toBe(404);
    expect(body.type).toBe('urn:verdict:problem:policy_set_not_found');
  });
});

describe('evaluations', () => {
  const ask = (semantic: string) =>
    service.post('/access/v1/evaluations', {
      ...question('alice', 'read', 'record-1', 'record'),
      evaluations: [{}, { action: { name: 'burn' } }, {}],
      options: { evaluations_semantic: semantic },
    });

  it('are recorded as far as they were evaluated', async () => {
    const { body } = await ask('deny_on_first_deny');
    expect(body.evaluations).toHaveLength(2);
    const [first, second] = body.evaluations;
    expect((await recordOf(first.context.id)).decision).toBe('allow');
    expect((await recordOf(second.context.id)).decision).toBe('deny');
  });

  it('name the fault of an item that cannot be evaluated', async () => {
    const { body } = await service.post('/access/v1/evaluations', { evaluations: [{ subject: { type: 'user' } }] });
    expect(body.evaluations).toEqual([
      { decision: false, context: { error: { status: 400, message: expect.stringContaining('required') } } },
    ]);
  });

  it('take as many items as a batch may have, and not one more', async () => {
    const small = await startService(files, { maxBatchItems: 3 });
    const evaluations = [{}, {}, {}];
    const body = { ...question('alice', 'read', 'record-1', 'record'), evaluations };
    expect((await small.post('/access/v1/evaluations', body)).body.evaluations).toHaveLength(3);
    expect((await small.post('/access/v1/evaluations', { ...body, evaluations: [...evaluations, {}] })).status).toBe(
      400,
    );
    await small.stop();
  });
});

describe('a search', () => {
  it('is one record, with what was found and how many candidates were decided', async () => {
    const { body } = await service.post('/access/v1/search/subject', {
      subject: { type: 'user' },
      action: { name: 'read' },
      resource: { type: 'record', id: 'record-1' },
    });
    expect(body).toEqual({
      page: { next_token: '', count: 2, properties: { complete: true, examined: 2 } },
      context: { id: expect.any(String), policy_set: 'default', policy_version: expect.any(String) },
      results: [
        { type: 'user', id: 'alice' },
        { type: 'user', id: 'bob' },
      ],
    });
    expect(await recordOf(body.context.id)).toMatchObject({
      via: 'search',
      request: {
        subject: { type: 'user', id: '' },
        action: { name: 'read' },
        resource: { type: 'record', id: 'record-1' },
      },
      search: { kind: 'subject', examined: 2, complete: true, results: ['alice', 'bob'] },
    });
  });
});

describe('a search in a set that stock Casbin runs', () => {
  it('has stock Casbin decide each candidate, page by page', async () => {
    const body = { subject: { type: 'user' }, action: { name: 'read' }, resource: { type: 'document', id: 'doc' } };
    const ids: string[] = [];
    let page: Record<string, unknown> = { limit: 5 };
    while (ids.length < 100) {
      const { body: answer } = await service.post('/sets/stock/access/v1/search/subject', { ...body, page });
      expect(answer.results.length).toBeLessThanOrEqual(5);
      ids.push(...answer.results.map(({ id }: { id: string }) => id));
      if (answer.page.next_token === '') break;
      page = { token: answer.page.next_token };
    }
    expect(ids).toEqual(Array.from({ length: 13 }, (_, i) => `user-${String(2 * i).padStart(2, '0')}`));
  });
});

describe('a search among 100,000 entities', () => {
  const count = 100_000;
  let large: Service;
  beforeAll(async () => {
    const lines = Array.from(
      { length: count },
      (_, i) => `{ "type": "user", "id": "u${String(i).padStart(6, '0')}", "attributes": { "n": ${i} } }`,
    );
    large = await startService({
      'default/model.conf': idModel.replace(/m = .*/, 'm = r.sub.n >= 99000 && r.obj == p.obj && r.act == p.act'),
      'default/rules.csv': 'p, nobody, doc, read\n',
      'default/entities.json': `[${lines.join(',\n')}]`,
    });
  });
  afterAll(() => large.stop());

  it('answers each page soon, says that it is not the end, and misses nobody', async () => {
    const body = { subject: { type: 'user' }, action: { name: 'read' }, resource: { type: 'document', id: 'doc' } };
    const found: string[] = [];
    let page: Record<string, unknown> = {};
    for (let pages = 0; pages < 1_000; pages++) {
      const ask = () => large.post('/access/v1/search/subject', { ...body, page });
      const [spentMs, { body: answer }] = await processorMsOfAsync(ask);
      // A page is looked for during 120 ms; the rest is for parsing, the record and what the process does beside.
      expect(spentMs).toBeLessThan(400);
      found.push(...answer.results.map(({ id }: { id: string }) => id));
      const { next_token: token, properties } = answer.page;
      expect(properties.complete).toBe(token === '');
      if (token === '') break;
      expect(properties.stopped_by).toMatch(/^(budget|limit)$/);
      page = { token };
    }
    expect(found).toEqual(Array.from({ length: 1000 }, (_, i) => `u${String(99_000 + i).padStart(6, '0')}`));
  });
});

describe('metadata', () => {
  it('comes from the configuration, also with a path behind the host', async () => {
    const placed = await startService(files, { publicUrl: 'https://pdp.example.com/verdict' });
    for (const path of ['', '/verdict']) {
      const { body, headers } = await placed.get(`/.well-known/authzen-configuration${path}`, { host: 'evil.example' });
      expect(body).toEqual({
        policy_decision_point: 'https://pdp.example.com/verdict',
        access_evaluation_endpoint: 'https://pdp.example.com/verdict/access/v1/evaluation',
        access_evaluations_endpoint: 'https://pdp.example.com/verdict/access/v1/evaluations',
        search_subject_endpoint: 'https://pdp.example.com/verdict/access/v1/search/subject',
        search_resource_endpoint: 'https://pdp.example.com/verdict/access/v1/search/resource',
        search_action_endpoint: 'https://pdp.example.com/verdict/access/v1/search/action',
      });
      expect(headers['cache-control']).toBe('public, max-age=300');
    }
    const ofSet = await placed.get('/.well-known/authzen-configuration/verdict/sets/levels');
    expect(ofSet.body.policy_decision_point).toBe('https://pdp.example.com/verdict/sets/levels');
    await placed.stop();
  });

  it('is 404 for a set that is not there, and at the root where no set is the default', async () => {
    const rules = 'p, a, b, c\n';
    const several = await startService(
      {
        'a/model.conf': idModel,
        'a/rules.csv': rules,
        'b/model.conf': idModel,
        'b/rules.csv': rules,
      },
      { publicUrl: 'https://pdp.example.com' },
    );
    for (const path of ['', '/sets/none']) {
      expect((await several.get(`/.well-known/authzen-configuration${path}`)).status).toBe(404);
    }
    expect((await several.post('/access/v1/evaluation', question('a', 'c', 'b'))).status).toBe(404);
    expect((await several.get('/.well-known/authzen-configuration/sets/a')).status).toBe(200);
    await several.stop();
  });

  it.each([
    ['EdDSA', generateKeyPairSync('ed25519')],
    ['ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['PS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ])('is signed with %s by a key of that kind, and the text stays the same', async (algorithm, { privateKey }) => {
    const authzenSigningKey = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    const signed = await startService(files, { publicUrl: 'https://pdp.example.com', authzenSigningKey });
    const { body } = await signed.get('/.well-known/authzen-configuration');
    expect(decodeProtectedHeader(body.signed_metadata).alg).toBe(algorithm);
    expect(body.jwks_uri).toBe('https://pdp.example.com/.well-known/jwks.json');
    const { body: again } = await signed.get('/.well-known/authzen-configuration');
    expect(again.signed_metadata).toBe(body.signed_metadata);
    const { keys } = (await signed.get('/.well-known/jwks.json')).body;
    expect(keys).toHaveLength(1);
    expect(keys[0].kid).toBe(await calculateJwkThumbprint(keys[0]));
    for (const secret of ['d', 'p', 'q', 'k']) expect(keys[0]).not.toHaveProperty(secret);
    await signed.stop();
  });

  it('does not start with a key that cannot sign', async () => {
    await expect(startService(files, { authzenSigningKey: 'no key' })).rejects.toThrow(/VERDICT_AUTHZEN_SIGNING_KEY/);
    const { privateKey } = generateKeyPairSync('x25519');
    const authzenSigningKey = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    await expect(startService(files, { authzenSigningKey })).rejects.toThrow(/Ed25519, RSA/);
  });
});
