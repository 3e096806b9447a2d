/**
 * What gateways ask, with paths, headers and messages as an attacker would have them: whatever comes, no answer is a fault of
 * the service, and nothing is allowed that the mapping does not give. What it gives is judged by servers as they are: the path
 * must be the allowed one however a server behind the gateway may read it.
 */
import { connect } from 'node:net';
import { posix } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EnvoyPort } from '../../src/gateway/envoy/envoy-port.js';
import { type CheckClient, checkOf, clientSees, connectTo, protocol } from '../gateway/envoy/grpc-client.js';
import { type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { audience, claimsOf, type Issuer, startIssuer } from '../security/world.js';
import { runs, timeout } from './runs.js';

const allowedPath = '/orders';

let issuer: Issuer;
let service: Service;
let client: CheckClient;
let port: number;
let token: string;
beforeAll(async () => {
  issuer = await startIssuer();
  service = await startService(
    {
      'default/model.conf': idModel,
      'default/rules.csv': `p, alice, ${allowedPath}, GET\n`,
      'default/policy-set.yaml': `gateway:
  identity: { header: X-Forwarded-User, certificate: true, proxies: [edge] }
  attributes: { q: "\${query.q}", h: "\${headers.x-tenant}", size: "\${body.size}" }
`,
    },
    { jwtIssuer: issuer.url, jwtAudience: audience, gatewayJwtAudience: 'shop', grpcPort: 0 },
  );
  await service.app.listen(0, '127.0.0.1');
  port = Number(new URL(await service.app.getUrl()).port);
  client = connectTo((await service.app.get(EnvoyPort).listen())!);
  token = `Bearer ${await issuer.sign(claimsOf(issuer, { aud: 'shop', sub: 'alice' }))}`;
}, timeout);
afterAll(async () => {
  client?.close();
  await service?.stop();
  await issuer?.stop();
});

/** How servers read the path of a target. One that throws refuses it. */
const readers: readonly ((path: string) => string)[] = [
  (path) => decodeURIComponent(new URL(`http://x.example${path}`).pathname),
  (path) => posix.normalize(decodeURIComponent(path)),
  (path) => decodeURIComponent(posix.normalize(path)),
  (path) => posix.normalize(decodeURIComponent(decodeURIComponent(path))),
  (path) => posix.normalize(path.replace(/;[^/]*/g, '')),
  (path) => posix.normalize(decodeURIComponent(path).replaceAll('\\', '/')),
  (path) => posix.normalize(decodeURIComponent(path).replace(/\0.*/, '')),
];

/** True if every server that takes the target reads the allowed path. */
function isAllowedPath(target: string): boolean {
  const [path = ''] = target.split(/[?#]/);
  return readers.every((read) => {
    try {
      return read(path).replace(/\/+/g, '/') === allowedPath;
    } catch {
      return true;
    }
  });
}

const pieces = fc.constantFrom(
  ...['orders', 'admin', '/orders', '/', '/', '//', '.', '..', '/../', '/./', '%2f', '%2F', '%5c', '\\', '%2e', '%2E'],
  ...[
    '%252e',
    '%252f',
    '%00',
    ';',
    ';x=',
    '?',
    '?q=',
    '&q=',
    '#',
    '%25',
    '%',
    '%6f',
    'o',
    'A',
    ':',
    '*',
    '@',
    '%c0%af',
  ],
  ...[
    '%0d%0a',
    '%20',
    '+',
    '\u00e9',
    '\u202e',
    'http://x.example',
    '/sets/default',
    '/v1/decide',
    '%ff',
    '%zz',
    '~',
    '!',
  ],
);
const targets = fc.oneof(
  fc.array(pieces, { maxLength: 8 }).map((parts) => `/${parts.join('')}`),
  fc.array(pieces, { maxLength: 3 }).map((parts) => `${allowedPath}${parts.join('')}`),
  fc.array(pieces, { maxLength: 3 }).map((parts) => `${parts.join('')}${allowedPath}`),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const methods = fc.oneof(
  { weight: 4, arbitrary: fc.constant('GET') },
  fc.constantFrom('POST', 'HEAD', 'OPTIONS', 'get', 'TRACE', 'CONNECT', 'PROPFIND', 'G ET', ''),
);
const names = fc.constantFrom(
  ...[
    'x-forwarded-user',
    'x-forwarded-client-cert',
    'x-envoy-original-path',
    'x-envoy-auth-partial-body',
    'x-original-url',
  ],
  ...[
    'x-forwarded-uri',
    'x-forwarded-method',
    'x-forwarded-host',
    'x-forwarded-proto',
    'x-verdict-subject',
    'x-tenant',
  ],
  ...[
    'content-type',
    'content-encoding',
    'x-http-method-override',
    'connection',
    'expect',
    'upgrade',
    'cookie',
    'origin',
  ],
  ...[
    'x-request-id',
    'traceparent',
    'verdict-policy-set',
    'access-control-request-method',
    'te',
    '__proto__',
    'constructor',
  ],
);
const values = fc.oneof(
  fc.constantFrom(
    'alice',
    'admin',
    'URI=spiffe://a/b',
    'URI=a,URI=b',
    '/orders',
    'GET',
    'true',
    'close',
    '',
    'a,b',
    'gzip',
  ),
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 10 }),
);
const headers = fc.array(fc.tuple(names, values), { maxLength: 6 });
type Credential = 'right' | 'none' | 'wrong' | 'twice';
const credentials: fc.Arbitrary<Credential> = fc.constantFrom('right', 'right', 'right', 'none', 'wrong', 'twice');

type Check = [method: string, target: string, more: [string, string][], kind: Credential, isRaw: boolean, body: string];

function authorizations(kind: Credential): string[] {
  if (kind === 'none') return [];
  if (kind === 'wrong') return [`${token.slice(0, -4)}AAAA`];
  return kind === 'twice' ? [token, token] : [token];
}

/** One request on a connection of its own, byte for byte; returns the status, or 0 where the connection just ends. */
function raw(method: string, target: string, lines: readonly string[]): Promise<number> {
  const clean = (text: string) => Buffer.from(text.replace(/[\r\n]/g, '')).toString('latin1');
  const head = [`${method} ${clean(target)} HTTP/1.1`, 'Host: shop.example', ...lines.map(clean), 'Connection: close'];
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)));
    socket.on('error', (error) => (text === '' ? reject(error) : undefined));
    // Half a connection would be answered by closing it.
    socket.write(Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'latin1'));
  });
}

/** How much was allowed: a run that allows nothing tries nothing. */
let allowed = 0;
beforeEach(() => {
  allowed = 0;
});
afterEach(() => expect(allowed).toBeGreaterThan(10));

function judge(status: number | string, isGiven: boolean): void {
  if (status === 200 || status === 'allowed') allowed++;
  if (typeof status === 'number' && status >= 500) throw new Error(`a fault of the service: ${status}`);
  // UNKNOWN, INTERNAL, UNAVAILABLE
  if (/^error (2|13|14)$/.test(String(status))) throw new Error(`a fault of the service: ${status}`);
  if ((status === 200 || status === 'allowed') && !isGiven)
    throw new Error('what the mapping does not give is allowed');
}

describe('whatever a gateway is sent', () => {
  it('is no fault of the service, and allowed as the mapping gives it: Envoy over HTTP', { timeout }, async () => {
    await fc.assert(
      fc.asyncProperty(methods, targets, headers, credentials, async (method, target, more, kind) => {
        const lines = more.map(([name, value]) => `${name}: ${value}`);
        const shown = authorizations(kind).map((value) => `Authorization: ${value}`);
        const status = await raw(method, `/v1/gateway/envoy${target}`, [...lines, ...shown]);
        judge(status, method === 'GET' && kind === 'right' && isAllowedPath(target));
      }),
      runs(1_500),
    );
  });

  it('is no fault of the service, and allowed as the mapping gives it: forward-auth', { timeout }, async () => {
    await fc.assert(
      fc.asyncProperty(methods, targets, headers, credentials, async (method, target, more, kind) => {
        const own = new Set(['x-forwarded-uri', 'x-forwarded-method']);
        const lines = more.filter(([name]) => !own.has(name)).map(([name, value]) => `${name}: ${value}`);
        const shown = authorizations(kind).map((value) => `Authorization: ${value}`);
        const asked = [`X-Forwarded-Method: ${method}`, `X-Forwarded-Uri: ${target}`];
        const status = await raw('GET', '/v1/gateway/forward-auth', [...asked, ...lines, ...shown]);
        // Blanks at the ends are not of the value.
        judge(status, method === 'GET' && kind === 'right' && isAllowedPath(target.trim()));
      }),
      runs(1_500),
    );
  });

  const checks: fc.Arbitrary<Check> = fc.tuple(
    methods,
    targets,
    headers,
    credentials,
    fc.boolean(),
    fc.string({ maxLength: 30 }),
  );

  function message([method, target, more, kind, isRaw, body]: Check) {
    const listed = [...more, ...authorizations(kind).map((value) => ['authorization', value] as const)];
    const joined = new Map<string, string>();
    for (const [name, value] of listed) joined.set(name, joined.has(name) ? `${joined.get(name)},${value}` : value);
    const http = isRaw
      ? { body, headerMap: { headers: listed.map(([key, value]) => ({ key, rawValue: Buffer.from(value) })) } }
      : { body };
    return checkOf(method, target, isRaw ? {} : Object.fromEntries(joined), { http });
  }

  it('is no fault of the service, and allowed as the mapping gives it: Envoy over gRPC', { timeout }, async () => {
    await fc.assert(
      fc.asyncProperty(checks, async (check) => {
        const [method, target, , kind] = check;
        const outcome = await client.check(message(check));
        judge(clientSees(outcome), method === 'GET' && kind === 'right' && isAllowedPath(target));
      }),
      runs(2_000),
    );
  });

  it('is no fault of the service where the bytes are wrong', { timeout }, async () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 }), fc.constantFrom('set', 'insert', 'cut')), {
      maxLength: 2,
    });
    const rightChecks: fc.Arbitrary<Check> = checks.map(([, , more, , isRaw, body]) => [
      'GET',
      allowedPath,
      more,
      'right',
      isRaw,
      body,
    ]);
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((each) => Buffer.from(each)),
      fc.tuple(fc.oneof(checks, rightChecks), changes).map(([check, changed]) => {
        let sent = protocol.check.requestSerialize({ message: message(check), length: 0 });
        for (const [place, byte, kind] of changed) {
          const at = sent.length === 0 ? 0 : place % sent.length;
          if (kind === 'cut') sent = sent.subarray(0, at);
          else if (kind === 'insert') sent = Buffer.concat([sent.subarray(0, at), Buffer.of(byte), sent.subarray(at)]);
          else if (sent.length > 0) sent[at] = byte;
        }
        return sent;
      }),
    );
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        const outcome = await client.check(Buffer.from(sent));
        const http = protocol.check.requestDeserialize(sent).message?.attributes?.request?.http;
        const listed = http?.headerMap?.headers ?? [];
        const shown =
          listed.length > 0
            ? listed.some(({ rawValue }) => rawValue?.toString() === token)
            : http?.headers?.authorization === token;
        judge(clientSees(outcome), http?.method === 'GET' && shown && isAllowedPath(http.path ?? ''));
      }),
      runs(3_000),
    );
  });
});
