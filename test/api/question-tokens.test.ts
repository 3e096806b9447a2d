/** `tokens` of a question over HTTP: who signed it says who somebody is, and what is kept of it are claims. */
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApplication } from '../../src/application.js';
import { readConfig } from '../../src/config/read-config.js';
import { type Service, startService } from '../http/service.js';
import { claimsOf, type Issuer, startIssuer } from '../security/world.js';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = p.sub in r.token.user.roles && r.obj == p.obj && r.act == p.act
`;
const bySubject = model.replace('p.sub in r.token.user.roles', 'r.sub == p.sub');
const shop = 'tokens: { user: { audience: shop, claims: [sub, roles, email] } }\n';
const files = {
  'default/model.conf': model,
  'default/rules.csv': 'p, editor, doc, write\n',
  'default/policy-set.yaml': `${shop}decisionLog: { mask: [/tokens/user/email] }\n`,
  'open/model.conf': model,
  'open/rules.csv': 'p, editor, doc, write\n',
  'open/policy-set.yaml': 'tokens: { user: { audience: shop, claims: [sub, roles] } }\n',
  'bound/model.conf': bySubject,
  'bound/rules.csv': 'p, ann, doc, write\n',
  'bound/policy-set.yaml': `${shop}request: { sub: token.user.sub }\n`,
  'typed/model.conf': model,
  'typed/rules.csv': 'p, editor, doc, write\n',
  'typed/policy-set.yaml': `${shop}schema: { requests: reject }\n`,
  'typed/schema.yaml': 'tokens: { user: { properties: { roles: { type: array, items: { type: string } } } } }\n',
  'plain/model.conf': bySubject,
  'plain/rules.csv': 'p, ann, doc, write\n',
};

let issuer: Issuer;
let service: Service;
beforeAll(async () => {
  issuer = await startIssuer();
  service = await startService(files, { jwtIssuer: issuer.url, jwtAudience: 'verdict' });
});
afterAll(async () => {
  await service.stop();
  await issuer.stop();
});

const question = { subject: 'ann', action: 'write', resource: 'doc' };
const sign = (claims: object = {}) =>
  issuer.sign(claimsOf(issuer, { aud: 'shop', sub: 'ann', roles: ['editor'], email: 'ann@shop.example', ...claims }));
const decide = async (tokens: unknown, more: object = {}) =>
  service.post('/v1/decide', { ...question, ...(tokens !== undefined && { tokens }), ...more });
const recordOf = async (id: string) => (await service.get(`/v1/decisions/${id}`)).body;

describe('POST /v1/decide with tokens', () => {
  it('takes roles from who signed them, and not from who asks', async () => {
    expect((await decide({ user: await sign() })).body).toMatchObject({ allowed: true });
    expect((await decide({ user: await sign({ roles: ['reader'] }) })).body).toMatchObject({ allowed: false });
    const claimed = { subject: { id: 'ann', attributes: { roles: ['editor'] } } };
    expect(
      (await decide(undefined, { ...claimed, attributes: { tokens: { user: { roles: ['editor'] } } } })).body,
    ).toMatchObject({
      allowed: false,
      errors: [{ code: 'missing_attribute' }],
    });
  });

  it('takes the subject from the token where a binding says so, whoever the request names', async () => {
    const more = { policySet: 'bound', subject: 'eve' };
    expect((await decide({ user: await sign() }, more)).body).toMatchObject({ allowed: true });
    expect((await decide({ user: await sign({ sub: 'eve' }) }, { ...more, subject: 'ann' })).body).toMatchObject({
      allowed: false,
    });
    expect((await decide(undefined, more)).body).toMatchObject({
      allowed: false,
      errors: [{ code: 'missing_binding' }],
    });
  });

  it.each([
    ['claims instead of a token', { user: { sub: 'ann', roles: ['editor'] } }],
    ['a number', { user: 7 }],
    ['null', { user: null }],
    ['a list', ['eyJ']],
    ['a text', 'eyJ'],
    ['one that is too long', { user: 'x'.repeat(8_193) }],
    ['nine of them', Object.fromEntries('abcdefghi'.split('').map((name) => [name, 'x']))],
  ])('refuses %s', async (_what, tokens) => {
    const { status, body } = await decide(tokens);
    expect({ status, pointer: body.errors[0].pointer.slice(0, 7) }).toEqual({ status: 400, pointer: '/tokens' });
    expect(body.type).toContain('invalid_request');
  });

  it.each([
    ['token_unknown', { usr: 'eyJ' }, {}, '/tokens/usr'],
    ['token_unknown', { user: 'eyJ' }, { policySet: 'plain' }, '/tokens/user'],
    ['token_invalid', { user: 'eyJ' }, {}, '/tokens/user'],
  ])('refuses with %s', async (code, tokens, more, pointer) => {
    const { status, body } = await decide(tokens, more);
    expect(status).toBe(400);
    expect(body).toMatchObject({ type: expect.stringMatching(new RegExp(`${code}$`)), errors: [{ pointer }] });
  });

  it('refuses one that has expired with a code of its own, and records nothing', async () => {
    const past = Math.floor(Date.now() / 1000) - 60;
    const { status, body } = await decide(
      { user: await sign({ exp: past, iat: past - 60 }) },
      { attributes: { mark: 'expired' } },
    );
    expect({ status, body }).toMatchObject({ status: 400, body: { type: expect.stringMatching(/token_expired$/) } });
    expect((await service.get('/v1/decisions?q=expired')).body.items).toEqual([]);
  });

  it('refuses claims that break the schema where the set rejects them, with the place', async () => {
    const { status, body } = await decide({ user: await sign({ roles: 'editor' }) }, { policySet: 'typed' });
    expect(status).toBe(400);
    expect(body.errors).toEqual([expect.objectContaining({ pointer: '/tokens/user/roles' })]);
    expect((await decide({ user: await sign() }, { policySet: 'typed' })).body).toMatchObject({ allowed: true });
  });

  it('does not take the credential of a caller for a token of the set: it is for another audience', async () => {
    expect((await decide({ user: await sign({ aud: 'verdict' }) })).body.type).toMatch(/token_invalid$/);
  });
});

describe('a batch', () => {
  it('has tokens in its defaults and in its items, each refused by itself', async () => {
    const requests = [
      {},
      { tokens: { user: await sign({ roles: [] }) } },
      { tokens: { user: 'eyJ' } },
      { tokens: { usr: 'eyJ' } },
      { policySet: 'plain', tokens: {} },
    ];
    const defaults = { ...question, tokens: { user: await sign() } };
    const { status, body } = await service.post('/v1/decide/batch', { defaults, requests });
    expect(status).toBe(200);
    expect(body.decisions).toMatchObject([
      { allowed: true },
      { allowed: false },
      { problem: { status: 400, type: expect.stringMatching(/token_invalid$/) } },
      { problem: { status: 400, type: expect.stringMatching(/token_unknown$/) } },
      { allowed: true, policySet: 'plain' },
    ]);
  });
});

describe('AuthZEN', () => {
  it('has no place for tokens: what stands there is ignored or an attribute, and believed by no set that wants a token', async () => {
    const { status, body } = await service.post('/access/v1/evaluation', {
      subject: { type: 'user', id: 'ann' },
      action: { name: 'write' },
      resource: { type: 'doc', id: 'doc' },
      context: { tokens: { user: await sign() }, token: { user: { roles: ['editor'] } } },
      tokens: { user: await sign() },
    });
    expect({ status, decision: body.decision }).toEqual({ status: 200, decision: false });
    const { request } = await recordOf(body.context.id ?? body.context.decisionId);
    expect(request.tokens).toBeUndefined();
    expect(JSON.stringify(request)).not.toContain('eyJ');
  });
});

describe('what is kept', () => {
  it('are the claims that the set reads, as the mask lets them through', async () => {
    const token = await sign({ phone: '+41 79 000 00 00' });
    const { body } = await decide({ user: token });
    const record = await recordOf(body.decisionId);
    expect(record.request.tokens).toEqual({ user: { sub: 'ann', roles: ['editor'], email: '[masked]' } });
    expect(record.masked).toBe(true);
    for (const part of token.split('.')) expect(JSON.stringify(record)).not.toContain(part);
  });

  it('can be replayed where nothing was masked, though the token has expired or its issuer is gone', async () => {
    const { body } = await decide({ user: await sign() }, { policySet: 'open' });
    issuer.serve(undefined);
    const replayed = await service.post(`/v1/decisions/${body.decisionId}/replay`, {});
    issuer.serve([issuer.keys.publicJwk]);
    expect(replayed.body).toMatchObject({ same: true, replayed: { decision: 'allow' } });
  });

  it('cannot be replayed where a claim was masked, and that is said', async () => {
    const { body } = await decide({ user: await sign() });
    const { status, body: problem } = await service.post(`/v1/decisions/${body.decisionId}/replay`, {});
    expect({ status, type: problem.type }).toEqual({ status: 409, type: expect.stringMatching(/not_replayable$/) });
  });

  it('is found by conditions and by text', async () => {
    await decide({ user: await sign({ sub: 'carl', roles: ['editor', 'auditor'] }) }, { policySet: 'open' });
    const found = async (query: Record<string, string>) =>
      (await service.get(`/v1/decisions?${new URLSearchParams(query)}`)).body.items.length;
    expect(await found({ filter: "tokens.user.sub == 'carl' && 'auditor' in tokens.user.roles" })).toBe(1);
    expect(await found({ filter: "policySet == 'default' && tokens.user.email == 'ann@shop.example'" })).toBe(0);
    expect(await found({ q: 'auditor' })).toBe(1);
  });

  it('is simulated with the claims of its time', async () => {
    const { body } = await service.post('/v1/policy-sets/open/simulations', {
      candidate: {
        files: {
          'model.conf': model,
          'rules.csv': 'p, auditor, doc, write\n',
          'policy-set.yaml': files['open/policy-set.yaml'],
        },
      },
      from: new Date(Date.now() - 600_000).toISOString(),
      to: new Date(Date.now() + 1_000).toISOString(),
    });
    let state = body;
    while (state.state === 'running') state = (await service.get(`/v1/policy-sets/open/simulations/${body.id}`)).body;
    expect(state).toMatchObject({ state: 'done', result: { answered: 2, lost: 1, gained: 0, leftOut: [] } });
  });
});

describe('a candidate', () => {
  const put = async (files: object, more: object) => {
    const payload = JSON.stringify({ files, gates: { maxGained: 1, maxLost: 1, maxErrors: 1 }, ...more });
    const headers = { 'content-type': 'application/json' };
    const url = '/v1/policy-sets/open/candidate';
    const answer = await service.app.inject({ method: 'PUT', url, headers, payload });
    expect(answer.statusCode, answer.body).toBe(200);
    return answer.json().version;
  };
  const candidate = (claims: string, audience = 'shop') => ({
    'model.conf': model,
    'rules.csv': 'p, editor, doc, write\n',
    'policy-set.yaml': `tokens: { user: { audience: ${audience}, claims: ${claims} } }\n`,
  });

  it('answers as a canary by the tokens that it declares, and records its own claims', async () => {
    const version = await put(candidate('[roles]'), { mode: 'canary', subjects: 1 });
    const { body } = await decide({ user: await sign() }, { policySet: 'open' });
    expect(body).toMatchObject({ allowed: true, candidate: 'canary', policyVersion: version });
    expect((await recordOf(body.decisionId)).request.tokens).toEqual({ user: { roles: ['editor'] } });
  });

  it('answers nothing where it takes none of the tokens: the active version does', async () => {
    const version = await put(candidate('[roles]', 'bank'), { mode: 'canary', subjects: 1 });
    const { status, body } = await decide({ user: await sign() }, { policySet: 'open' });
    expect({ status, allowed: body.allowed }).toEqual({ status: 200, allowed: true });
    expect(body.policyVersion).not.toBe(version);
    expect(body.candidate).toBeUndefined();
    expect((await decide({ user: await sign({ aud: 'bank' }) }, { policySet: 'open' })).body.type).toMatch(
      /token_invalid$/,
    );
    await service.app.inject({ method: 'DELETE', url: '/v1/policy-sets/open/candidate' });
  });
});

describe('an issuer that cannot be asked', () => {
  it('makes the service refuse with 503, and no answer of it an allow', async () => {
    issuer.serve(undefined);
    const cold = await startService(files, { jwtIssuer: issuer.url, jwtAudience: 'verdict' });
    const { status, headers, body } = await cold.post('/v1/decide', { ...question, tokens: { user: await sign() } });
    const plain = await cold.post('/v1/decide', { ...question, policySet: 'plain' });
    await cold.stop();
    issuer.serve([issuer.keys.publicJwk]);
    expect({ status, type: body.type }).toEqual({
      status: 503,
      type: expect.stringMatching(/token_issuer_unavailable$/),
    });
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    expect(plain.body).toMatchObject({ allowed: true });
  });
});

describe('a token', () => {
  it('is in no log line, problem, record or audit event, whatever becomes of it', async () => {
    let output = '';
    const stream = new Writable({
      write: (chunk, _encoding, done) => {
        output += chunk;
        done();
      },
    });
    const { config } = readConfig(
      {},
      {
        policyDir: `${service.directory}/policies`,
        databaseUrl: `sqlite:${service.directory}/other/verdict.sqlite`,
        auth: 'none',
        jwtIssuer: issuer.url,
        jwtAudience: 'verdict',
      },
    );
    const app = await createApplication(config, pino({ level: 'trace' }, stream));
    const good = await sign();
    const tokens = [good, await sign({ aud: 'bank' }), `${good.slice(0, -6)}AAAAAA`, await sign({ exp: 1, iat: 0 })];
    const send = async (payload: object, url = '/v1/decide') =>
      (await app.inject({ method: 'POST', url, payload })).body;
    let said = '';
    for (const token of tokens) {
      said += await send({ ...question, tokens: { user: token } });
      said += await send({ ...question, tokens: { usr: token } });
      said += await send({ ...question, tokens: token });
      said += await send({ ...question, tokens: { user: [token] } });
      said += await send({ ...question, tokens: { user: token.repeat(30) } });
      said += await send(
        { defaults: { ...question, tokens: { user: token } }, requests: [{}, {}] },
        '/v1/decide/batch',
      );
    }
    for (const url of ['/v1/decisions', '/v1/audit-events', '/metrics', '/v1/decisions/export?format=csv']) {
      said += (await app.inject({ method: 'GET', url })).body;
    }
    await app.close();
    expect(said).toContain('"allowed":true');
    for (const token of tokens) {
      for (const part of token.split('.').slice(1)) {
        expect(output).not.toContain(part);
        expect(said).not.toContain(part);
      }
    }
  });
});
