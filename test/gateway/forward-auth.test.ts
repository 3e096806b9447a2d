import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import { type Answer, type PolicyFiles, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { audience, type Issuer, startIssuer } from '../security/world.js';

const files: PolicyFiles = {
  'default/model.conf': idModel,
  'default/rules.csv': 'p, alice, /orders, GET\np, Zoë %, /orders, GET\n',
  'proxied/model.conf': idModel,
  'proxied/rules.csv': 'p, alice, /orders, read\np, guest, /public, read\n',
  'proxied/policy-set.yaml': `gateway:
  identity: { header: X-Forwarded-User, proxies: [anonymous] }
  anonymous: guest
  actions: { GET: read }
`,
  'claims/model.conf': idModel,
  'claims/rules.csv': 'p, alice, /orders, GET\n',
  'claims/policy-set.yaml': 'gateway: { subject: { attributes: { data: "${token.data}" } }, attributes: {} }\n',
  'elsewhere/model.conf': idModel,
  'elsewhere/rules.csv': 'p, alice, /orders, GET\n',
  'elsewhere/policy-set.yaml': 'gateway: { identity: { header: X-Forwarded-User, proxies: [edge] } }\n',
  'explained/model.conf': idModel
    .replace('p = sub, obj, act', 'p = sub, obj, act, eft, reason')
    .replace(/e = .*/, 'e = some(where (p.eft == allow)) && !some(where (p.eft == deny))'),
  'explained/rules.csv': 'p, alice, /orders, GET, deny, Orders are closed on Sundays\n',
};

let service: Service;
let issuer: Issuer;
beforeAll(async () => {
  issuer = await startIssuer();
  service = await startService(files, { jwtIssuer: issuer.url, jwtAudience: audience, gatewayJwtAudience: 'shop' });
});
afterAll(async () => {
  await service.stop();
  await issuer.stop();
});

type Headers = Record<string, string>;

const ask = (uri: string, headers: Headers = {}, set = ''): Promise<Answer> =>
  service.get(`${set}/v1/gateway/forward-auth`, {
    'x-forwarded-method': 'GET',
    'x-forwarded-uri': uri,
    'x-forwarded-host': 'shop.example',
    ...headers,
  });

async function bearer(claims: Record<string, unknown>): Promise<Headers> {
  const expires = Math.floor(Date.now() / 1000) + 60;
  return { authorization: `Bearer ${await issuer.sign({ iss: issuer.url, aud: 'shop', exp: expires, ...claims })}` };
}

describe('forward-auth', () => {
  it('lets an allowed request go forward, and says by which decision and for whom', async () => {
    const { status, headers, body } = await ask('/orders', await bearer({ sub: 'alice' }));
    expect(status).toBe(200);
    expect(body).toBe('');
    expect(headers['x-verdict-subject']).toBe('alice');
    expect(headers['cache-control']).toBe('no-store');
    const record = await service.log.find(String(headers['x-verdict-decision-id']));
    expect(record).toMatchObject({
      via: 'gateway',
      decision: 'allow',
      request: {
        subject: { type: 'user', id: 'alice' },
        action: { name: 'GET' },
        resource: { type: 'path', id: '/orders' },
        attributes: { ip: '127.0.0.1' },
      },
    });
  });

  it('writes subjects beyond ASCII so that a header can hold them', async () => {
    const { status, headers } = await ask('/orders', await bearer({ sub: 'Zoë %' }));
    expect(status).toBe(200);
    expect(decodeURIComponent(String(headers['x-verdict-subject']))).toBe('Zoë %');
  });

  it('denies with 403 and the id of the decision', async () => {
    const { status, headers, body } = await ask('/orders/7', await bearer({ sub: 'alice' }));
    expect(status).toBe(403);
    expect(body).toMatchObject({ type: 'urn:verdict:problem:denied', detail: 'You may not do this.' });
    expect(headers['x-verdict-subject']).toBeUndefined();
    expect(headers['cache-control']).toBe('no-store');
    expect(await service.log.find(String(headers['x-verdict-decision-id']))).toMatchObject({ decision: 'deny' });
  });

  it('gives the reason that the rule has for the user, and nothing else of the policy', async () => {
    const { body } = await ask('/orders', await bearer({ sub: 'alice' }), '/sets/explained');
    expect(body.detail).toBe('Orders are closed on Sundays');
    expect(JSON.stringify(body)).not.toContain('rules.csv');
  });

  it('denies a request whose attributes hold more members than are allowed', async () => {
    const small = await startService(files, {
      jwtIssuer: issuer.url,
      jwtAudience: audience,
      gatewayJwtAudience: 'shop',
      maxAttributeMembers: 10,
    });
    const askFor = async (count: number) =>
      small.get('/sets/claims/v1/gateway/forward-auth', {
        'x-forwarded-method': 'GET',
        'x-forwarded-uri': '/orders',
        ...(await bearer({
          sub: 'alice',
          data: Object.fromEntries(Array.from({ length: count }, (_, n) => [`m${n}`, 1])),
        })),
      });
    // `data` itself is one.
    expect((await askFor(9)).status).toBe(200);
    const refused = await askFor(10);
    expect(refused.status).toBe(403);
    expect(refused.body.detail).toContain('holds more than 10 members');
    await small.stop();
  });

  it('asks whoever shows no identity for one', async () => {
    const strangers: Headers[] = [
      {},
      { authorization: 'Basic YTpi' },
      { 'x-forwarded-user': 'alice' },
      { 'x-verdict-subject': 'alice' },
    ];
    for (const headers of strangers) {
      const answer = await ask('/orders', headers);
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="verdict"');
      expect(answer.headers['cache-control']).toBe('no-store');
    }
  });

  it('refuses a token that is wrong, where anonymous users are welcome as well', async () => {
    const past = Math.floor(Date.now() / 1000) - 3600;
    const wrong = [
      { authorization: 'Bearer made.up.token' },
      { authorization: 'Bearer vd_prod_key' },
      await bearer({ sub: 'alice', aud: audience }),
      await bearer({ sub: 'alice', exp: past }),
      await bearer({ sub: 'alice', iss: 'https://other.example' }),
    ];
    for (const headers of wrong) {
      for (const set of ['', '/sets/proxied']) {
        const answer = await ask('/public', headers, set);
        expect(answer.status).toBe(401);
        expect(answer.headers['www-authenticate']).toBe('Bearer realm="verdict", error="invalid_token"');
      }
    }
  });

  it('believes the header of a trusted proxy, and of no other', async () => {
    const headers = { 'x-forwarded-user': 'alice' };
    expect((await ask('/orders', headers, '/sets/proxied')).status).toBe(200);
    expect((await ask('/orders', headers, '/sets/elsewhere')).status).toBe(401);
    expect((await ask('/orders', {}, '/sets/proxied')).status).toBe(403);
    expect((await ask('/public', {}, '/sets/proxied')).status).toBe(200);
  });

  it.each([
    '/orders%2f',
    '/x/%2e%2e/orders',
    '/x/..;/orders',
    '/orders\\',
    '/orders%00',
    '/x//../orders',
    '/order%2573',
    '/orders;x=1',
    '/orders%3b',
  ])('denies %s for being ambiguous', async (uri) => {
    const { status, body } = await ask(uri, await bearer({ sub: 'alice' }));
    expect(status).toBe(403);
    expect(body.type).toBe('urn:verdict:problem:ambiguous_path');
  });

  it('decides on the path as it is once it is normalised', async () => {
    expect((await ask('/x/../orders?a=b', await bearer({ sub: 'alice' }))).status).toBe(200);
    expect((await ask('/orders/../x', await bearer({ sub: 'alice' }))).status).toBe(403);
  });

  it('answers every method, and reads no body', async () => {
    const headers = { ...(await bearer({ sub: 'alice' })), 'x-forwarded-method': 'GET', 'x-forwarded-uri': '/orders' };
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const) {
      const response = await service.app.inject({
        method,
        url: '/v1/gateway/forward-auth',
        headers: { ...headers, 'content-type': 'multipart/form-data; boundary=x' },
        ...(method !== 'GET' && method !== 'HEAD' && { payload: 'not for you' }),
      });
      expect(response.statusCode, method).toBe(200);
    }
  });

  it('is a bad request where the gateway does not say what it holds', async () => {
    for (const headers of [
      {},
      { 'x-forwarded-method': 'GET' },
      { 'x-forwarded-uri': '/a' },
      { 'x-original-uri': '/a', 'x-original-method': 'GET' },
    ]) {
      const { status, headers: sent } = await service.get('/v1/gateway/forward-auth', headers as Headers);
      expect(status).toBe(400);
      expect(sent['cache-control']).toBe('no-store');
    }
  });

  it('is 503 while users cannot be identified, and then must not be cached', async () => {
    const away = await startIssuer();
    away.serve(undefined);
    const alone = await startService(files, {
      jwtIssuer: away.url,
      jwtAudience: 'shop',
      jwtJwksUrl: `${away.url}/jwks`,
    });
    const token = await away.sign({
      iss: away.url,
      aud: 'shop',
      sub: 'alice',
      exp: Math.floor(Date.now() / 1000) + 60,
    });
    const answer = await alone.get('/v1/gateway/forward-auth', {
      'x-forwarded-method': 'GET',
      'x-forwarded-uri': '/orders',
      authorization: `Bearer ${token}`,
    });
    expect(answer.status).toBe(503);
    expect(answer.headers['cache-control']).toBe('no-store');
    await alone.stop();
    await away.stop();
  });
});

/** What gateways send that the tests do not start, as their documentation has it; the client's own headers come along. */
const recorded: Record<string, Headers> = {
  'Traefik 3, ForwardAuth': {
    accept: '*/*',
    'accept-encoding': 'gzip',
    'user-agent': 'curl/8.5.0',
    'x-forwarded-for': '192.0.2.7',
    'x-forwarded-host': 'shop.example',
    'x-forwarded-method': 'GET',
    'x-forwarded-port': '443',
    'x-forwarded-proto': 'https',
    'x-forwarded-server': 'traefik-7d9f',
    'x-forwarded-uri': '/orders?page=2',
    'x-real-ip': '192.0.2.7',
  },
  'Kong 3, pre-function': {
    'content-length': '0',
    'user-agent': 'lua-resty-http/0.17.2 (Lua) ngx_lua/10026',
    'x-forwarded-for': '192.0.2.7',
    'x-forwarded-host': 'shop.example',
    'x-forwarded-method': 'GET',
    'x-forwarded-proto': 'https',
    'x-forwarded-uri': '/orders?page=2',
  },
};

describe.each(Object.entries(recorded))('a request as %s sends it', (_gateway, headers) => {
  it('is allowed, denied, or asked for an identity', async () => {
    const path = '/v1/gateway/forward-auth';
    const alice = await bearer({ sub: 'alice' });
    expect((await service.get(path, { ...headers, ...alice })).status).toBe(200);
    expect((await service.get(path, { ...headers, ...alice, 'x-forwarded-uri': '/admin' })).status).toBe(403);
    expect((await service.get(path, headers)).status).toBe(401);
  });
});

describe('a gateway', () => {
  it('must show a credential of its own: the token of a user is none', async () => {
    const key = makeApiKey('prod');
    const directory = mkdtempSync(join(tmpdir(), 'verdict-gateway-'));
    const apiKeysFile = join(directory, 'keys.yaml');
    writeFileSync(apiKeysFile, `- { name: edge, sha256: ${digestOf(key)}, scopes: [decide] }\n`);
    const jwt = { jwtIssuer: issuer.url, jwtAudience: audience, gatewayJwtAudience: 'shop' };
    const closed = await startService(files, { auth: 'required', apiKeysFile, ...jwt });
    const headers = { 'x-forwarded-method': 'GET', 'x-forwarded-uri': '/orders' };
    const alice = await bearer({ sub: 'alice' });
    const statusOf = async (more: Headers, set = '') =>
      (await closed.get(`${set}/v1/gateway/forward-auth`, { ...headers, ...more })).status;
    expect(await statusOf({ ...alice, 'x-api-key': key })).toBe(200);
    expect(await statusOf(alice)).toBe(401);
    expect(await statusOf(await bearer({ sub: 'alice', aud: audience }))).toBe(403);
    expect(await statusOf({ ...alice, 'x-api-key': 'vd_prod_wrong' })).toBe(401);
    // The headers of the user's request come along: of a page of another site, with a body that stays at the gateway.
    const ofUser = { origin: 'https://elsewhere.example', 'content-encoding': 'gzip', 'sec-fetch-site': 'cross-site' };
    expect(await statusOf({ ...alice, ...ofUser, 'x-api-key': key })).toBe(200);
    // A caller with an issuer's token is not a proxy of the same name.
    const named = { 'x-forwarded-user': 'alice' };
    expect(await statusOf({ ...named, 'x-api-key': key }, '/sets/elsewhere')).toBe(200);
    const edge = await bearer({ sub: 'edge', aud: audience, scope: 'decide' });
    expect(await statusOf({ ...named, ...edge }, '/sets/elsewhere')).toBe(401);
    // With a key in Authorization there is no token of a user left, and so no identity but that of a trusted proxy.
    const inAuthorization = { authorization: `Bearer ${key}` };
    expect(await statusOf(inAuthorization)).toBe(401);
    expect(await statusOf({ ...inAuthorization, 'x-forwarded-user': 'alice' })).toBe(401);
    expect(await statusOf({ ...inAuthorization, 'x-forwarded-user': 'alice' }, '/sets/elsewhere')).toBe(200);
    await closed.stop();
    rmSync(directory, { recursive: true, force: true });
  });
});
