/**
 * No answer is never an allow (P2): the service is stopped, slow, failing, cut off, somebody else, or talks nonsense, and what
 * the client makes of it is an error of its own or, where asked, a deny.
 */
import { once } from 'node:events';
import { createServer as createTlsServer, request as requestHttps } from 'node:https';
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { VerdictClient, type VerdictClientOptions, VerdictUnavailable } from '../../packages/client/src/client.js';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { idModel } from '../models.js';
import { makeAuthority } from '../security/certificates.js';
import { listening, relay, type ScriptedServer, scripted, sendJson } from './scripted-server.js';

const files = { 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc-1, read\n' };
/** The service allows it. */
const reading = { subject: 'ann', action: 'read', resource: 'doc-1' };
const evaluation = {
  subject: { type: 'user', id: 'ann' },
  action: { name: 'read' },
  resource: { type: 'doc', id: 'doc-1' },
};
const evaluations = { ...evaluation, evaluations: [{}, {}] };

/** What may be over soon. */
const passing = { type: 'urn:verdict:problem:internal_error', title: 't', status: 500, detail: 'd', instance: 'i' };

/** Every way to ask whether something is allowed; each yields what would go ahead. */
const questions: Readonly<Record<string, (client: VerdictClient) => Promise<unknown>>> = {
  decide: async (client) => (await client.decide(reading)).allowed,
  can: (client) => client.can(reading),
  decideMany: async (client) => (await client.decideMany([reading, reading])).some(({ allowed }) => allowed !== false),
  evaluate: async (client) => (await client.evaluate(evaluation)).decision,
  evaluateMany: async (client) => (await client.evaluateMany(evaluations)).some(({ decision }) => decision !== false),
};
/** Those whose answer is a list have no answer that would be safe. */
const searches: Readonly<Record<string, (client: VerdictClient) => Promise<unknown>>> = {
  searchSubjects: (client) => client.searchSubjects(evaluation),
  searchResources: (client) => client.searchResources(evaluation),
  searchActions: (client) => client.searchActions(evaluation),
  whoCan: (client) => client.whoCan('default', { action: 'read' }),
  changeData: (client) => client.changeData('default', {}),
};

/** Asks in every way, one by one and joined, and expects an error of the kind, or a deny where one is asked for. */
async function expectNoAnswer(options: VerdictClientOptions, kind: string): Promise<void> {
  for (const batch of [false, true]) {
    const throwing = new VerdictClient({ ...options, batch });
    for (const [name, ask] of Object.entries({ ...questions, ...searches })) {
      const error = await ask(throwing).then(
        (answer) => expect.fail(`${name} said ${answer}`),
        (thrown) => thrown,
      );
      expect(error, name).toBeInstanceOf(VerdictUnavailable);
      expect(error.kind, `${name}: ${error.message}`).toBe(kind);
      // A question whose time is over while it is joined to others does not know what was tried.
      if (!batch) expect(error.attempts.length, name).toBeGreaterThan(0);
    }
    const denying = new VerdictClient({ ...options, batch, onUnavailable: 'deny' });
    for (const [name, ask] of Object.entries(questions)) expect(await ask(denying), name).toBe(false);
    for (const ask of Object.values(searches)) await expect(ask(denying)).rejects.toBeInstanceOf(VerdictUnavailable);
    expect(await denying.decide(reading)).toMatchObject({
      decision: 'deny',
      reason: { code: 'unavailable' },
      unavailable: { kind },
    });
    expect(await denying.evaluate(evaluation)).toMatchObject({ context: { reason: { code: 'unavailable' } } });
  }
}

/** A busy machine may take a while. */
const patient = { timeout: 60_000 };

let service: BuiltService;
const stops: (() => Promise<void>)[] = [];
beforeAll(async () => {
  service = await startBuiltService(files);
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});
afterAll(() => service.stop());

/** A server for one test. */
async function serve(answer: Parameters<typeof scripted>[0]): Promise<ScriptedServer> {
  const server = await scripted(answer);
  stops.push(server.stop);
  return server;
}

/** What the service itself answers to all questions, so that a test can spoil it. */
async function honest(path: string, body: string): Promise<{ status: number; type: string; text: string }> {
  const headers = { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' };
  const answer = await fetch(`${service.url}${path}`, { method: 'POST', headers, body });
  return { status: answer.status, type: answer.headers.get('content-type')!, text: await answer.text() };
}

it('what these tests ask is allowed where the service answers', async () => {
  for (const batch of [false, true]) {
    const client = new VerdictClient({ baseUrl: service.url, apiKey: service.token, timeoutMs: 60_000, batch });
    for (const [name, ask] of Object.entries(questions)) expect(await ask(client), name).toBe(true);
  }
});

describe('the service', () => {
  it('is stopped: nobody listens', async () => {
    const { url, stop } = await scripted(() => {});
    await stop();
    await expectNoAnswer({ baseUrl: url, retries: 1 }, 'network');
  });

  it('is slow: it is stopped in the middle of its work', async () => {
    service.child.kill('SIGSTOP');
    try {
      await expectNoAnswer({ baseUrl: service.url, apiKey: service.token, timeoutMs: 30, retries: 0 }, 'timeout');
    } finally {
      service.child.kill('SIGCONT');
    }
    expect(
      await new VerdictClient({ baseUrl: service.url, apiKey: service.token, timeoutMs: 60_000 }).can(reading),
    ).toBe(true);
  });

  it('is slow: it begins to answer and does not end', async () => {
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"allowed":true,"decision":"allow",');
    });
    await expectNoAnswer({ baseUrl: url, timeoutMs: 30 }, 'timeout');
  });

  it('streams blanks without an end: no more of them is read than an answer can have', async () => {
    let written = 0;
    const mib = Buffer.alloc(2 ** 20, ' ');
    const server = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const pour = () => {
        do written++;
        while (!response.destroyed && response.write(mib) && written < 4_096);
      };
      response.on('drain', pour);
      pour();
    });
    const client = new VerdictClient({ baseUrl: server.url, retries: 0, timeoutMs: 60_000 });
    for (const [ask, most] of [
      [() => client.can(reading), 1],
      [() => client.evaluate(evaluation), 1],
      [() => client.decideMany([reading, reading]), 2],
      [() => client.searchSubjects(evaluation), 64],
    ] as const) {
      written = 0;
      await expect(ask()).rejects.toMatchObject({
        kind: 'malformed',
        message: expect.stringContaining(`(${most} MiB)`),
      });
      // What the sockets hold comes on top.
      expect(written).toBeLessThan(most + 64);
    }
  });

  it('answers with as much as an answer can have, and not a byte more', async () => {
    const { text } = await honest('/v1/decide', JSON.stringify(reading));
    let length = 2 ** 20;
    const { url } = await serve((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(text.padEnd(length));
    });
    const client = new VerdictClient({ baseUrl: url, retries: 0, timeoutMs: 60_000 });
    expect(await client.can(reading)).toBe(true);
    length++;
    await expect(client.can(reading)).rejects.toMatchObject({ kind: 'malformed' });
  });

  it('is slow, and its fetch does not heed the signal: what comes late does not count', async () => {
    const late = new Promise<Response>(() => {});
    await expectNoAnswer({ baseUrl: 'https://verdict.example', timeoutMs: 20, fetch: () => late }, 'timeout');
  });

  it.each([500, 502, 503, 504, 429])('answers %i with a problem', async (status) => {
    const problem = { type: 'urn:verdict:problem:internal_error', title: 't', status, detail: 'd', instance: 'i' };
    const { url } = await serve((_, response) =>
      sendJson(response, problem, status, { 'content-type': 'application/problem+json' }),
    );
    await expectNoAnswer({ baseUrl: url, retries: 0 }, 'refused');
  });

  it('is not what answers: a proxy in between says that there is none', async () => {
    for (const status of [400, 401, 403, 404, 500, 502, 503]) {
      const { url } = await serve((_, response) => {
        response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>');
      });
      await expectNoAnswer({ baseUrl: url, retries: 0 }, 'malformed');
    }
  });

  it('breaks off after any number of bytes of its answer', async () => {
    const { text } = await honest('/v1/decide', JSON.stringify(reading));
    let bytes = 0;
    const cut = await relay(service.url, () => bytes);
    stops.push(cut.stop);
    const client = new VerdictClient({
      baseUrl: cut.url,
      apiKey: service.token,
      timeoutMs: 60_000,
      retries: 0,
      onUnavailable: 'deny',
    });
    const head = 400;
    let denied = 0;
    for (bytes = 0; bytes < head + text.length; bytes += bytes < head ? 41 : 5) {
      const decision = await client.decide(reading);
      // Past the end of the answer there is nothing to break off.
      if (decision.allowed) break;
      expect(decision).toMatchObject({
        allowed: false,
        reason: { code: 'unavailable' },
        unavailable: { kind: 'network' },
      });
      denied++;
    }
    expect(denied).toBeGreaterThan(50);
    bytes = Number.POSITIVE_INFINITY;
    expect(await client.can(reading)).toBe(true);
  });

  it('ends its answer early, as if it were whole', async () => {
    for (const path of ['/v1/decide', '/v1/decide/batch']) {
      const body = path.endsWith('batch') ? { requests: [reading, reading] } : reading;
      const { text } = await honest(path, JSON.stringify(body));
      let length = 0;
      const { url } = await serve((_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(text.slice(0, length));
      });
      const client = new VerdictClient({ baseUrl: url, retries: 0, timeoutMs: 60_000, onUnavailable: 'deny' });
      const ask = path.endsWith('batch') ? questions.decideMany! : questions.can!;
      for (length = 0; length < text.length; length += 7) expect(await ask(client), text.slice(0, length)).toBe(false);
      length = text.length;
      expect(await ask(client)).toBe(true);
    }
  });

  it('hangs up on a kept connection: the next call has another one', async () => {
    let calls = 0;
    const { text } = await honest('/v1/decide', JSON.stringify(reading));
    const { url } = await serve((_, response, request) => {
      if (++calls === 2) request.socket.destroy();
      else response.writeHead(200, { 'content-type': 'application/json' }).end(text);
    });
    const client = new VerdictClient({ baseUrl: url, timeoutMs: 60_000 });
    expect([await client.can(reading), await client.can(reading)]).toEqual([true, true]);
    expect(calls).toBe(3);
  });
});

describe('the application', () => {
  it('has a function for the key that fails: nobody is asked, and that is no answer', async () => {
    const { url, asked } = await serve((_, response) => sendJson(response, {}));
    const cause = new Error('the vault is sealed');
    const failing: NonNullable<VerdictClientOptions['apiKey']>[] = [
      () => Promise.reject(cause),
      () => {
        throw cause;
      },
      () => 'vd_prod_secret\n',
      (() => ({ key: 'vd_prod_secret' })) as unknown as () => string,
    ];
    for (const apiKey of failing) {
      const options = { baseUrls: [url, `${url}/b`], retries: 0, apiKey, timeoutMs: 60_000 };
      await expectNoAnswer(options, 'no_key');
      const error = await new VerdictClient(options).can(reading).catch((thrown) => thrown);
      expect(error.attempts).toHaveLength(2);
      expect(JSON.stringify(error) + error.stack + error.cause.stack).not.toContain('vd_prod_secret');
    }
    expect(asked).toHaveLength(0);
    await expect(
      new VerdictClient({ baseUrl: url, retries: 0, apiKey: failing[0]! }).can(reading),
    ).rejects.toMatchObject({ cause });
  });

  it('has a vault that is away for a moment: the next try has a key', async () => {
    let calls = 0;
    const apiKey = () => (++calls === 1 ? Promise.reject(new Error('away')) : Promise.resolve(service.token));
    expect(await new VerdictClient({ baseUrl: service.url, apiKey, timeoutMs: 60_000 }).can(reading)).toBe(true);
  });

  it('has a trace that fails: the question is asked without one', async () => {
    const traceparent = () => {
      throw new Error('no span');
    };
    const options = { baseUrl: service.url, apiKey: service.token, timeoutMs: 60_000, traceparent };
    for (const batch of [false, true]) {
      const client = new VerdictClient({ ...options, batch });
      for (const [name, ask] of Object.entries(questions)) expect(await ask(client), name).toBe(true);
    }
  });

  it('gives up in the pause before another try: the error has the tries so far', async () => {
    const { url, asked } = await serve((_, response) =>
      sendJson(response, passing, 500, { 'content-type': 'application/problem+json', 'retry-after': '3000' }),
    );
    const controller = new AbortController();
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const options = { baseUrls: [url, `${url}/b`], retries: 5, timeoutMs: 10_000_000 };
    const question = new VerdictClient(options).can(reading, { signal: controller.signal });
    await vi.waitUntil(() => timers.mock.calls.some(([, ms]) => ms === 3_000_000), patient);
    timers.mockRestore();
    expect(asked).toHaveLength(2);
    controller.abort();
    await expect(question).rejects.toMatchObject({
      kind: 'aborted',
      attempts: [{ kind: 'refused' }, { kind: 'refused' }],
    });
  });
});

describe('an answer that is none', () => {
  const allow = {
    allowed: true,
    decision: 'allow',
    decisionId: '01a200ac-627f-7000-9018-6556f1403c70',
    policySet: 'default',
    policyVersion: 'sha256:00',
    reason: { code: 'rule_allowed' },
    obligations: [],
    errors: [],
  };
  const without = (name: string) => Object.fromEntries(Object.entries(allow).filter(([each]) => each !== name));

  it('is none to all questions', async () => {
    for (const body of [{}, [], null, true, 'allow', 1, [allow], { result: true }, { allow: true }]) {
      const { url } = await serve((_, response) => sendJson(response, body));
      await expectNoAnswer({ baseUrl: url, retries: 0 }, 'malformed');
    }
  });

  it.each<[string, object]>([
    ...Object.keys(allow).map((name): [string, object] => [`without ${name}`, without(name)]),
    ['that says true as a text', { ...allow, allowed: 'true' }],
    ['that says 1', { ...allow, allowed: 1 }],
    ['that allows and denies', { ...allow, decision: 'deny' }],
    ['that denies and allows', { ...allow, allowed: false }],
    ['with a decision that there is not', { ...allow, decision: 'Allow' }],
    ['whose reason is a text', { ...allow, reason: 'rule_allowed' }],
    ['whose obligations are no list', { ...allow, obligations: { log: true } }],
    ['of another set', { ...allow, policySet: 'other' }],
  ])('is a decision %s', async (_, body) => {
    const { url } = await serve(({ path }, response) => {
      sendJson(response, path.endsWith('batch') ? { decisions: [body, allow] } : body);
    });
    const client = new VerdictClient({ baseUrl: url, retries: 0, policySet: 'default' });
    await expect(client.decide(reading)).rejects.toMatchObject({ kind: 'malformed' });
    await expect(client.decideMany([reading, reading])).rejects.toMatchObject({ kind: 'malformed' });
  });

  it.each([
    ['short', [allow]],
    ['long', [allow, allow, allow]],
    ['no list', { 0: allow, 1: allow, length: 2 }],
    ['with something in it that is neither', [allow, { error: 'no' }]],
    ['with a problem that is none', [allow, { problem: true }]],
    ['with an allow that has a problem', [allow, { ...allow, problem: passing }]],
    ['with an allow that has a problem that is none', [allow, { ...allow, problem: null }]],
    ['with a problem that says true', [allow, { allowed: true, problem: passing }]],
    ['with a problem that says allow', [allow, { decision: 'allow', problem: passing }]],
  ])('is a batch that is %s', async (_, decisions) => {
    const { url } = await serve((_asked, response) => sendJson(response, { decisions }));
    for (const batch of [false, true]) {
      const client = new VerdictClient({ baseUrl: url, retries: 0, batch });
      const many = batch
        ? Promise.all([client.can(reading), client.can(reading)])
        : client.decideMany([reading, reading]);
      await expect(many).rejects.toMatchObject({ kind: 'malformed' });
    }
  });

  it.each([
    ['that says true as a text', { decision: 'true', context: { id: '1', policy_set: 'default' } }],
    ['without a context', { decision: true }],
    ['that allows for an error', { decision: true, context: { error: { status: 500, message: 'x' } } }],
    ['of another set', { decision: true, context: { id: '1', policy_set: 'other' } }],
  ])('is an evaluation %s', async (_, body) => {
    const { url } = await serve(({ path }, response) => {
      sendJson(response, path.endsWith('s') ? { evaluations: [body, body] } : body);
    });
    const client = new VerdictClient({ baseUrl: url, retries: 0, policySet: 'default' });
    await expect(client.evaluate(evaluation)).rejects.toMatchObject({ kind: 'malformed' });
    await expect(client.evaluateMany(evaluations)).rejects.toMatchObject({ kind: 'malformed' });
  });

  it('is a list of evaluations that ends early for no reason', async () => {
    const yes = { decision: true, context: { id: '1', policy_set: 'default' } };
    const { url } = await serve((_, response) => sendJson(response, { evaluations: [yes] }));
    const client = new VerdictClient({ baseUrl: url, retries: 0 });
    const options = (evaluations_semantic: 'deny_on_first_deny' | 'permit_on_first_permit') => ({
      ...evaluations,
      options: { evaluations_semantic },
    });
    await expect(client.evaluateMany(evaluations)).rejects.toMatchObject({ kind: 'malformed' });
    await expect(client.evaluateMany(options('deny_on_first_deny'))).rejects.toMatchObject({ kind: 'malformed' });
    expect(await client.evaluateMany(options('permit_on_first_permit'))).toHaveLength(1);
  });

  it.each([
    ['a text', 'text/plain', 200],
    ['a page', 'text/html; charset=utf-8', 200],
    ['nothing', '', 200],
    ['JSON of another kind', 'application/vnd.api+json', 200],
    ['a problem', 'application/problem+json', 200],
    ['something made', 'application/json', 201],
    ['something taken for later', 'application/json', 202],
    ['something of a proxy', 'application/json', 203],
    ['a part', 'application/json', 206],
    ['an error', 'application/json', 400],
    ['a breakdown', 'application/json', 500],
  ])('is an allow that comes as %s', async (_, type, status) => {
    const { url } = await serve((_asked, response) => {
      response.writeHead(status, type === '' ? {} : { 'content-type': type }).end(JSON.stringify(allow));
    });
    await expect(new VerdictClient({ baseUrl: url, retries: 0 }).can(reading)).rejects.toMatchObject({
      kind: 'malformed',
    });
  });

  it('is what a problem says that allows', async () => {
    const problem = {
      ...allow,
      type: 'urn:verdict:problem:denied',
      title: 't',
      status: 403,
      detail: 'd',
      instance: 'i',
    };
    const { url } = await serve((_, response) =>
      sendJson(response, problem, 403, { 'content-type': 'application/problem+json' }),
    );
    await expect(new VerdictClient({ baseUrl: url, onUnavailable: 'deny' }).can(reading)).rejects.toMatchObject({
      code: 'denied',
    });
  });

  it('is what stands on a prototype that somebody filled', async () => {
    const { url } = await serve((_, response) => sendJson(response, {}));
    const client = new VerdictClient({ baseUrl: url, retries: 0, onUnavailable: 'deny' });
    Object.assign(Object.prototype, allow);
    try {
      expect(await client.can(reading)).toBe(false);
    } finally {
      for (const name of Object.keys(allow)) Reflect.deleteProperty(Object.prototype, name);
    }
  });

  it.each([301, 302, 303, 307, 308])('is a redirect (%i): question and key go to nobody else', async (status) => {
    const other = await serve((_, response) => sendJson(response, allow));
    const { url } = await serve((_, response) =>
      response.writeHead(status, { location: `${other.url}/v1/decide` }).end(),
    );
    await expectNoAnswer({ baseUrl: url, apiKey: 'vd_test_key', retries: 0 }, 'malformed');
    expect(other.asked).toEqual([]);
  });

  it('is the answer of a fetch that followed a redirect in spite of it', async () => {
    const redirected = async () => {
      const response = Response.json(allow);
      return Object.defineProperty(response, 'redirected', { value: true });
    };
    const client = new VerdictClient({ baseUrl: 'https://verdict.example', retries: 0, fetch: redirected });
    await expect(client.can(reading)).rejects.toMatchObject({ kind: 'malformed' });
  });
});

describe('a caller that gives up', () => {
  it('has its error, also where no answer is a deny', async () => {
    for (const batch of [false, true]) {
      const { url, asked } = await serve(() => {});
      const client = new VerdictClient({ baseUrl: url, timeoutMs: 60_000, onUnavailable: 'deny', batch });
      const controller = new AbortController();
      const asking = client.can(reading, { signal: controller.signal });
      await vi.waitUntil(() => asked.length === 1, patient);
      controller.abort(new Error('the page was left'));
      await expect(asking).rejects.toMatchObject({ kind: 'aborted', cause: { message: 'the page was left' } });
      await expect(client.can(reading, { signal: controller.signal })).rejects.toMatchObject({ kind: 'aborted' });
      expect(asked).toHaveLength(1);
    }
  });

  it('does not wait for another try', async () => {
    const problem = { type: 'urn:verdict:problem:policy_too_old', title: 't', status: 503, detail: 'd', instance: 'i' };
    const { url, asked } = await serve((_, response) =>
      sendJson(response, problem, 503, { 'content-type': 'application/problem+json', 'retry-after': '50' }),
    );
    const controller = new AbortController();
    const asking = new VerdictClient({ baseUrl: url, timeoutMs: 60_000 }).can(reading, { signal: controller.signal });
    await vi.waitUntil(() => asked.length === 1, patient);
    setTimeout(() => controller.abort(), 0);
    await expect(asking).rejects.toMatchObject({ kind: 'aborted' });
  });
});

describe('the time of a call', () => {
  afterEach(() => vi.useRealTimers());

  it('is not that of the wall clock: one that jumps neither ends a call nor stretches it', async () => {
    const { text } = await honest('/v1/decide', JSON.stringify(reading));
    vi.useFakeTimers({ toFake: ['Date'] });
    let isFirst = true;
    const ahead = await serve((_, response) => {
      if (!isFirst) response.writeHead(200, { 'content-type': 'application/json' }).end(text);
      else response.writeHead(502).end();
      isFirst = false;
      vi.setSystemTime(Date.now() + 86_400_000 * 365);
    });
    expect(await new VerdictClient({ baseUrl: ahead.url, timeoutMs: 60_000 }).can(reading)).toBe(true);
    const back = await serve((_, response) => {
      // What comes after it never ends.
      if (vi.getMockedSystemTime()!.getTime() > 0) response.writeHead(502).end();
      vi.setSystemTime(0);
    });
    const late = new VerdictClient({ baseUrl: back.url, timeoutMs: 1_000 }).can(reading);
    await expect(late).rejects.toMatchObject({ kind: 'timeout' });
  });

  it('is not spent on a wait that would not end within it', async () => {
    const problem = {
      type: 'urn:verdict:problem:too_many_requests',
      title: 't',
      status: 429,
      detail: 'd',
      instance: 'i',
    };
    const { url, asked } = await serve((_, response) =>
      sendJson(response, problem, 429, { 'content-type': 'application/problem+json', 'retry-after': '3600' }),
    );
    const error = await new VerdictClient({ baseUrl: url, timeoutMs: 60_000 }).can(reading).catch((thrown) => thrown);
    expect(error).toMatchObject({ kind: 'refused', retryAfterMs: 3_600_000, problem: { status: 429 } });
    expect(asked).toHaveLength(1);
  });
});

describe('a certificate', () => {
  /** `fetch` as an application has it that knows its own authority: over node:https, since Node's own fetch takes none. */
  function trusting(ca: string): typeof globalThis.fetch {
    return async (input, init) => {
      const request = requestHttps(String(input), {
        ca,
        method: init!.method!,
        headers: init!.headers as Record<string, string>,
      });
      request.end(init!.body as string);
      const [answer] = await once(request, 'response');
      const headers = { 'content-type': answer.headers['content-type'] };
      return new Response(Readable.toWeb(answer) as ReadableStream, { status: answer.statusCode, headers });
    };
  }

  /** In front of the service, with a certificate. */
  async function withCertificate({ cert, key }: { cert: string; key: string }): Promise<string> {
    const server = createTlsServer({ cert, key });
    server.on('request', (request, response) => {
      void (async () => {
        let body = '';
        for await (const chunk of request) body += chunk;
        const { status, type, text } = await honest(request.url!, body);
        response.writeHead(status, { 'content-type': type }).end(text);
      })();
    });
    const { url, stop } = await listening(server);
    stops.push(stop);
    return url.replace('http:', 'https:');
  }

  it('of an authority that is not known is no answer', async () => {
    const authority = await makeAuthority('ours');
    const baseUrl = await withCertificate(await authority.issue('verdict.example', { server: true }));
    await expectNoAnswer({ baseUrl, retries: 0, timeoutMs: 60_000 }, 'network');
    const other = await makeAuthority('another');
    await expectNoAnswer({ baseUrl, retries: 0, timeoutMs: 60_000, fetch: trusting(other.cert) }, 'network');
    expect(await new VerdictClient({ baseUrl, timeoutMs: 60_000, fetch: trusting(authority.cert) }).can(reading)).toBe(
      true,
    );
  });

  it('of another name is no answer', async () => {
    const authority = await makeAuthority('ours');
    const baseUrl = await withCertificate(await authority.issue('elsewhere.example'));
    await expectNoAnswer({ baseUrl, retries: 0, timeoutMs: 60_000, fetch: trusting(authority.cert) }, 'network');
  });

  it('that is over is no answer, nor is a good one where the clock is off', async () => {
    const authority = await makeAuthority('ours');
    const notAfter = new Date(Date.now() - 1_000);
    const baseUrl = await withCertificate(await authority.issue('verdict.example', { server: true, notAfter }));
    await expectNoAnswer({ baseUrl, retries: 0, timeoutMs: 60_000, fetch: trusting(authority.cert) }, 'network');
  });

  it('is looked for in vain where TLS is spoken to somebody who does not', async () => {
    await expectNoAnswer({ baseUrl: service.url.replace('http:', 'https:'), retries: 0, timeoutMs: 60_000 }, 'network');
  });
});

describe('another try', () => {
  it('is made as often as the client is told, for what may pass', async () => {
    const { text } = await honest('/v1/decide', JSON.stringify(reading));
    let failures = 2;
    const { url, asked } = await serve((_, response) => {
      if (failures-- > 0) response.writeHead(502).end();
      else response.writeHead(200, { 'content-type': 'application/json' }).end(text);
    });
    expect(await new VerdictClient({ baseUrl: url, timeoutMs: 60_000, retries: 2 }).can(reading)).toBe(true);
    expect(asked).toHaveLength(3);
    failures = 3;
    const error = await new VerdictClient({ baseUrl: url, timeoutMs: 60_000 }).can(reading).catch((thrown) => thrown);
    expect(error.attempts).toHaveLength(3);
    failures = 1;
    await expect(new VerdictClient({ baseUrl: url, retries: 0 }).can(reading)).rejects.toMatchObject({
      kind: 'malformed',
    });
    expect(asked).toHaveLength(7);
  });

  it('of a change has the key of the first, so that it is made once; another change has another', async () => {
    const { url, asked } = await serve((_, response) => response.writeHead(502).end());
    const client = new VerdictClient({ baseUrl: url, timeoutMs: 60_000, retries: 1 });
    for (let n = 0; n < 2; n++) await client.changeData('default', {}).catch(() => {});
    const [first, again, second, ...others] = asked.map(({ headers }) => headers['idempotency-key']);
    expect(again).toBe(first);
    expect(second).not.toBe(first);
    expect(others).toEqual([second]);
    expect(client.revisions).toEqual({});
  });
});

describe('several addresses', () => {
  it('are asked in turn: the first that answers is kept', async () => {
    const { text } = await honest('/v1/decide', JSON.stringify(reading));
    let isDown = true;
    const first = await serve((_, response) => {
      if (isDown) response.writeHead(502).end();
      else response.writeHead(200, { 'content-type': 'application/json' }).end(text);
    });
    const silent = await scripted(() => {});
    await silent.stop();
    const last = await serve((_, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(text),
    );
    const client = new VerdictClient({ baseUrls: [first.url, silent.url, last.url], retries: 0, timeoutMs: 60_000 });
    expect(await client.can(reading)).toBe(true);
    isDown = false;
    expect(await client.can(reading)).toBe(true);
    expect([first.asked.length, last.asked.length]).toEqual([1, 2]);
  });

  it('share the time of the call: one that hangs leaves some for the others', async () => {
    const { text } = await honest('/v1/decide', JSON.stringify(reading));
    const hanging = await serve(() => {});
    const good = await serve((_, response) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(text),
    );
    const client = new VerdictClient({ baseUrls: [hanging.url, good.url], timeoutMs: 4_000 });
    expect(await client.can(reading)).toBe(true);
    expect([hanging.asked.length, good.asked.length]).toEqual([1, 1]);
  });

  it('that all fail are all named in the error, without the key', async () => {
    const bad = await serve((_, response) => response.writeHead(502).end());
    const client = new VerdictClient({ baseUrls: [bad.url, `${bad.url}/b`], apiKey: 'vd_test_secret', retries: 0 });
    const error = await client.can(reading).catch((thrown) => thrown);
    expect(error.attempts).toMatchObject([{ baseUrl: bad.url }, { baseUrl: `${bad.url}/b` }]);
    expect(JSON.stringify(error) + error.stack).not.toContain('vd_test_secret');
  });

  it('are not asked again what the first one refused', async () => {
    const problem = { type: 'urn:verdict:problem:forbidden', title: 't', status: 403, detail: 'd', instance: 'i' };
    const { url, asked } = await serve((_, response) =>
      sendJson(response, problem, 403, { 'content-type': 'application/problem+json' }),
    );
    await expect(new VerdictClient({ baseUrls: [url, `${url}/b`] }).can(reading)).rejects.toMatchObject({
      code: 'forbidden',
    });
    expect(asked).toHaveLength(1);
  });
});
