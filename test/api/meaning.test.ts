/** What is refused, and what denied, because of what it says: through every door. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PolicyFiles, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';

const anyone = idModel.replace(/m = .*/, 'm = r.act == p.act');
const schema = 'resource: { doc: { properties: { pages: { type: integer } } } }\n';
const rejecting = 'schema: { requests: reject }\n';

const files: PolicyFiles = {
  'default/model.conf': anyone,
  'default/rules.csv': 'p, ann, doc, read\n',
  'denying/model.conf': anyone,
  'denying/rules.csv': 'p, ann, doc, read\n',
  'denying/schema.yaml': schema,
  'rejecting/model.conf': anyone,
  'rejecting/rules.csv': 'p, ann, doc, read\np, ann, doc, GET\n',
  'rejecting/schema.yaml': schema,
  'rejecting/policy-set.yaml': `${rejecting}gateway: { routes: [{ path: "/{id}", resource: { type: doc, id: "\${path.id}", attributes: { pages: "\${query.pages}" } } }], anonymous: guest }\n`,
  'warning/model.conf': anyone,
  'warning/rules.csv': 'p, ann, doc, read\n',
  'warning/schema.yaml': schema,
  'warning/policy-set.yaml': 'schema: { requests: warn }\n',
  'stock/model.conf': anyone,
  'stock/rules.csv': 'p, ann, doc, read\n',
  'stock/schema.yaml': schema,
  'stock/policy-set.yaml': 'engine: casbin\nschema: { requests: warn }\nentities: { unknown: { deny: [secret] } }\n',
  'tenants/model.conf': idModel.replace('r = sub', 'r = dom, sub').replace(/m = .*/, 'm = r.dom == "acme"'),
  'tenants/rules.csv': 'p, ann, doc, read\n',
};

let service: Service;
beforeAll(async () => {
  service = await startService(files);
});
afterAll(() => service.stop());

const big = '9007199254740993';
const decide = (more: string, policySet = 'default') =>
  service.post('/v1/decide', `{"subject":"ann","action":"read","policySet":"${policySet}",${more}}`);

describe('an integer beyond 2^53 - 1 is refused where it is read', () => {
  it.each([
    ['"resource":"doc","attributes":{"n":9007199254740992}', '/attributes/n'],
    ['"resource":"doc","attributes":{"n":-9007199254740992}', '/attributes/n'],
    ['"resource":"doc","attributes":{"n":[0,{"m":100000000000000000000}]}', '/attributes/n/1/m'],
    [`"resource":{"id":"doc","attributes":{"n":${big}}}`, '/resource/attributes/n'],
    [`"resource":{"id":${big}}`, '/resource/id'],
    [`"resource":${big}`, '/resource'],
  ])('%s', async (more, pointer) => {
    const { status, body } = await decide(more);
    expect({ status, pointers: body.errors.map((error: { pointer: string }) => error.pointer) }).toEqual({
      status: 400,
      pointers: [pointer],
    });
  });

  it.each([
    '9007199254740991',
    '-9007199254740991',
    '9007199254740993.0',
    '9007199254740993e0',
    '1e300',
    '0.12345678901234567890',
    '1E-20',
    '"9007199254740993"',
    '["a\\"9007199254740993"]',
  ])('not %s', async (literal) => {
    expect((await decide(`"resource":"doc","attributes":{"n":${literal}}`)).status).toBe(200);
  });

  it('in a batch it is a problem of its item, and none where an item replaces the default', async () => {
    const item = '"subject":"ann","action":"read","resource":"doc"';
    const { status, body } = await service.post(
      '/v1/decide/batch',
      `{"defaults":{"attributes":{"n":${big}}},"requests":[{${item}},{${item},"attributes":{}},{${item},"attributes":{"m":${big}}}]}`,
    );
    expect(status).toBe(200);
    expect(body.decisions.map((answer: Record<string, unknown>) => answer.problem ?? answer.decision)).toMatchObject([
      { status: 400, errors: [{ pointer: '/attributes/n' }] },
      'allow',
      { status: 400, errors: [{ pointer: '/attributes/m' }] },
    ]);
  });

  const question = (subject: string, more = '') =>
    `{"subject":{"type":"user","id":"ann"${subject}},"action":{"name":"read"},"resource":{"type":"doc","id":"a"}${more}}`;

  it.each([
    [question(`,"properties":{"n":${big}}`), '/subject/properties/n'],
    [question('', `,"context":{"n":${big}}`), '/context/n'],
  ])('by AuthZEN: %s', async (body, pointer) => {
    expect(await service.post('/access/v1/evaluation', body)).toMatchObject({
      status: 400,
      body: { errors: [{ pointer }] },
    });
    const { body: search } = await service.post('/access/v1/search/action', body);
    expect(search).toMatchObject({ status: 400, errors: [{ pointer }] });
  });

  it('not in members that AuthZEN ignores', async () => {
    const body = question(`,"note":${big}`, `,"note":[${big}]`);
    expect(await service.post('/access/v1/evaluation', body)).toMatchObject({ status: 200, body: { decision: true } });
    const items = `{"evaluations":[${body},${question(`,"properties":{"n":${big}}`)}],"note":${big}}`;
    expect((await service.post('/access/v1/evaluations', items)).body.evaluations).toMatchObject([
      { decision: true },
      { decision: false, context: { error: { status: 400 } } },
    ]);
  });
});

describe('a control character is refused in names that are read', () => {
  it.each(['\\u0000', '\\u0001', '\\t', '\\n', '\\u001f', '\\u007f', '\\u0080', '\\u009f'])('%s', async (character) => {
    const { status, body } = await decide(`"resource":{"type":"doc","id":"a${character}b"}`);
    expect({ status, pointer: body.errors[0].pointer }).toEqual({ status: 400, pointer: '/resource/id' });
  });

  it.each(['\\u0020', '\\u007e', '\\u00a0', '\\u2028', 'é', '💡'])('not %s', async (character) => {
    expect((await decide(`"resource":{"type":"doc","id":"a${character}b"}`)).status).toBe(200);
  });

  it('by AuthZEN', async () => {
    const body = {
      subject: { type: 'us\ner', id: 'ann' },
      action: { name: 're\tad' },
      resource: { type: 'doc', id: 'a' },
    };
    const { status, body: problem } = await service.post('/access/v1/evaluation', body);
    expect(status).toBe(400);
    expect(problem.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/subject/type',
      '/action/name',
    ]);
    expect((await service.post('/access/v1/search/subject', body)).status).toBe(400);
  });

  it('in a tenant where the set reads it, and not elsewhere', async () => {
    const attributes = '"resource":"doc","attributes":{"tenant":"ac\\tme"}';
    expect(await decide(attributes, 'tenants')).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/attributes/tenant' }] },
    });
    const owned = '"resource":{"id":"doc","attributes":{"tenant":"acme\\u0085"}}';
    expect(await decide(owned, 'tenants')).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/resource/attributes/tenant' }] },
    });
    expect((await decide(attributes)).status).toBe(200);
  });
});

describe('a request that does not fit the schema', () => {
  const wrong = '"resource":{"type":"doc","id":"a","attributes":{"pages":"many"}}';
  const fault = { code: 'schema_violation', pointer: '/resource/attributes/pages' };
  const evaluation = {
    subject: { type: 'user', id: 'ann' },
    action: { name: 'read' },
    resource: { type: 'doc', id: 'a', properties: { pages: 'many' } },
  };

  it('is denied, and the record says why', async () => {
    const { status, body } = await decide(wrong, 'denying');
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { allowed: false, reason: { code: 'schema_violation' }, errors: [fault] },
    });
    expect(await service.log.find(body.decisionId)).toMatchObject({
      reason: { code: 'schema_violation' },
      errors: [fault],
    });
    expect((await service.post('/sets/denying/access/v1/evaluation', evaluation)).body).toMatchObject({
      decision: false,
      context: { reason: { code: 'schema_violation' }, errors: [fault] },
    });
  });

  it('is refused where the manifest says so, in a batch it alone', async () => {
    const problem = { status: 400, errors: [{ pointer: '/resource/attributes/pages' }] };
    expect((await decide(wrong, 'rejecting')).body).toMatchObject(problem);
    const { body } = await service.post('/v1/decide/batch', {
      defaults: { subject: 'ann', action: 'read', policySet: 'rejecting' },
      requests: [
        { resource: { type: 'doc', id: 'a', attributes: { pages: 'many' } } },
        { resource: { type: 'doc', id: 'a' } },
      ],
    });
    expect(body.decisions).toMatchObject([{ problem }, { allowed: true }]);
  });

  it('by AuthZEN, too, in the words of AuthZEN', async () => {
    const base = '/sets/rejecting/access/v1';
    expect(await service.post(`${base}/evaluation`, evaluation)).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/resource/properties/pages' }] },
    });
    const { resource, ...defaults } = evaluation;
    const evaluations = [{ resource }, { resource: { type: 'doc', id: 'a' } }];
    const { body } = await service.post(`${base}/evaluations`, { ...defaults, evaluations });
    expect(body.evaluations).toMatchObject([
      { decision: false, context: { error: { status: 400 } } },
      { decision: true },
    ]);
  });

  it('at a gateway is denied', async () => {
    const ask = (uri: string) =>
      service.get('/sets/rejecting/v1/gateway/forward-auth', { 'x-forwarded-method': 'GET', 'x-forwarded-uri': uri });
    expect((await ask('/a')).status).toBe(200);
    expect((await ask('/a?pages=many')).status).toBe(403);
  });

  it.each(['warning', 'stock'])('with warn is decided, and the fault said: %s', async (policySet) => {
    expect((await decide(wrong, policySet)).body).toMatchObject({ allowed: true, errors: [fault] });
  });

  it('on stock Casbin what is unknown is denied as well', async () => {
    expect((await decide('"resource":{"type":"secret","id":"a"}', 'stock')).body).toMatchObject({
      allowed: false,
      reason: { code: 'unknown_entity' },
    });
  });
});
