import { readFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorTable, VerdictError } from '../../src/errors.js';
import { problemOf } from '../../src/http/problem.js';
import { type Answer, onePolicySet, type Service, startService } from './service.js';

let service: Service;
let port: number;
beforeAll(async () => {
  service = await startService({ ...onePolicySet, 'broken/model.conf': 'not a model' });
  await service.app.listen(0, '127.0.0.1');
  port = (service.app.getHttpServer().address() as AddressInfo).port;
});
afterAll(() => service.stop());

const question = JSON.stringify({ subject: 'ann', action: 'read', resource: 'doc' });

function expectProblem(answer: Answer, status: number, code: string): void {
  expect(answer.status).toBe(status);
  expect(String(answer.headers['content-type'])).toMatch(/^application\/problem\+json/);
  expect(answer.headers['x-request-id']).toEqual(expect.any(String));
  expect(answer.body).toEqual({
    type: `urn:verdict:problem:${code}`,
    title: errorTable[code as keyof typeof errorTable].title,
    status,
    // A sentence, cut if it is long; what the errors say of their pointers is the end of one.
    detail: expect.stringMatching(/^['A-Z].*[.…]$/s),
    instance: `urn:verdict:request:${encodeURIComponent(String(answer.headers['x-request-id']))}`,
    ...(status === 400 && {
      errors: expect.arrayContaining([
        { pointer: expect.stringMatching(/^(\/|$)/), detail: expect.stringMatching(/./) },
      ]),
    }),
  });
  expect(JSON.stringify(answer.body)).not.toMatch(/node_modules|\.js:\d|\.ts:\d| {4}at /);
}

/** Writes bytes to the server's socket and reads until it closes the connection. */
function raw(...chunks: (string | Buffer)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
    for (const chunk of chunks) socket.write(chunk);
    socket.setTimeout(5_000, () => socket.destroy());
  });
}

describe('a problem', () => {
  it('is what an unknown path gets, whatever it is asked', async () => {
    expectProblem(await service.get('/nothing'), 404, 'not_found');
    expectProblem(await service.post('/v2/decide', question), 404, 'not_found');
    expectProblem(await service.get('/v1/decisions/none'), 404, 'decision_not_found');
  });

  it.each([
    ['GET', '/v1/decide', 'POST'],
    ['PUT', '/decide', 'POST'],
    ['DELETE', '/v1/decide/batch', 'POST'],
    ['POST', '/v1/decisions', 'GET, HEAD'],
    ['PATCH', '/v1/decisions/some-id', 'GET, HEAD'],
    ['POST', '/health', 'GET, HEAD'],
    ['POST', '/docs-json', 'GET, HEAD'],
    ['OPTIONS', '/v1/decide', 'POST'],
  ] as const)('says for %s %s which methods there are', async (method, url, allowed) => {
    const response = await service.app.inject({ method, url, payload: '{', headers: { 'content-type': 'text/plain' } });
    expectProblem(
      { status: response.statusCode, headers: response.headers, body: response.json() },
      405,
      'method_not_allowed',
    );
    expect(response.headers.allow).toBe(allowed);
  });

  it.each([
    'application/x-www-form-urlencoded',
    'text/plain',
    'application/xml',
    'application/json-patch+json',
    'application/problem+json',
    'application/jsonp',
    'multipart/form-data; boundary=x',
    'json',
    '',
    'application/',
    'a/b/c',
    'application/json, application/json',
  ])('is what a body of type %j gets', async (type) => {
    expectProblem(await service.post('/v1/decide', question, { 'content-type': type }), 400, 'malformed_request');
  });

  it.each([
    'application/json',
    'APPLICATION/JSON',
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
  ])('is not what a body of type %j gets', async (type) => {
    expect((await service.post('/v1/decide', question, { 'content-type': type })).status).toBe(200);
  });

  it.each([
    ['no JSON', '{"subject":'],
    ['an empty body', ''],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['a byte order mark', '\ufeff{}'],
    ['a duplicate name', '{"subject":"a","subject":"b"}'],
    ['__proto__', '{"__proto__":{"allowed":true}}'],
    ['20,000 arrays', '['.repeat(20_000) + ']'.repeat(20_000)],
    ['200,000 objects', '{"a":'.repeat(200_000)],
  ])('is what %s gets', async (_what, body) => {
    expectProblem(await service.post('/v1/decide', body), 400, 'malformed_request');
  });

  it('points at the fault', async () => {
    const { body } = await service.post('/v1/decide', '{"subject":{"id":"\\ud800"}}');
    expect(body.errors).toEqual([{ pointer: '/subject/id', detail: 'lone surrogate in a string' }]);
  });

  it('is what a bad query gets', async () => {
    for (const query of ['limit=0', 'limit=1001', 'limit=ten', 'unknown=1', 'from=yesterday', 'subject=a&subject=b']) {
      expectProblem(await service.get(`/v1/decisions?${query}`), 400, 'invalid_request');
    }
  });

  it('is what a time gets that is in no calendar, wherever it stands', async () => {
    for (const time of ['2026-02-30T10:00:00Z', '2026-02-28T23:59:60Z']) {
      const decided = await service.post('/v1/decide', { ...JSON.parse(question), at: time });
      expectProblem(decided, 400, 'invalid_request');
      expect(decided.body.errors).toEqual([{ pointer: '/at', detail: 'at must be a RFC 3339 time' }]);
      const key = { name: 'late', scopes: ['decide'], expires: time };
      expectProblem(await service.post('/v1/api-keys', key), 400, 'invalid_request');
      const list = { ...key, expires: ['2099-01-01T00:00:00Z'] };
      expectProblem(await service.post('/v1/api-keys', list), 400, 'invalid_request');
      for (const path of ['decisions', 'decisions/stats', 'audit-events']) {
        expectProblem(await service.get(`/v1/${path}?from=${time}`), 400, 'invalid_request');
      }
    }
  });

  it('says first what it is not, then what else is wrong', async () => {
    const { body } = await service.get('/v1/decisions?limit=ten');
    expect(body.detail).toBe('The query is not valid: limit must be an integer number.');
    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(['/limit', '/limit', '/limit']);
  });

  it('is what an impossible path gets', async () => {
    expectProblem(await service.get('/%ZZ'), 400, 'malformed_request');
    expectProblem(await service.get(`/v1/decisions/${'x'.repeat(2_000)}`), 400, 'malformed_request');
  });

  it('is what a set that cannot be loaded gets, while others are served', async () => {
    const body = { subject: 'ann', action: 'read', resource: 'doc' };
    expectProblem(await service.post('/v1/decide', { ...body, policySet: 'broken' }), 503, 'policy_set_unavailable');
    expect((await service.post('/v1/decide', body)).status).toBe(200);
  });

  it('is what bytes that are not HTTP get, and the connection is closed', async () => {
    for (const bytes of ['GARBAGE\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00])]) {
      const answer = await raw(bytes);
      expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
      expect(answer).toContain('Content-Type: application/problem+json');
      expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject({ status: 400 });
    }
  });

  it('is what too large headers get', async () => {
    const answer = await raw(`GET /health/live HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(20_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(answer).toContain('The headers are too large.');
  });
});

describe('a request id', () => {
  it.each(['6f1c1f0e-5d0e-4e0c-9d5f-0d8c7f6f2a11', 'a', 'with spaces and "quotes"', 'x'.repeat(1_024)])(
    'given as %j comes back, on errors too',
    async (id) => {
      for (const answer of [
        await service.post('/v1/decide', question, { 'x-request-id': id }),
        await service.post('/v1/decide', '{', { 'x-request-id': id }),
        await service.get('/nothing', { 'x-request-id': id }),
        await service.get('/%ZZ', { 'x-request-id': id }),
      ]) {
        expect(answer.headers['x-request-id']).toBe(id);
      }
    },
  );

  it.each(['', ' leading', 'x'.repeat(1_025), 'new\u0085line'])('given as %j is replaced', async (id) => {
    const { headers } = await service.post('/v1/decide', question, { 'x-request-id': id });
    expect(headers['x-request-id']).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  });
});

describe('docs/errors.md', () => {
  const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| .+ \|$/gm)].map(([, code, status]) => [code, Number(status)]);

  it('lists every code with its status, in the order of the table in the code, and no other', () => {
    expect(rows).toEqual(Object.entries(errorTable).map(([code, { status }]) => [code, status]));
  });

  it('says whose records are not where they are looked for yet, and to come again', () => {
    const unshipped = { writer: 3, shippedTo: '2026-11-21T12:00:00.000Z' };
    const error = new VerdictError('decision_not_found', 'Not yet.', { retryAfter: 1, unshipped });
    expect(problemOf(error, 'r-1')).toMatchObject({ status: 404, ...unshipped });
    expect(problemOf(new VerdictError('decision_not_found', 'No.'), 'r-1')).not.toHaveProperty('writer');
  });
});
