/** Batches beside everybody else: bounded, in turns, in parts, and never a part that looks like the whole. */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { VerdictError } from '../../src/errors.js';
import { nextTurn } from '../../src/turns/turns.js';
import { type Service, startService } from '../http/service.js';

let service: Service;
beforeEach(async () => {
  service = await startService();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await service.stop();
});

interface BatchRoute {
  readonly path: string;
  readonly list: string;
  /** One that is allowed. */
  readonly item: Record<string, unknown>;
  /** The member that holds the top-level attributes. */
  readonly attributes: string;
  /** What is said of an item that cannot be answered. */
  readonly refusal: (code: string) => unknown;
}

const routes: readonly BatchRoute[] = [
  {
    path: '/v1/decide/batch',
    list: 'requests',
    item: { subject: 'ann', action: 'read', resource: 'doc' },
    attributes: 'attributes',
    refusal: (code) => ({ problem: expect.objectContaining({ type: `urn:verdict:problem:${code}` }) }),
  },
  {
    path: '/access/v1/evaluations',
    list: 'evaluations',
    item: { subject: { type: 'user', id: 'ann' }, action: { name: 'read' }, resource: { type: 'doc', id: 'doc' } },
    attributes: 'context',
    refusal: (code) => ({
      decision: false,
      context: { error: { status: statusOf[code], message: expect.any(String) } },
    }),
  },
];
const statusOf: Record<string, number> = { payload_too_large: 413, invalid_request: 400, batch_out_of_time: 503 };
const allowed = expect.toSatisfy(
  (answer: { allowed?: boolean; decision: unknown }) => answer.allowed === true || answer.decision === true,
  'is allowed',
);
const members = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`m${n}`, n]));

async function listen(): Promise<number> {
  await service.app.listen(0, '127.0.0.1');
  return (service.app.getHttpServer().address() as AddressInfo).port;
}

/** Sends a batch over a connection; the text of the answer, or what was there when it broke off. */
async function send(port: number, path: string, body: string): Promise<{ text: string; complete: boolean }> {
  const sent = httpRequest({
    port,
    host: '127.0.0.1',
    path,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
  });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  response.on('data', (chunk) => {
    text += chunk;
  });
  response.on('error', () => undefined);
  await new Promise((resolve) => response.once('close', resolve));
  return { text, complete: response.complete };
}

describe.each(routes)('a batch at $path', ({ path, list, item, attributes, refusal }) => {
  const outcomes = async (items: readonly unknown[], defaults = {}) => {
    const text = `{"${list}":[${items.map((one) => (typeof one === 'string' ? one : JSON.stringify(one)))}]}`;
    const whole = path.includes('v1/decide') ? { defaults } : defaults;
    const { status, body } = await service.post(
      path,
      `${JSON.stringify(whole).slice(0, -1)},${text.slice(1)}`.replace('{,', '{'),
    );
    expect(status).toBe(200);
    return body.decisions ?? body.evaluations;
  };

  it('holds items as large as a single request may be; a larger one alone is refused', async () => {
    const sized = (bytes: number) => {
      const text = JSON.stringify({ ...item, [attributes]: { a: '' } });
      return text.replace('"a":""', `"a":"${'x'.repeat(bytes - text.length)}"`);
    };
    const found = await outcomes([sized(1024 * 1024), item, sized(1024 * 1024 + 1), item]);
    expect(found).toEqual([allowed, allowed, refusal('payload_too_large'), allowed]);
  });

  it('counts what an item takes from the defaults as its own', async () => {
    const half = { a: 'x'.repeat(600_000) };
    const { subject, ...without } = item;
    const large = { ...without, [attributes]: half };
    const found = await outcomes([{ ...item, [attributes]: half }, large, { ...large, subject }], {
      subject: { type: 'user', id: 'ann', [path.includes('v1/decide') ? 'attributes' : 'properties']: half },
    });
    expect(found).toEqual([allowed, refusal('payload_too_large'), allowed]);
  });

  it('is refused where its defaults would make far more of it than it is', async () => {
    const whole = { [attributes]: { a: 'x'.repeat(60_000) } };
    const defaults = path.includes('v1/decide') ? { defaults: whole } : whole;
    const items = Array.from({ length: 2_000 }, () => item);
    const { status, body } = await service.post(path, { ...defaults, [list]: items });
    expect([status, body.type]).toEqual([413, 'urn:verdict:problem:payload_too_large']);
  });

  it('holds items of 1,000 members in all their attributes; one of 1,001 alone is refused', async () => {
    // `list` and `in`, and the members below them
    const nested = (count: number) => ({ ...item, [attributes]: { list: [{ in: members(count - 2) }] } });
    const found = await outcomes([nested(1_000), nested(1_001), nested(30_000), item]);
    expect(found).toEqual([allowed, refusal('invalid_request'), refusal('invalid_request'), allowed]);
  });

  it('answers what there is no time for by a problem, and records none of it', async () => {
    const appendBulk = service.log.appendBulk.bind(service.log);
    let late = 0;
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + late);
    vi.spyOn(service.log, 'appendBulk').mockImplementation(async (records, room) => {
      await appendBulk(records, room);
      late = 20_000;
    });
    const found = await outcomes(Array.from({ length: 1_000 }, () => item));
    const decided = found.findIndex(
      (one: object) => 'problem' in one || 'error' in ((one as { context: object }).context ?? {}),
    );
    expect(decided).toBeGreaterThan(0);
    expect(found).toEqual([
      ...Array(decided).fill(allowed),
      ...Array(1_000 - decided).fill(refusal('batch_out_of_time')),
    ]);
    const { items } = (await service.get('/v1/decisions?limit=1000')).body;
    expect(items).toHaveLength(decided);
  });

  it('whose records cannot be written breaks off where a part has left, and is a problem where none has', async () => {
    const port = await listen();
    const body = JSON.stringify({ [list]: Array.from({ length: 1_000 }, () => item) });
    const appendBulk = service.log.appendBulk.bind(service.log);
    let failsAt = 3;
    vi.spyOn(service.log, 'appendBulk').mockImplementation(async (records, room) => {
      await appendBulk(records, room);
      if (--failsAt <= 0) throw new VerdictError('decision_log_unavailable', 'The decision log cannot be written.');
    });
    const { text, complete } = await send(port, path, body);
    expect(complete).toBe(false);
    expect(() => JSON.parse(text)).toThrow();
    const refused = await service.post(path, body);
    expect([refused.status, refused.body.type]).toEqual([503, 'urn:verdict:problem:decision_log_unavailable']);
  });

  it('leaves in parts, each as soon as its records are committed, and in order', async () => {
    const port = await listen();
    const items = Array.from({ length: 500 }, (_, n) => ({
      ...item,
      subject: { type: 'user', id: n % 3 === 0 ? 'ann' : 'eve' },
    }));
    const { text, complete } = await send(port, path, JSON.stringify({ [list]: items }));
    expect(complete).toBe(true);
    const body = JSON.parse(text);
    const decisions = (body.decisions ?? body.evaluations).map(
      ({ allowed, decision }: Record<string, unknown>) => allowed ?? decision,
    );
    expect(decisions).toEqual(items.map((_, n) => n % 3 === 0));
  });

  it('ends when its caller goes', async () => {
    const port = await listen();
    const body = JSON.stringify({ [list]: Array.from({ length: 10_000 }, () => item) });
    const appendBulk = service.log.appendBulk.bind(service.log);
    let parts = 0;
    const socket = connect(port, '127.0.0.1');
    vi.spyOn(service.log, 'appendBulk').mockImplementation(async (records, room) => {
      await appendBulk(records, room);
      // With the first part committed and nothing sent yet, the caller leaves, and the service comes to know it.
      if (++parts === 1) {
        const gone = new Promise((resolve) => service.app.getHttpServer().getConnections(resolve));
        socket.resetAndDestroy();
        await gone;
        while ((await connections()) > 0) await nextTurn();
      }
    });
    const connections = () =>
      new Promise<number>((resolve) =>
        service.app.getHttpServer().getConnections((_: unknown, count: number) => resolve(count)),
      );
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await once(socket, 'close');
    await expect.poll(() => service.log.depth).toBe(0);
    await expect.poll(connections).toBe(0);
    for (let n = 0; n < 50; n++) await nextTurn();
    expect(parts).toBe(1);
  });
});

describe('beside batches', () => {
  const ask = () => service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
  const batch = () =>
    service.post('/v1/decide/batch', {
      requests: Array.from({ length: 200 }, () => ({ subject: 'ann', action: 'read', resource: 'doc' })),
    });

  it('single decisions always find room in the log, and batches wait for theirs', async () => {
    await service.stop();
    service = await startService(undefined, { decisionLogQueue: 8 });
    let running = true;
    const batches = Promise.all(Array.from({ length: 16 }, batch)).finally(() => {
      running = false;
    });
    const singles: number[] = [];
    while (running) {
      singles.push((await ask()).status);
      await nextTurn();
    }
    for (const { status, body } of await batches) {
      expect(status).toBe(200);
      expect(body.decisions).toHaveLength(200);
      for (const decision of body.decisions) expect(decision).toHaveProperty('decisionId');
    }
    expect(singles.length).toBeGreaterThan(10);
    expect(new Set(singles)).toEqual(new Set([200]));
  });

  it('only one of them has its turn in a round of the event loop', async () => {
    const order: string[] = [];
    const work = async (name: string) => {
      for (let n = 0; n < 3; n++) {
        await nextTurn();
        order.push(name);
      }
    };
    const rounds = async () => {
      for (let n = 0; n < 9; n++) {
        await new Promise((resolve) => setImmediate(resolve));
        order.push('-');
      }
    };
    await Promise.all([rounds(), work('a'), work('b'), work('c')]);
    expect(order.join('')).toMatch(/^(-?[abc]-?)+$/);
    expect(order.join('').replaceAll('-', '')).toBe('abcabcabc');
    expect(order.join('')).not.toMatch(/[abc]{2}/);
  });
});
