/** Below the routes: what is sent raw over a socket, with and without TLS. */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ConnectionOptions, type Server as TlsServer, connect as tlsConnect } from 'node:tls';
import { deflateSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createPlainPort } from '../../src/http/plain-port.js';
import { watchTlsFiles } from '../../src/http/tls-files.js';
import { type Authority, makeAuthority } from './certificates.js';
import { type KeyedService, startKeyedService } from './keyed-service.js';

const question = JSON.stringify({ subject: 'ann', action: 'read', resource: 'doc' });
const entries = {
  shop: 'scopes: [decide]',
  admin: 'scopes: [decide, "decisions:read", "policies:read", "keys:admin"]',
};

let keyed: KeyedService;
let port: number;
const sockets: Socket[] = [];

beforeAll(async () => {
  keyed = await startKeyedService(entries, { authFailureLimit: '100000/s' });
  await keyed.service.app.listen(0, '127.0.0.1');
  port = (keyed.service.app.getHttpServer().address() as AddressInfo).port;
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});
afterAll(() => keyed.stop());

function open(to = port): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(to, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
    sockets.push(socket);
  });
}

/** Sends bytes as they are; everything that comes back until the connection ends or `ms` have passed. */
async function raw(bytes: string | Buffer, { ms = 600, to = port } = {}): Promise<string> {
  const socket = await open(to);
  socket.removeAllListeners('error').on('error', () => undefined);
  let answer = '';
  socket.on('data', (chunk) => {
    answer += chunk;
  });
  const ended = new Promise((resolve) => socket.once('close', resolve));
  socket.write(bytes);
  await Promise.race([ended, sleep(ms)]);
  socket.destroy();
  return answer;
}

const statusesIn = (answer: string) => [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
const head = (...lines: string[]) => [...lines, '', ''].join('\r\n');
const authorization = () => `Authorization: Bearer ${keyed.keys.shop}`;

describe('two readers of one request (smuggling)', () => {
  const hidden = head('GET /v1/decisions HTTP/1.1', 'Host: x');

  it.each([
    ['both lengths', ['Content-Length: 6', 'Transfer-Encoding: chunked'], `0\r\n\r\n${hidden}`],
    ['two lengths', ['Content-Length: 0', `Content-Length: ${hidden.length}`], hidden],
    ['a list of lengths', [`Content-Length: 0, ${hidden.length}`], hidden],
    ['a signed length', ['Content-Length: +5'], 'abcde'],
    ['a negative length', ['Content-Length: -1'], ''],
    ['a hexadecimal length', ['Content-Length: 0x5'], 'abcde'],
    ['chunked that is not last', ['Transfer-Encoding: chunked, identity'], `0\r\n\r\n${hidden}`],
    ['an unknown coding', ['Transfer-Encoding: xchunked'], `0\r\n\r\n${hidden}`],
    ['a vertical tab in the coding', ['Transfer-Encoding: \u000bchunked'], `0\r\n\r\n${hidden}`],
    ['a space before the colon', ['Transfer-Encoding : chunked'], `0\r\n\r\n${hidden}`],
    ['a folded header', ['Transfer-Encoding:\r\n chunked'], `0\r\n\r\n${hidden}`],
    ['a chunk length with a sign', ['Transfer-Encoding: chunked'], `+5\r\nabcde\r\n0\r\n\r\n`],
    ['a chunk without its end', ['Transfer-Encoding: chunked'], `1\r\nab\r\n0\r\n\r\n`],
    ['a null in a header', ['X-A: a\u0000b'], ''],
    ['a lone line feed in a header', ['X-A: a\nTransfer-Encoding: chunked'], `0\r\n\r\n${hidden}`],
  ])('is not there: %s', async (_name, headers, body) => {
    const answer = await raw(
      head('POST /v1/decide HTTP/1.1', 'Host: x', authorization(), 'Content-Type: application/json', ...headers) + body,
    );
    const statuses = statusesIn(answer);
    // One refusal, and nothing behind it is read as a request.
    expect(statuses.length, answer).toBeLessThanOrEqual(1);
    for (const status of statuses) expect(status).toBe(400);
  });

  it.each([
    ['two Host headers', 'HTTP/1.1', ['Host: evil.example'], ''],
    ['two Host headers that are the same', 'HTTP/1.1', ['HOST: x'], ''],
    ['two content types', 'HTTP/1.1', ['Content-Type: text/plain'], ''],
    ['two origins', 'HTTP/1.1', ['Origin: http://x', 'Origin: https://evil.example'], ''],
    ['HTTP/2.0', 'HTTP/2.0', [], ''],
    ['HTTP/1.2', 'HTTP/1.2', [], ''],
    ['HTTP/0.9', 'HTTP/0.9', [], ''],
    ['HTTP/1.0 with chunks', 'HTTP/1.0', ['Transfer-Encoding: chunked'], `0\r\n\r\n${hidden}`],
    ['an encoded body', 'HTTP/1.1', ['Content-Encoding: gzip', 'Content-Length: 0'], hidden],
    ['a Host of two words', 'HTTP/1.1', [], '', 'Host: a b'],
    ['no Host', 'HTTP/1.1', [], '', 'X-Host: x'],
    ['an expectation that is not known', 'HTTP/1.1', ['Expect: 200-ok', 'Content-Length: 0'], ''],
    ['a transfer coding before chunked', 'HTTP/1.1', ['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'],
    ['an encoding in a list', 'HTTP/1.1', ['Content-Encoding: identity, br', 'Content-Length: 0'], hidden],
  ])('is refused, and its connection ended: %s', async (_name, version, headers, body, host = 'Host: x') => {
    const answer = await raw(
      head(`POST /v1/decide ${version}`, host, authorization(), 'Content-Type: application/json', ...headers) + body,
    );
    expect(statusesIn(answer)).toEqual([400]);
    expect(answer).toMatch(/^connection: close\r$/im);
    expect(answer).toMatch(/^content-type: application\/problem\+json/im);
  });

  it('is refused where the target names one host and Host another', async () => {
    const ask = (target: string, host: string) =>
      raw(head(`GET ${target} HTTP/1.1`, `Host: ${host}`, 'Connection: close'));
    expect(statusesIn(await ask('http://evil.example/health/live', 'pdp.example'))).toEqual([400]);
    expect(statusesIn(await ask('http://pdp.example@evil.example/health/live', 'pdp.example'))).toEqual([400]);
    expect(statusesIn(await ask('http://PDP.example/health/live', 'pdp.example'))).toEqual([200]);
  });

  it('is refused where JSON is said to be in other letters than UTF-8', async () => {
    const ask = (type: string) =>
      raw(
        head(
          'POST /v1/decide HTTP/1.1',
          'Host: x',
          authorization(),
          `Content-Type: ${type}`,
          `Content-Length: ${question.length}`,
          'Connection: close',
        ) + question,
      );
    for (const charset of ['iso-8859-1', 'utf-16', '"utf-7"', 'utf-8x', '']) {
      expect(statusesIn(await ask(`application/json; charset=${charset}`)), charset).toEqual([400]);
    }
    for (const type of ['application/json; Charset="UTF-8"', 'application/json;profile=x; charset=utf-8']) {
      expect(statusesIn(await ask(type)), type).toEqual([200]);
    }
  });

  it('is not an identity encoding, HTTP/1.0, or a name that only begins like one', async () => {
    const ask = (version: string, ...headers: string[]) =>
      raw(
        head(
          `POST /v1/decide ${version}`,
          'Host: x',
          authorization(),
          'Content-Type: application/json',
          `Content-Length: ${question.length}`,
          'Connection: close',
          ...headers,
        ) + question,
      );
    expect(statusesIn(await ask('HTTP/1.1', 'Content-Encoding: Identity'))).toEqual([200]);
    expect(statusesIn(await ask('HTTP/1.1', 'Hosts: y', 'Hos: z', 'X-Host: a'))).toEqual([200]);
    expect(statusesIn(await ask('HTTP/1.0'))).toEqual([200]);
  });

  it('in one connection keep each their own credential', async () => {
    const good =
      head(
        'POST /v1/decide HTTP/1.1',
        'Host: x',
        authorization(),
        'Content-Type: application/json',
        `Content-Length: ${question.length}`,
      ) + question;
    const without =
      head(
        'POST /v1/decide HTTP/1.1',
        'Host: x',
        'Content-Type: application/json',
        `Content-Length: ${question.length}`,
      ) + question;
    expect(statusesIn(await raw(good + without + good))).toEqual([200, 401, 200]);
  });
});

describe('tricks with paths, methods and headers', () => {
  it.each([
    '/%76%31/decisions',
    '/v1/./decisions',
    '/health/live/../../v1/decisions',
    '/health/live/%2e%2e/%2e%2e/v1/decisions',
    '/health/live/%252e%252e/v1/decisions',
    '/health/live;/../../v1/decisions',
    '/health/live%2f..%2f..%2fv1/decisions',
    '//v1/decisions',
    '/v1//decisions',
    '/v1/decisions/',
    '/v1/decisions;x=/health/live',
    '/v1/decisions%00',
    '/v1/decisions?/health/live',
    '/v1/decisions#/health/live',
    '/V1/DECISIONS',
    '\\v1\\decisions',
    '/health/live/..\\..\\v1\\decisions',
    'http://127.0.0.1/v1/decisions',
    'http://evil.example/health/live/../../v1/decisions',
    '/docs/../v1/decisions',
    '/docs/%2e%2e/%2e%2e/package.json',
    '/docs/..%2f..%2fpackage.json',
    '/docs/....//....//package.json',
  ])('lead a stranger nowhere: %s', async (path) => {
    const answer = await raw(head(`GET ${path} HTTP/1.1`, 'Host: x', 'Connection: close'));
    expect([400, 401, 404]).toContain(statusesIn(answer)[0]);
    expect(answer).not.toMatch(/"items"|"dependencies"/);
  });

  it.each([
    '/docs/..%2f..%2fpackage.json',
    '/docs/%2e%2e/%2e%2e/package.json',
    '/docs/swagger-ui.css/../../../package.json',
    '/docs/%5c..%5c..%5cpackage.json',
  ])('lead a caller to no file of the machine: %s', async (path) => {
    const answer = await raw(head(`GET ${path} HTTP/1.1`, 'Host: x', authorization(), 'Connection: close'));
    expect(statusesIn(answer)[0]).toBeGreaterThanOrEqual(400);
    expect(answer).not.toContain('"dependencies"');
  });

  it.each(['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'])(
    'do not change the method: %s',
    async (header) => {
      const answer = await raw(
        head(
          'POST /v1/api-keys HTTP/1.1',
          'Host: x',
          `Authorization: Bearer ${keyed.keys.admin}`,
          `${header}: GET`,
          'Content-Type: application/json',
          'Content-Length: 0',
          'Connection: close',
        ),
      );
      expect(statusesIn(answer)).toEqual([400]);
    },
  );

  it.each(['X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-Prefix', 'X-Forwarded-Path'])(
    'do not change the path: %s',
    async (header) => {
      const answer = await raw(
        head('GET /v1/decisions HTTP/1.1', 'Host: x', `${header}: /health/live`, 'Connection: close'),
      );
      expect(statusesIn(answer)).toEqual([401]);
    },
  );

  it.each([
    'X-Forwarded-User: admin',
    'X-Remote-User: admin',
    'X-SSL-Client-Verify: SUCCESS',
    'X-Client-Cert: CN=admin',
    'X-Forwarded-For: 127.0.0.1',
  ])('make nobody somebody: %s', async (header) => {
    const answer = await raw(head('GET /v1/decisions HTTP/1.1', 'Host: x', header, 'Connection: close'));
    expect(statusesIn(answer)).toEqual([401]);
  });

  it('carry no key in the URL', async () => {
    for (const name of ['api_key', 'access_token', 'key', 'token', 'authorization', 'x-api-key']) {
      const answer = await raw(
        head(`GET /v1/decisions?${name}=${keyed.keys.admin} HTTP/1.1`, 'Host: x', 'Connection: close'),
      );
      expect(statusesIn(answer)).toEqual([401]);
    }
  });

  it('show two credentials to be one too many', async () => {
    const answer = await raw(
      head(
        'GET /v1/decisions HTTP/1.1',
        'Host: x',
        `Authorization: Bearer ${keyed.keys.admin}`,
        'Authorization: Bearer x',
        'Connection: close',
      ),
    );
    expect(statusesIn(answer)).toEqual([401]);
  });

  it.each(['TRACE', 'CONNECT', 'DEBUG', 'PROPFIND'])('do nothing by the method %s', async (method) => {
    const answer = await raw(head(`${method} /v1/decisions HTTP/1.1`, 'Host: x', authorization(), 'Connection: close'));
    for (const status of statusesIn(answer)) expect(status).toBeGreaterThanOrEqual(400);
    expect(answer).not.toContain(keyed.keys.shop);
  });

  it('do not put the Host header anywhere', async () => {
    const answer = await raw(
      head(
        'GET /docs HTTP/1.1',
        'Host: evil.example',
        `Authorization: Bearer ${keyed.keys.admin}`,
        'Connection: close',
      ),
    );
    expect(answer).not.toContain('evil.example');
  });
});

describe('too much of something', () => {
  it('in the headers is refused', async () => {
    const answer = await raw(head('GET /health/live HTTP/1.1', 'Host: x', `X-A: ${'a'.repeat(17_000)}`));
    expect(statusesIn(answer)[0]).toBe(400);
  });

  it('in the URL is refused', async () => {
    const answer = await raw(head(`GET /${'a'.repeat(17_000)} HTTP/1.1`, 'Host: x'));
    expect(statusesIn(answer)[0]).toBe(400);
  });

  it('announced in Content-Length is refused before it comes, and not to strangers at all', async () => {
    const post = (credential: string) =>
      raw(
        head(
          'POST /v1/decide HTTP/1.1',
          'Host: x',
          credential,
          'Content-Type: application/json',
          'Content-Length: 99999999999',
        ),
      );
    expect(statusesIn(await post(authorization()))).toEqual([413]);
    expect(statusesIn(await post('X-A: b'))).toEqual([401]);
  });

  it.each([
    ['gzip', gzipSync(Buffer.alloc(20_000_000, 0x20))],
    ['deflate', deflateSync(Buffer.alloc(20_000_000, 0x20))],
    ['br', Buffer.from('')],
  ])('behind a compression (%s) is not unpacked', async (coding, bytes) => {
    const before = process.memoryUsage().rss;
    const request = head(
      'POST /v1/decide HTTP/1.1',
      'Host: x',
      authorization(),
      'Content-Type: application/json',
      `Content-Encoding: ${coding}`,
      `Content-Length: ${bytes.length}`,
      'Connection: close',
    );
    const answer = await raw(Buffer.concat([Buffer.from(request), bytes]));
    expect(statusesIn(answer)).toEqual([400]);
    expect(process.memoryUsage().rss - before).toBeLessThan(15_000_000);
  });
});

describe('slow and idle connections', () => {
  it('that send a header line now and then are ended, and others are served meanwhile', async () => {
    const slow = await open();
    slow.on('error', () => undefined);
    let answer = '';
    slow.on('data', (chunk) => {
      answer += chunk;
    });
    const closed = once(slow, 'close');
    slow.write('GET /health/live HTTP/1.1\r\nHost: x\r\n');
    const drip = setInterval(() => slow.writable && slow.write('X-A: b\r\n'), 500);
    expect(statusesIn(await raw(head('GET /health/live HTTP/1.1', 'Host: x', 'Connection: close')))).toEqual([200]);
    // The drip never stops by itself: without an end by the service, the test runs out of time.
    await closed;
    clearInterval(drip);
    expect(statusesIn(answer).every((status) => status >= 400)).toBe(true);
  }, 30_000);

  it('5,000 at once leave the service answering', async () => {
    const idle: Socket[] = [];
    try {
      for (let batch = 0; batch < 50; batch++) {
        idle.push(...(await Promise.all(Array.from({ length: 100 }, () => open()))));
      }
      expect(idle).toHaveLength(5_000);
      const decided = await raw(
        head(
          'POST /v1/decide HTTP/1.1',
          'Host: x',
          authorization(),
          'Content-Type: application/json',
          `Content-Length: ${question.length}`,
          'Connection: close',
        ) + question,
        { ms: 5_000 },
      );
      expect(statusesIn(decided)).toEqual([200]);
    } finally {
      for (const socket of idle) socket.destroy();
    }
  }, 60_000);
});

describe('connections', () => {
  it('are taken up to the limit, and not one more', async () => {
    const few = await startKeyedService(entries, { maxConnections: 3 });
    try {
      await few.service.app.listen(0, '127.0.0.1');
      const to = (few.service.app.getHttpServer().address() as AddressInfo).port;
      const ask = head('GET /health/live HTTP/1.1', 'Host: x', 'Connection: close');
      await open(to);
      await open(to);
      expect(statusesIn(await raw(ask, { to }))).toEqual([200]);
      await open(to);
      await sleep(50);
      expect(await raw(ask, { to })).toBe('');
    } finally {
      for (const socket of sockets.splice(0)) socket.destroy();
      await few.stop();
    }
  });
});

describe('TLS', () => {
  let directory: string;
  let authority: Authority;
  let tls: KeyedService;
  let tlsPort: number;
  const path = (name: string) => join(directory, name);

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'verdict-tls-'));
    authority = await makeAuthority('Verdict test CA');
    const { cert, key } = await authority.issue('localhost', { server: true });
    writeFileSync(path('cert.pem'), cert);
    writeFileSync(path('key.pem'), key);
    tls = await startKeyedService(entries, { tlsCert: path('cert.pem'), tlsKey: path('key.pem') });
    await tls.service.app.listen(0, '127.0.0.1');
    tlsPort = (tls.service.app.getHttpServer().address() as AddressInfo).port;
  });
  afterAll(async () => {
    tls.service.app.getHttpServer().closeAllConnections();
    await tls.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  /** The protocol and cipher of a handshake, or why there was none. */
  function handshake(options: ConnectionOptions): Promise<string> {
    return new Promise((resolve) => {
      const socket = tlsConnect({
        host: '127.0.0.1',
        servername: 'localhost',
        port: tlsPort,
        ca: authority.cert,
        ...options,
      });
      sockets.push(socket);
      socket.once('secureConnect', () => resolve(`${socket.getProtocol()} ${socket.getCipher().name}`));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(`refused: ${error.code ?? error.message}`));
    });
  }

  it('is 1.2 or 1.3', async () => {
    expect(await handshake({ maxVersion: 'TLSv1.2' })).toMatch(/^TLSv1\.2 ECDHE-/);
    expect(await handshake({})).toMatch(/^TLSv1\.3 TLS_/);
  });

  it.each(['TLSv1', 'TLSv1.1'] as const)('is not %s', async (version) => {
    const ciphers = 'DEFAULT@SECLEVEL=0';
    expect(await handshake({ minVersion: version, maxVersion: version, ciphers })).toMatch(/^refused/);
  });

  it.each(['AES128-GCM-SHA256', 'ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES256-SHA384', 'NULL-SHA256', 'DES-CBC3-SHA'])(
    'is not by the cipher %s',
    async (cipher) => {
      const ciphers = `${cipher}:@SECLEVEL=0`;
      const result = await handshake({ maxVersion: 'TLSv1.2', ciphers }).catch((error) => `refused: ${error.code}`);
      expect(result).toMatch(/^refused/);
    },
  );

  it('half open does not hold the service', async () => {
    for (let n = 0; n < 200; n++) {
      const socket = await open(tlsPort);
      socket.on('error', () => undefined);
      // The beginning of a ClientHello, and then nothing
      socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
    }
    expect(await handshake({})).toMatch(/^TLSv1\.3/);
  });

  it('does not answer plain HTTP', async () => {
    const answer = await raw(head('GET /health/live HTTP/1.1', 'Host: x'), { to: tlsPort });
    expect(answer).not.toContain('"ok"');
  });

  it('takes a new certificate for new connections and drops none that is open', async () => {
    const server = tls.service.app.getHttpServer() as unknown as TlsServer;
    const lines: string[] = [];
    const log = {
      info: (_details: object, message: string) => lines.push(message),
      error: (_details: object, message: string) => lines.push(message),
    };
    const stop = watchTlsFiles(server, { cert: path('cert.pem'), key: path('key.pem') }, log, 20);
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authority.cert, servername: 'localhost' });
    const serials = new Set<string>();
    const get = () =>
      new Promise<number>((resolve, reject) => {
        const request = httpsRequest({ host: '127.0.0.1', port: tlsPort, path: '/health/live', agent }, (response) => {
          serials.add((response.socket as import('node:tls').TLSSocket).getPeerCertificate().serialNumber);
          response.resume().once('end', () => resolve(response.statusCode!));
        });
        request.once('error', reject).end();
      });
    const serialNow = () =>
      new Promise<string>((resolve, reject) => {
        const socket = tlsConnect(
          { host: '127.0.0.1', servername: 'localhost', port: tlsPort, ca: authority.cert },
          () => {
            resolve(socket.getPeerCertificate().serialNumber);
            socket.destroy();
          },
        ).once('error', reject);
      });
    try {
      expect(await get()).toBe(200);
      const before = await serialNow();
      // Half of a renewal: the certificate without its key
      const { cert, key } = await authority.issue('localhost', { server: true });
      writeFileSync(path('cert.pem'), cert);
      await sleep(100);
      expect(await serialNow()).toBe(before);
      expect(lines.at(-1)).toBe('the new certificates cannot be used; those before stay');
      writeFileSync(path('key.pem'), key);
      await sleep(100);
      expect(await serialNow()).not.toBe(before);
      expect(await get()).toBe(200);
      expect([...serials]).toEqual([before]);
      expect(readFileSync(path('cert.pem'), 'utf8')).toBe(cert);
    } finally {
      stop();
      agent.destroy();
    }
  });
});

describe('the plain port beside TLS', () => {
  const plain = createPlainPort(() => 'https://pdp.example');
  let plainPort: number;
  beforeAll(async () => {
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    plainPort = (plain.address() as AddressInfo).port;
  });
  afterAll(() => plain.close());
  const ask = (...lines: string[]) => raw(head(...lines), { to: plainPort });

  it('sends browsers to TLS, and to no other place whatever they say', async () => {
    expect(await ask('GET /docs?a=b HTTP/1.1', 'Host: evil.example', 'Accept: text/html')).toMatch(
      /^HTTP\/1\.1 308 [\s\S]*location: https:\/\/pdp\.example\/docs\?a=b\r\n/i,
    );
    for (const path of ['//evil.example/x', '/\\evil.example', 'http://evil.example/', '/%0d%0aSet-Cookie:a=b/../']) {
      const answer = await ask(`GET ${path} HTTP/1.1`, 'Host: x', 'Accept: text/html');
      expect(answer).toMatch(/location: https:\/\/pdp\.example\/(%0d%0aSet-Cookie:a=b\/\.\.\/)?\r\n/i);
      expect(answer).not.toMatch(/^set-cookie/im);
    }
  });

  it('refuses calls of the API, whatever credential they carry, and ends the connection', async () => {
    for (const credential of [
      authorization(),
      `X-API-Key: ${keyed.keys.shop}`,
      'Authorization: Bearer wrong',
      'X-A: b',
    ]) {
      const answer = await ask(
        'POST /v1/decide HTTP/1.1',
        'Host: x',
        credential,
        'Content-Length: 5',
        'Content-Type: application/json',
      );
      expect(statusesIn(answer)).toEqual([403]);
      expect(answer).toMatch(/^connection: close/im);
    }
    const asPage = await ask('GET /v1/decisions HTTP/1.1', 'Host: x', 'Accept: text/html', authorization());
    expect(statusesIn(asPage)).toEqual([403]);
  });
});
