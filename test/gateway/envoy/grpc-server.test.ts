import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLog } from '../../../src/audit/audit-log.js';
import { digestOf, makeApiKey } from '../../../src/auth/api-key.js';
import { EnvoyPort } from '../../../src/gateway/envoy/envoy-port.js';
import { authorizationService } from '../../../src/gateway/envoy/grpc/check-protocol.js';
import { jsonOfStruct, structOf } from '../../../src/gateway/envoy/grpc/proto-json.js';
import { type PolicyFiles, type Service, startService } from '../../http/service.js';
import { idModel } from '../../models.js';
import { makeAuthority } from '../../security/certificates.js';
import { audience, claimsOf, type Issuer, startIssuer } from '../../security/world.js';
import { type CheckClient, checkOf, clientSees, connectTo, headersOf, protocol } from './grpc-client.js';

const files: PolicyFiles = {
  'default/model.conf': idModel.replace('p = sub, obj, act', 'p = sub, obj, act, obligations'),
  'default/rules.csv':
    'p, alice, /orders, GET, \np, Zoë, /orders, GET, \np, alice, /noted, GET, "[{""tell"": ""owner""}]"\n',
  'mesh/model.conf': idModel,
  'mesh/rules.csv':
    'p, spiffe://acme/shop, /orders, GET\np, guest, /orders, GET\np, alice, /orders, GET\np, guest, amount:5, POST\n',
  'mesh/policy-set.yaml': `gateway:
  identity: { header: X-Forwarded-User, certificate: true, proxies: [anonymous] }
  anonymous: guest
  attributes:
    ip: "\${client.address}"
    host: "\${request.host}"
    tier: "\${route.tier}"
    zone: "\${route.com.acme.zone}"
    scopes: "\${metadata.envoy.filters.http.jwt_authn.payload.scopes}"
    language: "\${headers.accept-language}"
  routes:
    - { path: /payments, resource: { type: payment, id: "amount:\${body.amount}" } }
    - { path: "/{rest*}" }
`,
};

const invalidArgument = 3;
const notFound = 5;
const permissionDenied = 7;
const resourceExhausted = 8;
const unimplemented = 12;
const unavailable = 14;
const unauthenticated = 16;

describe('the gRPC port', () => {
  let issuer: Issuer;
  let service: Service;
  let client: CheckClient;
  beforeAll(async () => {
    issuer = await startIssuer();
    service = await startService(files, {
      jwtIssuer: issuer.url,
      jwtAudience: audience,
      gatewayJwtAudience: 'shop',
      grpcPort: 0,
      grpcMaxMessageBytes: 20_000,
    });
    client = connectTo((await service.app.get(EnvoyPort).listen())!);
  });
  afterAll(async () => {
    client?.close();
    await service?.stop();
    await issuer?.stop();
  });

  const bearer = async (sub: string) => ({
    authorization: `Bearer ${await issuer.sign(claimsOf(issuer, { aud: 'shop', sub }))}`,
  });
  const mesh = { 'verdict-policy-set': 'mesh' };

  it('lets an allowed request go forward, and says for whom and by which decision', async () => {
    const outcome = await client.check(checkOf('GET', '/orders?page=2', await bearer('alice')));
    expect(clientSees(outcome)).toBe('allowed');
    const { okResponse, dynamicMetadata } = outcome.response!;
    const headers = headersOf(okResponse!.headers);
    expect(headers).toMatchObject({ 'x-verdict-subject': 'alice', 'x-verdict-policy-version': expect.any(String) });
    expect(okResponse!.headers.every(({ appendAction }) => appendAction === 2)).toBe(true);
    expect(okResponse!.headersToRemove).toEqual(['x-verdict-obligations']);
    expect(jsonOfStruct(dynamicMetadata)).toEqual({
      decision: 'allow',
      decisionId: headers['x-verdict-decision-id'],
      policySet: 'default',
      policyVersion: headers['x-verdict-policy-version'],
      subject: 'alice',
      obligations: [],
    });
    expect(await service.log.find(headers['x-verdict-decision-id']!)).toMatchObject({
      via: 'gateway',
      decision: 'allow',
      request: { resource: { type: 'path', id: '/orders' }, attributes: { ip: '192.0.2.7' } },
    });
  });

  it('tells what must be done in a header and in the metadata', async () => {
    const { response } = await client.check(checkOf('GET', '/noted', await bearer('alice')));
    expect(headersOf(response!.okResponse!.headers)['x-verdict-obligations']).toBe('[{"tell":"owner"}]');
    expect(jsonOfStruct(response!.dynamicMetadata).obligations).toEqual([{ tell: 'owner' }]);
  });

  it('denies with what the client gets', async () => {
    const denied = await client.check(checkOf('GET', '/admin', { ...(await bearer('alice')), 'x-request-id': 'r-1' }));
    expect(clientSees(denied)).toBe(403);
    const { status, deniedResponse, dynamicMetadata } = denied.response!;
    expect(status.code).toBe(permissionDenied);
    expect(headersOf(deniedResponse!.headers)).toMatchObject({
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
    });
    expect(JSON.parse(deniedResponse!.body)).toMatchObject({
      type: 'urn:verdict:problem:denied',
      detail: 'You may not do this.',
      instance: 'urn:verdict:request:r-1',
    });
    expect(jsonOfStruct(dynamicMetadata)).toMatchObject({ decision: 'deny', policySet: 'default' });
    const stranger = await client.check(checkOf('GET', '/orders'));
    expect(clientSees(stranger)).toBe(401);
    expect(stranger.response!.status.code).toBe(unauthenticated);
    expect(headersOf(stranger.response!.deniedResponse!.headers)['www-authenticate']).toBe('Bearer realm="verdict"');
    for (const authorization of ['Bearer a.b.c', (await bearer('alice')).authorization.slice(0, -3)]) {
      const wrong = await client.check(checkOf('GET', '/orders', { authorization }));
      expect(headersOf(wrong.response!.deniedResponse!.headers)['www-authenticate']).toContain('invalid_token');
    }
  });

  it.each([
    ['/orders%2f', 'ambiguous_path'],
    ['/x/%2e%2e/orders', 'ambiguous_path'],
    ['/x//../orders', 'ambiguous_path'],
    ['/orders#x', 'ambiguous_path'],
    ['http://shop.example/orders', 'ambiguous_path'],
    ['', 'ambiguous_path'],
    ['*', 'ambiguous_path'],
    ['/orders\u00e9', 'ambiguous_path'],
  ])('denies %s: %s', async (path, code) => {
    const outcome = await client.check(checkOf('GET', path, await bearer('alice')));
    expect(clientSees(outcome)).toBe(403);
    expect(JSON.parse(outcome.response!.deniedResponse!.body).type).toBe(`urn:verdict:problem:${code}`);
  });

  it('names the set by metadata, and finds no other', async () => {
    expect(clientSees(await client.check(checkOf('GET', '/orders'), mesh))).toBe('allowed');
    expect((await client.check(checkOf('GET', '/orders'), { 'verdict-policy-set': 'none' })).code).toBe(notFound);
    expect((await client.check(checkOf('GET', '/orders'), { 'verdict-policy-set': ['mesh', 'default'] })).code).toBe(
      notFound,
    );
    // Of the client's headers none does.
    expect(clientSees(await client.check(checkOf('GET', '/orders', mesh)))).toBe(401);
  });

  it('asks by what Envoy says of the client, the route and other filters', async () => {
    const metadata = (json: object) => ({
      filterMetadata: { 'envoy.filters.http.jwt_authn': structOf(json as never) },
    });
    const request = checkOf(
      'GET',
      '/orders',
      { 'accept-language': 'de' },
      {
        source: { principal: 'spiffe://acme/shop' },
        attributes: {
          contextExtensions: { tier: 'gold' },
          routeMetadataContext: { filterMetadata: { 'com.acme': structOf({ zone: { a: [1, null, true] } }) } },
          metadataContext: metadata({ payload: { scopes: ['a', 'b'] } }),
        },
      },
    );
    const { response } = await client.check(request, mesh);
    const headers = headersOf(response!.okResponse!.headers);
    expect((await service.log.find(headers['x-verdict-decision-id']!))!.request).toMatchObject({
      subject: { id: 'spiffe://acme/shop' },
      attributes: {
        ip: '192.0.2.7',
        host: 'shop.example',
        tier: 'gold',
        zone: { a: [1, null, true] },
        scopes: ['a', 'b'],
        language: 'de',
      },
    });
  });

  it('reads nothing that is not there by its own name', async () => {
    const attributes = { contextExtensions: { constructor: 'x', __proto__: { tier: 'gold' } } };
    const { response } = await client.check(checkOf('GET', '/orders', {}, { attributes }), mesh);
    const id = headersOf(response!.okResponse!.headers)['x-verdict-decision-id']!;
    expect((await service.log.find(id))!.request.attributes).toEqual({ ip: '192.0.2.7', host: 'shop.example' });
  });

  it('takes a user from a header once', async () => {
    const named = (headers: [string, string][]) =>
      checkOf(
        'GET',
        '/orders',
        {},
        {
          http: { headerMap: { headers: headers.map(([key, value]) => ({ key, rawValue: Buffer.from(value) })) } },
        },
      );
    const subject = async (request: ReturnType<typeof checkOf>) => {
      const outcome = await client.check(request, mesh);
      return clientSees(outcome) === 'allowed'
        ? headersOf(outcome.response!.okResponse!.headers)['x-verdict-subject']
        : clientSees(outcome);
    };
    expect(await subject(named([['X-Forwarded-User', 'alice']]))).toBe('alice');
    expect(
      await subject(
        named([
          ['x-forwarded-user', 'alice'],
          ['x-forwarded-user', 'admin'],
        ]),
      ),
    ).toBe(400);
    expect(await subject(checkOf('GET', '/orders', { 'x-forwarded-user': 'alice' }))).toBe('alice');
    expect(await subject(checkOf('GET', '/orders', { 'x-forwarded-user': 'alice,admin' }))).toBe(400);
    expect(await subject(checkOf('GET', '/orders', { 'x-forwarded-user': '' }))).toBe('guest');
    const zoe = await client.check(named([['x-forwarded-user', 'Zoë']]), mesh);
    expect(clientSees(zoe)).toBe(403);
    const token = (await bearer('alice')).authorization;
    expect(await subject(named([['authorization', token]]))).toBe('alice');
    expect(await subject(checkOf('GET', '/orders', { authorization: `${token},${token}` }))).toBe(400);
    expect(await subject(checkOf('GET', '/orders', { authorization: 'Digest a="b", c="d"' }))).toBe('guest');
    expect(
      await subject(
        named([
          ['authorization', token],
          ['authorization', token],
        ]),
      ),
    ).toBe(400);
  });

  it('decides by a body that is whole and strict JSON', async () => {
    const pay = (http: object, headers: Record<string, string> = {}) =>
      client.check(checkOf('POST', '/payments', headers, { http }), mesh);
    expect(clientSees(await pay({ rawBody: Buffer.from('{"amount":5}') }))).toBe('allowed');
    expect(clientSees(await pay({ body: '{"amount":5}' }))).toBe('allowed');
    const refusals = [
      pay({ body: '{"amount":5,"amount":5}' }),
      pay({ body: '{"amount":5,"x":"\ufffd"}' }),
      pay({ rawBody: Buffer.from([0x7b, 0xff, 0x7d]) }),
      pay({ body: '{"amount":5}' }, { 'x-envoy-auth-partial-body': 'true' }),
      pay({}, { 'content-length': '12' }),
      pay({}, { 'transfer-encoding': 'chunked' }),
    ];
    for (const outcome of await Promise.all(refusals)) {
      expect(clientSees(outcome)).toBe(403);
      expect(JSON.parse(outcome.response!.deniedResponse!.body).type).toBe('urn:verdict:problem:unreadable_body');
    }
    const none = await pay({}, { 'content-length': '0' });
    expect(JSON.parse(none.response!.deniedResponse!.body).type).toBe('urn:verdict:problem:unmapped_path');
  });

  it('is no check: what is not one', async () => {
    const wrong = [Buffer.from('not a message'), Buffer.from([0x0a, 0xff]), Buffer.alloc(0), Buffer.from([0x0a, 0x00])];
    for (const bytes of wrong) expect((await client.check(bytes)).code, String(bytes)).toBe(invalidArgument);
    const deep = Buffer.alloc(19_000, 0x0a);
    expect((await client.check(deep)).code).toBe(invalidArgument);
  });

  it('takes messages of the longest length, and none beyond', async () => {
    expect(clientSees(await client.check(checkOfLength(20_000)))).toBe(401);
    expect((await client.check(checkOfLength(20_001))).code).toBe(resourceExhausted);
  });

  it('says how it is, and shows nothing of itself', async () => {
    expect(await client.health()).toBe(1);
    expect(await client.health(authorizationService)).toBe(1);
    expect(await client.health('other')).toEqual({ code: notFound });
    expect(await client.call('/grpc.health.v1.Health/Watch')).toBe(unimplemented);
    expect(await client.call('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo')).toBe(unimplemented);
    expect(await client.call('/grpc.channelz.v1.Channelz/GetServers')).toBe(unimplemented);
  });
});

/** A message of so many bytes. */
function checkOfLength(length: number): Buffer {
  const messageOf = (filler: number) =>
    protocol.check.requestSerialize({ message: checkOf('GET', '/orders', { filler: 'x'.repeat(filler) }), length: 0 });
  let filler = length;
  while (messageOf(filler).length > length) filler--;
  expect(messageOf(filler)).toHaveLength(length);
  return messageOf(filler);
}

describe('a caller of the gRPC port', () => {
  it('shows a key, a token or a certificate, as on the HTTP port', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'verdict-grpc-'));
    const file = (name: string, text: string) => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    const issuer = await startIssuer();
    const authority = await makeAuthority('Gateways');
    const server = await authority.issue('localhost', { server: true });
    const edge = await authority.issue('edge', { uri: 'spiffe://acme/edge' });
    const other = await authority.issue('other');
    const stranger = await (await makeAuthority('Somebody else')).issue('edge', { uri: 'spiffe://acme/edge' });
    const keys = { edge: makeApiKey('prod'), reader: makeApiKey('prod'), slow: makeApiKey('prod') };
    const service = await startService(files, {
      auth: 'required',
      grpcPort: 0,
      jwtIssuer: issuer.url,
      jwtAudience: audience,
      gatewayJwtAudience: 'shop',
      rateLimit: '2/h',
      authFailureLimit: '100/s',
      apiKeysFile: file(
        'keys.yaml',
        `- { name: edge, sha256: ${digestOf(keys.edge)}, certificate: "URI:spiffe://acme/edge", scopes: [decide], sets: [default] }
- { name: reader, sha256: ${digestOf(keys.reader)}, scopes: ["decisions:read"] }
- { name: slow, sha256: ${digestOf(keys.slow)}, scopes: [decide] }
`,
      ),
      tlsCert: file('server.pem', server.cert),
      tlsKey: file('server-key.pem', server.key),
      tlsClientCa: file('ca.pem', authority.cert),
    });
    const port = (await service.app.get(EnvoyPort).listen())!;
    const connect = (certificate?: { cert: string; key: string }) =>
      connectTo(
        port,
        credentials.createSsl(
          Buffer.from(authority.cert),
          certificate && Buffer.from(certificate.key),
          certificate && Buffer.from(certificate.cert),
        ),
      );
    const clients = [connect(), connect(edge), connect(other), connect(stranger)] as const;
    const [plain, asEdge, asOther, asStranger] = clients;
    const alice = { authorization: `Bearer ${await issuer.sign(claimsOf(issuer, { aud: 'shop', sub: 'alice' }))}` };
    const request = checkOf('GET', '/orders', alice);
    const token = async (scope: string) => `Bearer ${await issuer.sign(claimsOf(issuer, { scope }))}`;
    const seen = async (client: CheckClient, metadata = {}) => clientSees(await client.check(request, metadata));

    expect(await seen(plain)).toBe(`error ${unauthenticated}`);
    expect(await seen(plain, { 'x-api-key': 'vd_prod_wrong' })).toBe(`error ${unauthenticated}`);
    expect(await seen(plain, { 'x-api-key': [keys.edge, keys.edge] })).toBe(`error ${unauthenticated}`);
    expect(await seen(plain, { 'x-api-key': keys.edge, authorization: `Bearer ${keys.edge}` })).toBe(
      `error ${unauthenticated}`,
    );
    expect(await seen(plain, { 'x-api-key': keys.reader })).toBe(`error ${permissionDenied}`);
    expect(await seen(plain, { authorization: await token('explain') })).toBe(`error ${permissionDenied}`);
    expect(await seen(plain, { authorization: await token('decide') })).toBe('allowed');
    // Of the client's headers none is a credential of the gateway.
    const own = checkOf('GET', '/orders', { ...alice, 'x-api-key': keys.edge });
    expect(clientSees(await plain.check(own))).toBe(`error ${unauthenticated}`);

    expect(await seen(asEdge, { 'verdict-policy-set': 'mesh' })).toBe(`error ${notFound}`);
    expect(await seen(asOther)).toBe(`error ${unauthenticated}`);
    expect(await seen(asStranger)).toBe(`error ${unauthenticated}`);
    expect(await seen(asEdge, { 'x-api-key': 'vd_prod_wrong' })).toBe(`error ${unauthenticated}`);
    // Two an hour, by key or by certificate; one was the set that is not found.
    expect(await seen(asEdge)).toBe('allowed');
    expect(await seen(plain, { 'x-api-key': keys.edge })).toBe(`error ${resourceExhausted}`);
    expect(await seen(plain, { authorization: `Bearer ${keys.slow}` })).toBe('allowed');
    expect(await seen(plain, { authorization: `Basic ${Buffer.from(`slow:${keys.slow}`).toString('base64')}` })).toBe(
      'allowed',
    );
    expect(await plain.health()).toBe(1);

    const events = await service.app.get(AuditLog).search({ limit: 100 } as never);
    const types = events.items.map(({ type }: { type: string }) => type);
    for (const type of ['authentication_failed', 'scope_refused', 'limit_hit']) expect(types).toContain(type);
    for (const client of clients) client.close();
    await service.stop();
    await issuer.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  it('gets its answers when the service stops, and no new connection', async () => {
    const service = await startService(files, { grpcPort: 0 });
    const port = (await service.app.get(EnvoyPort).listen())!;
    const client = connectTo(port);
    await client.check(checkOf('GET', '/orders'));
    const running = Array.from({ length: 50 }, () => client.check(checkOf('GET', '/orders')));
    // Their calls are on the way before the stop begins.
    await new Promise((resolve) => setImmediate(resolve));
    await service.stop();
    for (const outcome of await Promise.all(running))
      expect([401, `error ${unavailable}`]).toContain(clientSees(outcome));
    const late = connectTo(port);
    expect(clientSees(await late.check(checkOf('GET', '/orders')))).toBe(`error ${unavailable}`);
    late.close();
    client.close();
  });
});
