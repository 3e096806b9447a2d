/**
 * Envoy in front of an upstream asks Verdict over HTTP and over gRPC, with the configurations that docs/envoy.md shows.
 * Skipped if Envoy is not installed, unless `VERDICT_TEST_REQUIRE=all`.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type BuiltService, freePort, startBuiltService } from '../../authzen/built-service.js';
import { idModel } from '../../models.js';
import { type Issued, makeAuthority } from '../../security/certificates.js';
import { type Issuer, startIssuer } from '../../security/world.js';
import { type Envoy, isMissing, shownBelow, startEnvoy, type Tree } from './real-envoy.js';

const spiffe = 'spiffe://acme/shop';

const obligedModel = idModel.replace('p = sub, obj, act', 'p = sub, obj, act, eft, obligations');

const transports = [{ transport: 'HTTP' }, { transport: 'gRPC' }];

/** The configuration of the page, with the filter and the cluster that it shows for gRPC. */
function overGrpc(tree: Tree): void {
  const [filter, options] = shownBelow('Over gRPC').map((block) => parse(block));
  for (const { filter_chains } of tree.static_resources.listeners) {
    filter_chains[0].filters[0].typed_config.http_filters[0] = structuredClone(filter);
  }
  Object.assign(tree.static_resources.clusters[0], options);
  const [plain] = tree.static_resources.listeners;
  const [host] = plain.filter_chains[0].filters[0].typed_config.route_config.virtual_hosts;
  host.routes.unshift({
    match: { prefix: '/tiered' },
    route: { cluster: 'upstream' },
    metadata: { filter_metadata: { 'com.acme': { zone: { name: 'north' } } } },
    typed_per_filter_config: {
      'envoy.filters.http.ext_authz': {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute',
        check_settings: { context_extensions: { tier: 'gold' } },
      },
    },
  });
  const [authorization] = plain.filter_chains[0].filters[0].typed_config.http_filters;
  authorization.typed_config.route_metadata_context_namespaces = ['com.acme'];
}

describe.each(transports)('Envoy over $transport', ({ transport }) => {
  const test = it.skipIf(isMissing);
  let issuer: Issuer;
  let service: BuiltService;
  let envoy: Envoy;
  let token: string;
  let shop: Issued;
  let stranger: Issued;

  beforeAll(async () => {
    if (isMissing) return;
    issuer = await startIssuer();
    const grpcPort = String(await freePort());
    service = await startBuiltService(
      {
        'default/model.conf': obligedModel,
        'default/rules.csv': [
          'p, alice, /orders, GET, allow, ',
          'p, alice, /public/page, GET, allow, ',
          'p, alice, /orders, POST, allow, ',
          `p, ${spiffe}, /orders, GET, allow, `,
          'p, alice, /noted, GET, allow, notify-owner',
          'p, alice, payment:small, POST, allow, ',
          'p, alice, gold:north, GET, allow, ',
          '',
        ].join('\n'),
        'default/policy-set.yaml': `gateway:
  identity: { header: X-Forwarded-User, certificate: true, proxies: [tester] }
  forward: { set: { X-User-Department: "\${token.department}" }, remove: [X-Debug] }
  routes:
    - { path: "/payments", resource: { type: path, id: "payment:\${body.size}" } }
    - { path: "/tiered", resource: { type: path, id: "\${route.tier}:\${route.com.acme.zone.name}" } }
    - { path: "/{rest*}" }
`,
      },
      {
        VERDICT_JWT_ISSUER: issuer.url,
        VERDICT_JWT_AUDIENCE: 'verdict',
        VERDICT_GATEWAY_JWT_AUDIENCE: 'shop',
        VERDICT_TRUSTED_PROXIES: '127.0.0.1',
        VERDICT_GRPC_PORT: grpcPort,
      },
      ['decide', 'decisions:read'],
    );
    const exp = Math.floor(Date.now() / 1000) + 600;
    token = await issuer.sign({ iss: issuer.url, aud: 'shop', sub: 'alice', exp, department: 'sales' });
    const authority = await makeAuthority('Clients');
    shop = await authority.issue('shop', { uri: spiffe });
    stranger = await (await makeAuthority('Somebody else')).issue('shop', { uri: spiffe });
    const [configuration] = shownBelow('Over HTTP');
    const { hostname, port, host } = new URL(service.url);
    const isGrpc = transport === 'gRPC';
    envoy = await startEnvoy({
      configuration: configuration!,
      places: { VERDICT_HOST: hostname, VERDICT_PORT: isGrpc ? grpcPort : port, VERDICT: host, API_KEY: service.token },
      ...(isGrpc && { change: (tree) => overGrpc(tree) }),
      tls: { server: await authority.issue('localhost', { server: true }), authority: authority.cert },
    });
  });

  afterAll(async () => {
    await envoy?.stop();
    await service?.stop();
    await issuer?.stop();
  });

  const alice = () => ({ authorization: `Bearer ${token}` });

  async function recordOf(id: unknown) {
    const answer = await fetch(`${service.url}/v1/decisions/${id}`, {
      headers: { authorization: `Bearer ${service.token}` },
    });
    return (await answer.json()) as Record<string, unknown>;
  }

  test('lets through what is allowed, and tells the upstream for whom and by which decision', async () => {
    const { status, text } = await envoy.ask('/orders?page=2&name=%FF', { headers: alice() });
    expect({ status, text }).toEqual({ status: 200, text: 'upstream' });
    expect(envoy.upstream.reached).toHaveLength(1);
    const [{ url, headers }] = envoy.upstream.reached as [(typeof envoy.upstream.reached)[number]];
    expect(url).toBe('/orders?page=2&name=%FF');
    expect(headers).toMatchObject({
      'x-verdict-subject': 'alice',
      'x-verdict-policy-version': expect.stringMatching(/^sha256:/),
      'x-user-department': 'sales',
    });
    expect(headers['x-verdict-obligations']).toBeUndefined();
    expect(await recordOf(headers['x-verdict-decision-id'])).toMatchObject({
      decision: 'allow',
      via: 'gateway',
      caller: 'tester',
      request: {
        subject: { type: 'user', id: 'alice' },
        action: { name: 'GET' },
        resource: { type: 'path', id: '/orders' },
        attributes: { ip: '127.0.0.1' },
      },
    });
  });

  test('tells the upstream what it must do', async () => {
    expect((await envoy.ask('/noted', { headers: alice() })).status).toBe(200);
    const obligations = JSON.parse(String(envoy.upstream.reached[0]!.headers['x-verdict-obligations']));
    expect(JSON.stringify(obligations)).toContain('notify-owner');
  });

  test('tells other filters of Envoy the decision, and asks by what Envoy says of the route', async () => {
    const { status } = await envoy.ask('/tiered', { headers: { ...alice(), tier: 'gold' } });
    if (transport === 'HTTP') {
      // Over HTTP Envoy says nothing of the route.
      expect(status).toBe(403);
      return;
    }
    expect(status).toBe(200);
    const { headers } = envoy.upstream.reached[0]!;
    const metadata = () => envoy.metadata().find((each) => each.decisionId === headers['x-verdict-decision-id']);
    await expect.poll(metadata, { timeout: 5_000 }).toMatchObject({
      decision: 'allow',
      subject: 'alice',
      policySet: 'default',
      policyVersion: headers['x-verdict-policy-version'],
      obligations: [],
    });
  });

  test('stops what is denied, and says why to the client', async () => {
    for (const [path, method] of [
      ['/admin', 'GET'],
      ['/orders', 'DELETE'],
    ] as const) {
      const { status, headers, text } = await envoy.ask(path, { method, headers: alice() });
      expect(status).toBe(403);
      expect(headers['content-type']).toMatch(/^application\/problem\+json/);
      expect(JSON.parse(text)).toMatchObject({ type: 'urn:verdict:problem:denied', detail: 'You may not do this.' });
      expect(envoy.upstream.reached).toEqual([]);
    }
  });

  test('asks for an identity where there is none, or a wrong one', async () => {
    for (const headers of [{}, { authorization: 'Bearer a.b.c' }] as Record<string, string>[]) {
      const answer = await envoy.ask('/orders', { headers });
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="verdict"/);
      expect(envoy.upstream.reached).toEqual([]);
    }
    const twice = await envoy.ask('/orders', { headers: { authorization: [`Bearer ${token}`, 'Bearer x'] } });
    expect(twice.status).toBeGreaterThanOrEqual(400);
    expect(envoy.upstream.reached).toEqual([]);
  });

  const forged = {
    'x-verdict-subject': 'admin',
    'x-verdict-decision-id': 'forged',
    'x-verdict-policy-version': 'forged',
    'x-verdict-obligations': '["forged"]',
    'x-user-department': 'forged',
    'x-forwarded-user': 'admin',
    'x-debug': 'forged',
    'x-forwarded-client-cert': `URI=${spiffe}`,
    'x-envoy-original-path': '/public/page',
    'x-envoy-auth-headers-to-remove': 'authorization',
    'x-envoy-auth-partial-body': 'false',
    'x-envoy-external-address': '192.0.2.9',
    'x-original-url': '/public/page',
    'x-forwarded-uri': '/public/page',
    'x-forwarded-method': 'GET',
    'x-forwarded-for': '192.0.2.9',
    'x-forwarded-proto': 'https',
    'x-api-key': 'vd_prod_forged',
    'verdict-policy-set': 'other',
  };

  test('lets no header name the user', async () => {
    expect((await envoy.ask('/orders', { headers: forged })).status).toBe(401);
    expect(envoy.upstream.reached).toEqual([]);
    expect((await envoy.ask('/admin', { headers: { ...forged, ...alice() } })).status).toBe(403);
    expect(envoy.upstream.reached).toEqual([]);
  });

  test('lets no header reach the upstream that it would take for the word of Verdict', async () => {
    const { status } = await envoy.ask('/orders', { headers: { ...forged, ...alice() } });
    expect(status).toBe(200);
    const [{ headers, rawHeaders }] = envoy.upstream.reached as [(typeof envoy.upstream.reached)[number]];
    expect(headers['x-verdict-subject']).toBe('alice');
    expect(headers['x-user-department']).toBe('sales');
    expect(rawHeaders.filter((each) => each === 'forged' || each === 'admin' || each === '["forged"]')).toEqual([]);
    for (const name of ['x-verdict-obligations', 'x-forwarded-user', 'x-debug', 'x-forwarded-client-cert']) {
      expect(headers[name], name).toBeUndefined();
    }
    expect(await recordOf(headers['x-verdict-decision-id'])).toMatchObject({
      request: { attributes: { ip: '127.0.0.1' } },
    });
  });

  test('sets its headers where the client says that they are of its connection alone', async () => {
    const { status } = await envoy.ask('/orders', {
      headers: { ...alice(), connection: 'x-verdict-subject, authorization', 'x-verdict-subject': ['admin', 'root'] },
    });
    if (status === 200) expect(envoy.upstream.reached[0]!.headers['x-verdict-subject']).toBe('alice');
    else expect(envoy.upstream.reached).toEqual([]);
  });

  test.each([
    '/public/../admin',
    '/public/%2e%2e/admin',
    '/public/..%2fadmin',
    '/public/..;/admin',
    '/public%2f..%2fadmin',
    '/public\\..\\admin',
    '/public/%5c..%5cadmin',
    '/public//../admin',
    '/%2561dmin/../orders%252f..',
    '/admin%00/../orders',
    '/orders%00',
    '/orders%0a',
    '/orders%FF',
    '//admin',
    '/%61dmin',
    '/../../../v1/decide',
    '/../../sets/other/v1/gateway/envoy/orders',
    '/orders;x=/public/page',
    '/admin?/../orders',
    '/admin#/../orders',
    'http://shop.example/admin',
    'http://shop.example/public/..%2fadmin',
  ])('is not fooled by %s', async (path) => {
    const { status } = await envoy.ask(path, { headers: alice() });
    expect([400, 403, 404]).toContain(status);
    expect(envoy.upstream.reached).toEqual([]);
  });

  test('is not fooled by methods', async () => {
    for (const method of ['HEAD', 'OPTIONS', 'TRACE', 'PROPFIND', 'PUT']) {
      const headers = {
        ...alice(),
        origin: 'https://elsewhere.example',
        'access-control-request-method': 'GET',
        'x-http-method-override': 'GET',
      };
      const { status } = await envoy.ask('/orders', { method, headers });
      expect(status, method).toBeGreaterThanOrEqual(400);
      expect(envoy.upstream.reached).toEqual([]);
    }
  });

  test('reads one request where a client hides a second one', async () => {
    const lines = [
      'POST /orders HTTP/1.1',
      'Host: shop.example',
      `Authorization: Bearer ${token}`,
      'Content-Length: 6',
      'Transfer-Encoding: chunked',
      '',
      '0',
      '',
      'GET /admin HTTP/1.1',
      'Host: shop.example',
      '',
      '',
    ];
    envoy.upstream.reached.length = 0;
    const socket = connect(envoy.port, '127.0.0.1');
    socket.end(lines.join('\r\n'));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    await once(socket, 'close');
    expect(text).not.toContain('200 OK');
    expect(envoy.upstream.reached).toEqual([]);
  });

  test('knows a client by the certificate that it shows to Envoy', async () => {
    expect((await envoy.ask('/orders', { certificate: shop })).status).toBe(200);
    const [{ headers }] = envoy.upstream.reached as [(typeof envoy.upstream.reached)[number]];
    expect(decodeURIComponent(String(headers['x-verdict-subject']))).toBe(spiffe);
    expect((await envoy.ask('/admin', { certificate: shop })).status).toBe(403);
    const nobody = { certificate: 'none' as const, headers: { 'x-forwarded-client-cert': `URI=${spiffe}` } };
    expect((await envoy.ask('/orders', nobody)).status).toBe(401);
    await expect(envoy.ask('/orders', { certificate: stranger })).rejects.toThrow();
  });

  test('decides by the body, and by none that it cannot read', async () => {
    const ask = (body: string, headers = {}) =>
      envoy.ask('/payments', { method: 'POST', body, headers: { ...alice(), ...headers } });
    expect((await ask('{"size":"small"}', { 'content-type': 'application/json' })).status).toBe(200);
    expect(envoy.upstream.reached[0]!.body).toBe('{"size":"small"}');
    expect(
      (await ask('{"size":"small"}', { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' })).status,
    ).toBe(200);
    for (const body of [
      '{"size":"large"}',
      '{"size":"large","size":"small"}',
      '{"size":"small"} x',
      'size=small',
      '',
      `{"size":"small","x":"${'x'.repeat(70_000)}"}`,
    ]) {
      const { status } = await ask(body, { 'content-type': 'application/json' });
      expect(status, body.slice(0, 40)).toBe(403);
      expect(envoy.upstream.reached).toEqual([]);
    }
    // What the mapping does not name may be anything.
    const anything = await envoy.ask('/orders', { method: 'POST', body: 'a'.repeat(100_000), headers: alice() });
    expect(anything.status).toBe(200);
    expect(envoy.upstream.reached[0]!.body).toHaveLength(100_000);
  });

  test('answers 503 while Verdict is slow, and goes on afterwards', async () => {
    service.child.kill('SIGSTOP');
    const answer = await envoy.ask('/orders', { headers: alice() });
    service.child.kill('SIGCONT');
    expect(answer.status).toBe(503);
    expect(envoy.upstream.reached).toEqual([]);
    let status = 0;
    for (let attempt = 0; attempt < 50 && status !== 200; attempt++) {
      ({ status } = await envoy.ask('/orders', { headers: alice() }));
      await delay(50);
    }
    expect(status).toBe(200);
  });

  test('answers 503 when Verdict is gone', async () => {
    service.child.kill('SIGKILL');
    await once(service.child, 'exit');
    const answer = await envoy.ask('/orders', { headers: alice() });
    expect(answer.status).toBe(503);
    expect(envoy.upstream.reached).toEqual([]);
  });
});
