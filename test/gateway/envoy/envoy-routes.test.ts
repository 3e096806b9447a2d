import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf, makeApiKey } from '../../../src/auth/api-key.js';
import { type PolicyFiles, type Service, startService } from '../../http/service.js';
import { idModel } from '../../models.js';
import { audience, type Issuer, startIssuer } from '../../security/world.js';

const long = 'x'.repeat(17_000);
const files: PolicyFiles = {
  'default/model.conf': idModel,
  'default/rules.csv': 'p, alice, /orders, GET\np, alice, /, GET\np, alice, /orders, POST\n',
  'mesh/model.conf': idModel.replace('p = sub, obj, act', 'p = sub, obj, act, obligations'),
  'mesh/rules.csv': [
    'p, spiffe://acme/shop, /orders, GET, ',
    'p, guest, /orders, GET, ',
    'p, guest, /noted, GET, "[{""tell"": ""Zoë""}]"',
    `p, guest, /long, GET, "[{""tell"": ""${long}""}]"`,
    'p, guest, amount:5, POST, ',
    '',
  ].join('\n'),
  'mesh/policy-set.yaml': `gateway:
  identity: { header: X-Forwarded-User, certificate: true, proxies: [anonymous] }
  anonymous: guest
  forward: { set: { X-Tenant: "\${query.tenant}", X-User: "u-\${identity}" }, remove: [X-Debug, X-User] }
  routes:
    - { path: /payments, resource: { type: payment, id: "amount:\${body.amount}" } }
    - { path: "/{rest*}" }
`,
  'elsewhere/model.conf': idModel,
  'elsewhere/rules.csv': 'p, spiffe://acme/shop, /orders, GET\np, alice, /orders, GET\np, guest, /orders, GET\n',
  'elsewhere/policy-set.yaml':
    'gateway: { anonymous: guest, identity: { header: X-Forwarded-User, certificate: true, proxies: [edge] } }\n',
};

let service: Service;
let issuer: Issuer;
beforeAll(async () => {
  issuer = await startIssuer();
  service = await startService(files, {
    jwtIssuer: issuer.url,
    jwtAudience: audience,
    gatewayJwtAudience: 'shop',
    maxBodyBytes: 100_000,
  });
});
afterAll(async () => {
  await service.stop();
  await issuer.stop();
});

type Headers = Record<string, string>;

async function bearer(sub: string): Promise<Headers> {
  const exp = Math.floor(Date.now() / 1000) + 60;
  return { authorization: `Bearer ${await issuer.sign({ iss: issuer.url, aud: 'shop', exp, sub })}` };
}

const ask = (target: string, headers: Headers = {}, set = '') =>
  service.get(`${set}/v1/gateway/envoy${target}`, headers);

describe('a check of Envoy over HTTP', () => {
  it('asks about the path behind the prefix', async () => {
    const alice = await bearer('alice');
    expect((await ask('/orders?x=%FF', alice)).status).toBe(200);
    expect((await ask('', alice)).status).toBe(200);
    expect((await ask('?a=b', alice)).status).toBe(200);
    expect((await ask('/', alice)).status).toBe(200);
    expect((await ask('/orders', alice, '/sets/default')).status).toBe(200);
    expect((await ask('/orders', alice, '/sets/none')).status).toBe(404);
    expect((await ask(`/${'a'.repeat(5_000)}`, alice)).body.type).toBe('urn:verdict:problem:denied');
  });

  it('takes no other spelling of the prefix', async () => {
    const alice = await bearer('alice');
    for (const path of [
      '/v1/gateway/envo%79/orders',
      '/v1/gateway/envoyorders',
      '/v1/gateway//envoy/orders',
      '/v1/gateway/envoy;/orders',
    ]) {
      const { status } = await service.get(path, alice);
      expect([400, 404], path).toContain(status);
    }
  });

  it.each(['/orders%2f', '/x/..;/orders', '/orders%00', '/order%2573', '/orders%FF'])(
    'denies %s for being ambiguous',
    async (target) => {
      const { status, body } = await ask(target, await bearer('alice'));
      expect({ status, type: body.type }).toEqual({ status: 403, type: 'urn:verdict:problem:ambiguous_path' });
    },
  );

  it('says what the server behind Envoy gets, and what it must not see', async () => {
    const { headers } = await ask('/orders', { 'x-forwarded-user': '' }, '/sets/mesh');
    expect(headers).toMatchObject({
      'x-verdict-subject': 'guest',
      'x-user': 'u-guest',
      'cache-control': 'no-store',
      'x-envoy-auth-headers-to-remove': 'x-debug,x-tenant,x-forwarded-user,x-verdict-obligations',
    });
    const tenant = await ask('/orders?tenant=a%20%E2%82%AC', {}, '/sets/mesh');
    expect(tenant.headers['x-tenant']).toBe('a%20%E2%82%AC');
    const believed = await ask('/noted', { 'x-forwarded-user': 'guest' }, '/sets/mesh');
    expect(believed.headers['x-envoy-auth-headers-to-remove']).toBe('x-debug,x-tenant');
    expect(believed.headers['x-verdict-obligations']).toBe('[{"tell":"Zo\\u00eb"}]');
    expect(JSON.parse(String(believed.headers['x-verdict-obligations']))).toEqual([{ tell: 'Zoë' }]);
  });

  it('allows nothing whose obligations do not fit', async () => {
    const { status, body } = await ask('/long', {}, '/sets/mesh');
    expect(status).toBe(403);
    expect(body.detail).toContain('does not fit');
  });

  it('believes a certificate from a named proxy alone', async () => {
    const shown = {
      'x-forwarded-client-cert': 'By=spiffe://acme/edge;Hash=46;Subject="CN=a,O=b";URI=spiffe://acme/shop',
    };
    expect((await ask('/orders', shown, '/sets/mesh')).headers['x-verdict-subject']).toBe('spiffe://acme/shop');
    expect((await ask('/orders', shown, '/sets/elsewhere')).headers['x-verdict-subject']).toBe('guest');
    const two = { 'x-forwarded-client-cert': 'URI=spiffe://acme/shop,URI=spiffe://acme/other' };
    expect((await ask('/orders', two, '/sets/mesh')).status).toBe(400);
  });

  it('decides by the body as strict JSON, whatever type it claims', async () => {
    const pay = (payload: string, headers: Headers = {}) =>
      service.app.inject({ method: 'POST', url: '/sets/mesh/v1/gateway/envoy/payments', headers, payload });
    expect((await pay('{"amount":5}', { 'content-type': 'text/plain' })).statusCode).toBe(200);
    expect((await pay('{"amount":6}')).json().type).toBe('urn:verdict:problem:denied');
    expect((await pay('')).json().type).toBe('urn:verdict:problem:unmapped_path');
    for (const body of ['{"amount":5,"amount":5}', 'amount=5', '{"amount":5} {}', '{"amount":9007199254740993}', '[']) {
      expect((await pay(body)).json().type, body).toBe('urn:verdict:problem:unreadable_body');
    }
    for (const partial of ['true', 'false, true', 'TRUE']) {
      const answer = await pay('{"amount":5}', { 'x-envoy-auth-partial-body': partial });
      expect(answer.json().type, partial).toBe('urn:verdict:problem:unreadable_body');
    }
    const padded = (length: number) => `{"amount":5,"x":"${'x'.repeat(length - 19)}"}`;
    expect((await pay(padded(100_000))).statusCode).toBe(200);
    expect((await pay(padded(100_001))).statusCode).toBe(413);
  });

  it('reads no body that the mapping does not name', async () => {
    const headers = {
      ...(await bearer('alice')),
      'content-type': 'multipart/form-data; boundary=x',
      'content-encoding': 'gzip',
    };
    const answer = await service.app.inject({
      method: 'POST',
      url: '/v1/gateway/envoy/orders',
      headers,
      payload: 'any',
    });
    expect(answer.statusCode).toBe(200);
  });

  it('wants a credential of Envoy itself: the token of a user is none', async () => {
    const key = makeApiKey('prod');
    const directory = mkdtempSync(join(tmpdir(), 'verdict-envoy-'));
    const apiKeysFile = join(directory, 'keys.yaml');
    writeFileSync(
      apiKeysFile,
      `- { name: edge, sha256: ${digestOf(key)}, scopes: [decide], sets: [default, elsewhere] }\n`,
    );
    const jwt = { jwtIssuer: issuer.url, jwtAudience: audience, gatewayJwtAudience: 'shop' };
    const closed = await startService(files, { auth: 'required', apiKeysFile, ...jwt });
    const statusOf = async (headers: Headers, set = '') =>
      (await closed.get(`${set}/v1/gateway/envoy/orders`, headers)).status;
    const alice = await bearer('alice');
    expect(await statusOf({ ...alice, 'x-api-key': key })).toBe(200);
    expect(await statusOf(alice)).toBe(401);
    expect(await statusOf({ ...alice, 'x-api-key': 'vd_prod_wrong' })).toBe(401);
    expect(await statusOf({ 'x-api-key': key })).toBe(401);
    expect(await statusOf({ ...alice, 'x-api-key': key }, '/sets/mesh')).toBe(404);
    expect(await statusOf({ 'x-forwarded-user': 'alice', 'x-api-key': key }, '/sets/elsewhere')).toBe(200);
    // With the key in Authorization no token of a user is left.
    expect(await statusOf({ authorization: `Bearer ${key}` })).toBe(401);
    await closed.stop();
    rmSync(directory, { recursive: true, force: true });
  });
});
