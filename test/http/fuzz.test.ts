/** Ten thousand bodies that no client means well with: no 5xx, no crash, memory flat. A failure prints its seed. */
import { type AddressInfo, connect } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { idModel } from '../models.js';
import { type Service, startService } from './service.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

let service: Service;
let port: number;
beforeAll(async () => {
  service = await startService({
    'default/model.conf': idModel.replace(
      /m = .*/,
      'm = r.sub.level > 1 && r.obj.owner == r.sub && keyMatch2(r.act, p.act)',
    ),
    'default/rules.csv': 'p, ann, doc, /a/:b\np, bob, doc, read\n',
    'second/model.conf': idModel,
    'second/rules.csv': 'p, ann, doc, read\n',
  });
  await service.app.listen(0, '127.0.0.1');
  port = (service.app.getHttpServer().address() as AddressInfo).port;
});
afterAll(() => service.stop());

const paths = fc.constantFrom('/v1/decide', '/v1/decide', '/decide', '/v1/decide/batch');
const names = fc.constantFrom(
  'subject',
  'action',
  'resource',
  'attributes',
  'id',
  'name',
  'type',
  'level',
  'owner',
  'policySet',
  'explain',
  'at',
  'requests',
  'defaults',
  '__proto__',
  'constructor',
  'prototype',
  'toString',
);
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('ann', 'doc', '/a/b', 'default', 'second', 'full', ''),
);
const scalars = fc.oneof(text, fc.double(), fc.integer(), fc.boolean(), fc.constant(null));
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    scalars,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(names, tie('value')), { maxLength: 5 }).map(Object.fromEntries),
  ),
}));
/** Near enough to a request to get past the schema now and then. */
const nearly = fc.record(
  {
    subject: value,
    action: value,
    resource: value,
    attributes: value,
    policySet: text,
    explain: text,
    requests: fc.array(value),
  },
  { requiredKeys: ['subject', 'action', 'resource'] },
);
const nested = fc
  .tuple(fc.constantFrom('[', '{"a":', '{"subject":', '[{"__proto__":'), fc.integer({ min: 1, max: 20_000 }))
  .map(([open, depth]) => open.repeat(depth));
const huge = fc
  .tuple(names, fc.integer({ min: 1, max: 200_000 }))
  .map(([name, length]) =>
    JSON.stringify({ subject: 'ann', action: 'read', resource: 'doc', [name]: 'x'.repeat(length) }),
  );
const json = fc.oneof(value, nearly).map((body) => JSON.stringify(body) ?? '');
/** JSON with one piece of it damaged. */
const damaged = fc
  .tuple(
    json,
    fc.nat(),
    fc.constantFrom('', '"', '\\', '{', '}', ',', ':', '\\ud800', '\\u0000', '\0', '\ud800', '1e999'),
  )
  .map(([body, at, piece]) => {
    const place = at % (body.length + 1);
    return body.slice(0, place) + piece + body.slice(place + 1);
  });
const bodies = fc.oneof(
  { weight: 6, arbitrary: json.map(Buffer.from) },
  { weight: 6, arbitrary: damaged.map((body) => Buffer.from(body)) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 200 }).map(Buffer.from) },
  { weight: 1, arbitrary: nested.map((body) => Buffer.from(body)) },
  { weight: 1, arbitrary: huge.map((body) => Buffer.from(body)) },
);
const types = fc.oneof(
  { weight: 12, arbitrary: fc.constant('application/json') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'text/plain',
      'application/json;charset=utf-7',
      'application/x-www-form-urlencoded',
      'x',
    ),
  },
);

function expectSound(status: number, body: string): void {
  expect([200, 400, 404, 413]).toContain(status);
  const answer = JSON.parse(body);
  if (status === 200) expect(answer.allowed === undefined).toBe(answer.decisions !== undefined);
  else expect(answer).toMatchObject({ status, type: expect.stringContaining('urn:verdict:problem:') });
}

describe('requests that no client means well with', () => {
  it('are answered with a decision or a problem, 9,000 of them', async () => {
    const heapAfter: number[] = [];
    for (const part of [1, 2, 3]) {
      await fc.assert(
        fc.asyncProperty(paths, types, bodies, async (url, type, payload) => {
          const response = await service.app.inject({
            method: 'POST',
            url,
            headers: { 'content-type': type },
            payload,
          });
          expectSound(response.statusCode, response.body);
        }),
        { numRuns: 3_000, endOnFailure: true },
      );
      expect(Object.prototype, `after part ${part}`).not.toHaveProperty('allowed');
      collectGarbage();
      heapAfter.push(process.memoryUsage().heapUsed);
    }
    // Caches fill up in the first parts; the last third leaves nothing behind.
    expect(heapAfter[2]! - heapAfter[1]!).toBeLessThan(10 * 1024 * 1024);
    expect(
      (await service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc', policySet: 'second' })).body
        .allowed,
    ).toBe(true);
  }, 60_000);

  it('are answered over a socket too, 1,000 of them', async () => {
    await fc.assert(
      fc.asyncProperty(paths, types, bodies, async (path, type, payload) => {
        const answer = await send(
          `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: ${type}\r\nContent-Length: ${payload.length}\r\n\r\n`,
          payload,
        );
        expectSound(Number(answer.slice(9, 12)), answer.slice(answer.indexOf('\r\n\r\n') + 4));
      }),
      { numRuns: 1_000, endOnFailure: true },
    );
  }, 60_000);

  it('do no harm as bytes that are hardly HTTP', async () => {
    const fragments = fc.constantFrom(
      'POST /v1/decide HTTP/1.1\r\n',
      'Host: x\r\n',
      'Content-Length: 5\r\n',
      'Content-Length: -1\r\n',
      'Content-Length: 99999999999999999999\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Content-Type: application/json\r\n',
      'X-Request-ID: \x01\r\n',
      '\r\n',
      '5\r\n{"a":\r\n',
      'ffffffffffffffff\r\n',
      '0\r\n\r\n',
      '\n',
      '\0',
      ' ',
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fragments, { maxLength: 8 }), async (parts) => {
        const answer = await send(parts.join(''));
        if (answer !== '') expect(answer).toMatch(/^HTTP\/1\.1 (200|400|404|408|413) /);
      }),
      { numRuns: 300, endOnFailure: true },
    );
    expect((await service.get('/health/live')).status).toBe(200);
  }, 60_000);
});

/** Writes and resolves with what came back when the connection is closed; one that says nothing is closed after a while. */
function send(...chunks: (string | Buffer)[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const received: Buffer[] = [];
    socket.on('data', (data) => received.push(data));
    // A server that refuses a body may close while it is still being sent.
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(Buffer.concat(received).toString('utf8')));
    for (const chunk of chunks) socket.write(chunk);
    socket.setTimeout(chunks.length === 1 ? 20 : 10_000, () => socket.destroy());
  });
}
