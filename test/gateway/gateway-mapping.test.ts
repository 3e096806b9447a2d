import { describe, expect, it } from 'vitest';
import { readGatewayMapping } from '../../src/core/manifest/gateway-mapping.js';
import { defaultManifest, readManifest } from '../../src/core/manifest/manifest.js';
import { readYaml } from '../../src/core/manifest/yaml-document.js';
import type { PolicyProblem } from '../../src/core/problem.js';
import { type GatewayIdentity, gatewayQuestion } from '../../src/gateway/gateway-request.js';

function mappingOf(text: string) {
  const problems: PolicyProblem[] = [];
  const node = readYaml({ file: 'gateway.yaml', text }, (problem) => problems.push(problem));
  const mapping = readGatewayMapping(node!);
  expect(problems.map(({ message }) => message)).toEqual([]);
  return mapping;
}

function ask(text: string, method: string, target: string, identity?: GatewayIdentity, headers = {}) {
  const request = { method, target, host: 'API.example', scheme: 'https', clientAddress: '192.0.2.7', headers };
  return gatewayQuestion(text === '' ? defaultManifest.gateway : mappingOf(text), request, identity);
}

const alice = {
  id: 'alice',
  claims: { sub: 'alice', roles: ['editor'], realm: { level: 3 }, 'https://x.example/a': 'b' },
};

describe('a request at a gateway', () => {
  it('meets its route and its rule whatever the case and the end of its path, where the server ignores them', () => {
    const mapping = `
paths: { case: ignore, slash: ignore }
routes:
  - { path: "/Admin/", resource: { type: page, id: admin } }
  - { path: "/Users/{id}", resource: { type: user, id: "\${path.id}" } }
  - { path: "/{rest*}" }
`;
    for (const target of ['/admin', '/ADMIN', '/Admin./', '/admin%20']) {
      expect(ask(mapping, 'GET', target, alice), target).toMatchObject({ resource: { type: 'page', id: 'admin' } });
    }
    expect(ask(mapping, 'GET', '/uSers/Ann.', alice)).toMatchObject({ resource: { type: 'user', id: 'ann' } });
    expect(ask(mapping, 'GET', '/Other/X/', alice)).toMatchObject({ resource: { type: 'path', id: '/other/x' } });
  });

  it('is by default the user, the method, the path and the address', () => {
    expect(ask('', 'GET', '/orders/./7?x=1', alice)).toEqual({
      subject: { type: 'user', id: 'alice' },
      action: { name: 'GET' },
      resource: { type: 'path', id: '/orders/7' },
      attributes: { ip: '192.0.2.7' },
    });
  });

  it('is what the mapping makes of it', () => {
    const mapping = `
subject: { type: person, id: "\${token.sub}", attributes: { roles: "\${token.roles}", level: "\${token.realm.level}", a: "\${token.https://x.example/a}" } }
actions: { GET: read, HEAD: read }
routes:
  - path: /tenants/{tenant}/orders/{id}
    resource: { type: order, id: "\${path.tenant}:\${path.id}", attributes: { tenant: "\${path.tenant}" } }
  - { path: "/tenants/{tenant}/orders", methods: [POST], action: place, resource: { type: orders, id: "\${path.tenant}" } }
  - { path: "/files/{name*}", resource: { type: file, id: "\${path.name}" } }
attributes: { host: "\${request.host}", region: "\${query.region}", channel: web, trace: "\${headers.X-Trace}" }
`;
    expect(ask(mapping, 'HEAD', '/tenants/acme/orders/7?region=eu', alice, { 'x-trace': 't' })).toEqual({
      subject: { type: 'person', id: 'alice', attributes: { roles: ['editor'], level: 3, a: 'b' } },
      action: { name: 'read' },
      resource: { type: 'order', id: 'acme:7', attributes: { tenant: 'acme' } },
      attributes: { host: 'api.example', region: 'eu', channel: 'web', trace: 't' },
    });
    expect(ask(mapping, 'POST', '/tenants/acme/orders', alice)).toMatchObject({
      action: { name: 'place' },
      resource: { type: 'orders', id: 'acme' },
    });
    expect(ask(mapping, 'DELETE', '/files/a/b%20c', alice)).toMatchObject({
      action: { name: 'DELETE' },
      resource: { id: 'a/b c' },
    });
    expect(ask(mapping, 'GET', '/files/a?region=eu&region=us', alice)).toMatchObject({
      attributes: { region: ['eu', 'us'] },
    });
    for (const [method, target] of [
      ['GET', '/tenants/acme/orders'],
      ['GET', '/tenants/acme/orders/'],
      ['GET', '/tenants/acme/orders/7/'],
      ['GET', '/files'],
      ['GET', '/files/'],
      ['GET', '/'],
    ] as const) {
      expect(ask(mapping, method, target, alice), target).toMatchObject({ refused: 'unmapped_path' });
    }
  });

  it('puts values in once: what they hold is not read again', () => {
    const mapping = 'routes: [{ path: "/a/{x}", resource: { type: t, id: "${path.x}-${query.y}" } }]';
    expect(ask(mapping, 'GET', '/a/$%7Bidentity%7D?y=$%7Bpath.x%7D', alice)).toMatchObject({
      resource: { id: '${identity}-${path.x}' },
    });
  });

  it('refuses a parameter that another reader could read as another text, where a template names it', () => {
    const mapping = 'routes: [{ path: "/a", resource: { type: t, id: "${query.y}" } }]';
    for (const value of ['%FF', '%ED%A0%80', '%zz', '%', 'ok&y=%E9']) {
      expect(ask(mapping, 'GET', `/a?y=${value}`, alice), value).toMatchObject({
        refused: 'ambiguous_path',
        detail: expect.stringContaining('parameter y'),
      });
      expect(ask(mapping, 'GET', `/a?y=ok&other=${value.replace('&y', '&z')}`, alice), value).toMatchObject({
        resource: { id: 'ok' },
      });
    }
  });

  it('needs an identity, unless the mapping says who strangers are', () => {
    expect(ask('', 'GET', '/a')).toMatchObject({ refused: 'unauthenticated' });
    expect(ask('anonymous: guest', 'GET', '/a')).toMatchObject({ subject: { type: 'user', id: 'guest' } });
    expect(ask('subject: { id: "${token.email}" }', 'GET', '/a', alice)).toMatchObject({ refused: 'unauthenticated' });
  });

  it('is refused where its path is ambiguous, before anything else', () => {
    expect(ask('anonymous: guest', 'GET', '/a%2fb')).toEqual({
      refused: 'ambiguous_path',
      detail: 'The path holds an encoded slash.',
    });
  });

  it('reads nothing that is not its own', () => {
    const mapping =
      'attributes: { a: "${token.constructor}", b: "${headers.constructor}", c: "${token.toString.name}" }';
    expect(ask(mapping, 'GET', '/a', alice)).not.toHaveProperty('attributes');
  });
});

describe('a gateway mapping', () => {
  it.each([
    ['{ subjects: {} }', 'gateway has no "subjects"'],
    [
      '{ identity: { header: X-User } }',
      'gateway.identity needs a header or the certificate, and the proxies that it is believed from',
    ],
    [
      '{ identity: { certificate: false, proxies: [edge] } }',
      'gateway.identity needs a header or the certificate, and the proxies that it is believed from',
    ],
    [
      '{ identity: { certificate: "yes", proxies: [edge], header: a } }',
      'gateway.identity.certificate must be true or false',
    ],
    ['{ forward: { sets: {} } }', 'gateway.forward has no "sets"'],
    ['{ forward: { set: { "a b": x } } }', '"a b" is not the name of a header'],
    ['{ forward: { set: { Host: x } } }', 'gateway.forward cannot change the header "host"'],
    ['{ forward: { set: { X-Verdict-Subject: x } } }', 'gateway.forward cannot change the header "x-verdict-subject"'],
    ['{ forward: { set: { X-A: "${path.id}" } } }', 'the path of this route has no "id"'],
    ['{ forward: { remove: [Content-Length] } }', 'gateway.forward cannot change the header "content-length"'],
    ['{ attributes: { a: "${route}" } }', '"route" names nothing of route'],
    ['{ attributes: { a: "${client.name}" } }', '"client.name" names nothing of client'],
    ['{ identity: { header: "X User", proxies: [edge] } }', '"x user" is not the name of a header'],
    ['{ maxStaleness: 30 }', 'gateway.maxStaleness must be a text'],
    ['{ maxStaleness: "30" }', '"30" is not a duration'],
    ['{ maxStaleness: "0" }', '"0" is not a duration'],
    ['{ actions: { get: read } }', '"get" is not a method'],
    ['{ routes: [{ resource: { type: a } }] }', 'a gateway route needs a path'],
    ['{ routes: [{ path: orders }] }', '"orders" does not begin with a slash'],
    ['{ routes: [{ path: "/a/{b*}/c" }] }', 'in "/a/{b*}/c" something follows what takes the rest'],
    ['{ routes: [{ path: "/a/{b}/{b}" }] }', '"/a/{b}/{b}" has the name "b" twice'],
    ['{ routes: [{ path: "/a/x{b}" }] }', '"x{b}" is neither a text nor a name in braces'],
    ['{ routes: [{ path: "/a", resource: { id: "${path.b}" } }] }', 'the path of this route has no "b"'],
    ['{ attributes: { a: "${path.b}" } }', 'the path of this route has no "b"'],
    ['{ attributes: { a: "${cookie.b}" } }', '"cookie.b" is not a part of a gateway\'s request'],
    ['{ attributes: { a: "${request.body}" } }', '"request.body" names nothing of request'],
    ['{ attributes: { a: "${token}" } }', '"token" names nothing of token'],
    ['{ attributes: { a: "${query.b" } }', '"${query.b" has a "${" that is not closed'],
  ])('%s is refused: %s', (text, message) => {
    const problems: PolicyProblem[] = [];
    readManifest({ file: 'policy-set.yaml', text: `gateway: ${text}` }, (problem) => problems.push(problem));
    expect(problems.map((problem) => problem.message)).toEqual([message]);
    expect(problems[0]).toMatchObject({ severity: 'error', file: 'policy-set.yaml', line: 1 });
  });
});
