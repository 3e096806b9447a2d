/** Questions of one tick as one call: what it saves, and that nobody's answer depends on who else asked. */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { VerdictClient } from '../../packages/client/src/client.js';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { idModel } from '../models.js';
import { processorMsOfAsync } from '../processor-time.js';
import { type Asked, type ScriptedServer, scripted, sendJson } from './scripted-server.js';

const files = { 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc-1, read\np, ann, doc-4, read\n' };
const reading = (n: number | string) => ({ subject: 'ann', action: 'read', resource: `doc-${n}` });
const many = (count: number) => Array.from({ length: count }, (_, n) => reading(n));
const problem = (code: string, status: number) => ({
  type: `urn:verdict:problem:${code}`,
  title: 'title',
  status,
  detail: 'detail',
  instance: 'urn:verdict:request:1',
});
const asProblem = { 'content-type': 'application/problem+json' };

/** A busy machine may take a while. */
const patient = { timeout: 60_000 };

let service: BuiltService;
const stops: (() => Promise<void>)[] = [];
beforeAll(async () => {
  service = await startBuiltService(files, {}, ['decide', 'decisions:read']);
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});
afterAll(() => service.stop());

/** The service behind a server that says what it was asked, and may answer itself. */
async function before(own: (asked: Asked) => { status: number; body: unknown } | undefined = () => undefined) {
  const server: ScriptedServer = await scripted((asked, response) => {
    const answer = own(asked);
    if (answer !== undefined)
      return sendJson(response, answer.body, answer.status, answer.status === 200 ? {} : asProblem);
    const headers = {
      authorization: `Bearer ${service.token}`,
      'content-type': asked.headers['content-type']!,
      ...(typeof asked.headers.traceparent === 'string' && { traceparent: asked.headers.traceparent }),
    };
    void fetch(`${service.url}${asked.path}`, { method: 'POST', headers, body: asked.body }).then(async (honest) => {
      response
        .writeHead(honest.status, { 'content-type': honest.headers.get('content-type')! })
        .end(await honest.text());
    });
  });
  stops.push(server.stop);
  const paths = () => server.asked.map(({ path }) => path);
  const sizes = () => server.asked.map(({ body }) => JSON.parse(body).requests?.length ?? 1);
  return { ...server, paths, sizes, options: { baseUrl: server.url, timeoutMs: 60_000 } };
}

it('a hundred questions at once are one call, and each has its own answer', async () => {
  const { options, paths } = await before();
  const client = new VerdictClient({ ...options, batch: true });
  const answers = await Promise.all(many(100).map((question) => client.can(question)));
  expect(answers.flatMap((allowed, n) => (allowed ? [n] : []))).toEqual([1, 4]);
  expect(paths()).toEqual(['/v1/decide/batch']);
});

it('without the option each question is a call', async () => {
  const { options, paths } = await before();
  const client = new VerdictClient(options);
  await Promise.all(many(10).map((question) => client.can(question)));
  expect(paths()).toEqual(Array(10).fill('/v1/decide'));
});

it('questions of two ticks are two calls', async () => {
  const { options, sizes } = await before();
  const client = new VerdictClient({ ...options, batch: true });
  const first = client.can(reading(1));
  await new Promise((resolve) => setImmediate(resolve));
  await Promise.all([first, client.can(reading(2)), client.can(reading(3))]);
  expect(sizes()).toEqual([1, 2]);
});

it('a batch has as many questions as the limit says, and no more', async () => {
  const { options, sizes } = await before();
  const client = new VerdictClient({ ...options, batch: { maxItems: 3 } });
  await Promise.all(many(3).map((question) => client.can(question)));
  await Promise.all(many(7).map((question) => client.can(question)));
  expect(sizes().sort()).toEqual([1, 3, 3, 3]);
  const large = { ...reading(1), attributes: { note: 'x'.repeat(400_000) } };
  await Promise.all([client.can(large), client.can(large), client.can(large)]);
  expect(sizes().slice(4).sort()).toEqual([1, 2]);
});

it('one that the service refuses is refused, and the others have their answers', async () => {
  const { options } = await before();
  const client = new VerdictClient({ ...options, batch: true });
  const [good, unknown, bad] = await Promise.allSettled([
    client.can(reading(1)),
    client.can({ ...reading(1), policySet: 'nowhere' }),
    client.can({ ...reading(1), resource: { id: 7 as unknown as string } }),
  ]);
  expect(good).toMatchObject({ value: true });
  expect(unknown).toMatchObject({ reason: { code: 'policy_set_not_found' } });
  expect(bad).toMatchObject({ reason: { code: 'invalid_request' } });
});

it('one that no body may have in it is found, and spoils no other', async () => {
  const { options, sizes } = await before();
  const client = new VerdictClient({ ...options, batch: true });
  const answers = await Promise.allSettled([1, 2, 'a\u0000b', 4, 5, 6, 7, 8].map((n) => client.can({ ...reading(n) })));
  expect(answers[2]).toMatchObject({ status: 'rejected', reason: { code: 'malformed_request' } });
  const others = answers.filter((_, index) => index !== 2).map((each) => each.status === 'fulfilled' && each.value);
  expect(others).toEqual([true, false, true, false, false, false, false]);
  expect(sizes().sort()).toEqual([1, 1, 2, 2, 4, 4, 8]);
});

it('one that JSON cannot say never gets to the others', async () => {
  const { options, sizes } = await before();
  const client = new VerdictClient({ ...options, batch: true });
  const bad = { ...reading(1), attributes: { big: 1n } };
  const [good, refused, none] = await Promise.allSettled([
    client.can(reading(1)),
    client.can(bad),
    client.can(undefined as never),
  ]);
  expect(good).toMatchObject({ value: true });
  expect([refused.status, none.status]).toEqual(['rejected', 'rejected']);
  expect(sizes()).toEqual([1]);
});

it('what costs too much together is asked in halves', async () => {
  const { options, sizes } = await before(({ body }) =>
    JSON.parse(body).requests.length > 2 ? { status: 413, body: problem('too_costly', 413) } : undefined,
  );
  const client = new VerdictClient({ ...options, batch: true });
  const answers = await Promise.all(many(5).map((question) => client.can(question)));
  expect(answers).toEqual([false, true, false, false, true]);
  expect(sizes().sort()).toEqual([1, 2, 2, 3, 5]);
});

it('one that the batch had no time for is asked alone', async () => {
  const { options, paths } = await before(({ path, body }) => {
    if (!path.endsWith('batch')) return undefined;
    const decisions = JSON.parse(body).requests.map(() => ({ problem: problem('batch_out_of_time', 503) }));
    return { status: 200, body: { decisions } };
  });
  const client = new VerdictClient({ ...options, batch: true });
  expect(await Promise.all([client.can(reading(1)), client.can(reading(2))])).toEqual([true, false]);
  expect(paths()).toEqual(['/v1/decide/batch', '/v1/decide', '/v1/decide']);
});

it('those that the service cannot answer now are asked once more together, and not one by one', async () => {
  const unavailable = problem('policy_set_unavailable', 503);
  const { options, paths } = await before(({ body }) => {
    const decisions = JSON.parse(body).requests.map(() => ({ problem: unavailable }));
    return { status: 200, body: { decisions } };
  });
  const client = new VerdictClient({ ...options, batch: true });
  const answers = await Promise.allSettled(many(200).map((question) => client.can(question)));
  for (const answer of answers) {
    expect(answer).toMatchObject({ reason: { name: 'VerdictUnavailable', kind: 'refused', problem: unavailable } });
  }
  expect(paths()).toEqual(['/v1/decide/batch', '/v1/decide/batch']);
  expect(await client.decide(reading(1), { onUnavailable: 'deny' })).toMatchObject({ allowed: false });
  const once = new VerdictClient({ ...options, batch: true, retries: 0 });
  await expect(once.can(reading(1))).rejects.toMatchObject({ kind: 'refused' });
  expect(paths()).toHaveLength(5);
});

it('those that one address cannot answer now are asked of the next, and the others are not', async () => {
  const lacking = await before(({ body }) => {
    const decisions = JSON.parse(body).requests.map(({ resource }: { resource: string }) =>
      resource === 'doc-1' ? { problem: problem('policy_too_old', 503) } : { problem: problem('too_costly', 422) },
    );
    return { status: 200, body: { decisions } };
  });
  const good = await before();
  const client = new VerdictClient({ baseUrls: [lacking.url, good.url], retries: 0, batch: true, timeoutMs: 60_000 });
  const [one, other] = await Promise.allSettled([client.can(reading(1)), client.can(reading(2))]);
  expect(one).toMatchObject({ value: true });
  expect(other).toMatchObject({ reason: { code: 'too_costly' } });
  expect([lacking.sizes(), good.sizes()]).toEqual([[2], [1]]);
});

it('joined questions of different time limits all come to the next address', async () => {
  const hanging = await scripted(() => {});
  stops.push(hanging.stop);
  const good = await before();
  const client = new VerdictClient({ baseUrls: [hanging.url, good.url], batch: true });
  const short = client.can(reading(1), { timeoutMs: 4_000 });
  const long = client.can(reading(4), { timeoutMs: 1_000_000 });
  expect(await Promise.all([short, long])).toEqual([true, true]);
  expect([hanging.asked.length, good.sizes()]).toEqual([1, [2]]);
});

it('the last address has the whole time of the question that waits longest', async () => {
  let answer: (() => void) | undefined;
  const slow = await scripted((_, response) => {
    answer = () =>
      sendJson(response, {
        decisions: [problem('too_costly', 422), problem('too_costly', 422)].map((each) => ({ problem: each })),
      });
  });
  stops.push(slow.stop);
  const client = new VerdictClient({ baseUrl: slow.url, batch: true, retries: 0 });
  const short = client.can(reading(1), { timeoutMs: 300 });
  const long = client.can(reading(4), { timeoutMs: 1_000_000 });
  await expect(short).rejects.toMatchObject({ kind: 'timeout' });
  await vi.waitUntil(() => answer !== undefined, patient);
  answer!();
  await expect(long).rejects.toMatchObject({ code: 'too_costly' });
});

it('a call without an answer is an error, or a deny, for each that is in it', async () => {
  const { options } = await before(() => ({ status: 503, body: problem('policy_set_unavailable', 503) }));
  const client = new VerdictClient({ ...options, batch: true, retries: 0 });
  const [thrown, denied] = await Promise.allSettled([
    client.can(reading(1)),
    client.decide(reading(1), { onUnavailable: 'deny' }),
  ]);
  expect(thrown).toMatchObject({ reason: { kind: 'refused', problem: { status: 503 } } });
  expect(denied).toMatchObject({ value: { allowed: false, reason: { code: 'unavailable' } } });
});

it('each has its own end: one that gives up leaves the others, and the call ends with the last', async () => {
  let ended = 0;
  const server = await scripted((_, response) => response.on('close', () => ended++));
  stops.push(server.stop);
  const client = new VerdictClient({ baseUrl: server.url, batch: true, timeoutMs: 60_000 });
  const [first, second] = [new AbortController(), new AbortController()];
  const late = client.can(reading(1), { timeoutMs: 30 });
  const one = client.can(reading(1), { signal: first.signal });
  const other = client.can(reading(2), { signal: second.signal });
  await expect(late).rejects.toMatchObject({ kind: 'timeout' });
  await vi.waitUntil(() => server.asked.length === 1, patient);
  first.abort();
  await expect(one).rejects.toMatchObject({ kind: 'aborted' });
  expect(ended).toBe(0);
  second.abort();
  await expect(other).rejects.toMatchObject({ kind: 'aborted' });
  await vi.waitUntil(() => ended === 1, patient);
});

it('one that gave up before the end of the tick is not asked', async () => {
  const { options, sizes } = await before();
  const client = new VerdictClient({ ...options, batch: true });
  const controller = new AbortController();
  const gone = client.can(reading(1), { signal: controller.signal });
  const stays = client.can(reading(1));
  controller.abort();
  await expect(gone).rejects.toMatchObject({ kind: 'aborted' });
  expect(await stays).toBe(true);
  expect(sizes()).toEqual([1]);
});

it('questions of different traces are different calls, so that each record names its own', async () => {
  const { options, sizes } = await before();
  const client = new VerdictClient({ ...options, batch: true });
  const trace = (digit: string) => `00-${digit.repeat(32)}-00f067aa0ba902b7-01`;
  await Promise.all(['c', 'd', 'c'].map((digit, n) => client.can(reading(n), { traceparent: trace(digit) })));
  expect(sizes().sort()).toEqual([1, 2]);
  const headers = { authorization: `Bearer ${service.token}` };
  const answer = await fetch(`${service.url}/v1/decisions?traceId=${'c'.repeat(32)}`, { headers });
  const { items } = (await answer.json()) as { items: { request: { resource: { id: string } } }[] };
  expect(items.map(({ request }) => request.resource.id).sort()).toEqual(['doc-0', 'doc-2']);
});

it.runIf(process.platform === 'linux')(
  'a hundred at once cost at most 0.2 times as much as a hundred calls, client and service together',
  async () => {
    const options = { baseUrl: service.url, apiKey: service.token, timeoutMs: 60_000 };
    const rounds = async (client: VerdictClient) => {
      const before = processorMsOfService();
      const [ms] = await processorMsOfAsync(async () => {
        for (let n = 0; n < 10; n++) await Promise.all(many(100).map((question) => client.can(question)));
      });
      return ms + processorMsOfService() - before;
    };
    const clients = [new VerdictClient(options), new VerdictClient({ ...options, batch: true })] as const;
    // What runs for the first time is compiled; then in turns, so that both have the same machine.
    for (const client of clients) await rounds(client);
    const costs = [0, 0];
    for (let pair = 0; pair < 4; pair++) {
      for (const [index, client] of clients.entries()) costs[index]! += await rounds(client);
    }
    expect(costs[1]! / costs[0]!).toBeLessThanOrEqual(0.2);
  },
);

/** Processor time of the service so far, in milliseconds: a clock tick is 10 of them. */
function processorMsOfService(): number {
  const fields = readFileSync(`/proc/${service.child.pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}
