/** Freshness that callers demand (P8), through every door. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Config } from '../../src/config/config.js';
import { PolicyStore } from '../../src/policy-store/policy-store.js';
import { onePolicySet, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';
import { waitLonger } from '../pdp/told-sets.js';

let service: Service;
let store: PolicyStore;

/** A service for each test. */
const eachTest = (begin: () => Promise<void>) => {
  beforeEach(begin);
  afterEach(async () => {
    vi.restoreAllMocks();
    await service.stop();
  });
};

/** What the source says of a set from now on, although it is not told yet; undefined: as it is. */
const latest: Record<string, number | undefined> = {};

/** A service with the sets `default`, at revision 2, and `other`, at revision 1, in its database. */
async function start(settings: Partial<Config> = {}): Promise<void> {
  service = await startService({}, { policySource: 'database', defaultPolicySet: 'default', ...settings });
  store = service.app.get(PolicyStore);
  for (const [set, revision] of [
    ['default', 1],
    ['default', 2],
    ['other', 1],
  ] as const) {
    await write(set, revision);
  }
  const ask = store.latestRevision.bind(store);
  vi.spyOn(store, 'latestRevision').mockImplementation(async (name) => latest[name] ?? ask(name));
}

/** Writes the next revision of a set. */
async function write(set: string, revision: number): Promise<void> {
  const answer = await service.app.inject({
    method: 'PUT',
    url: `/v1/policy-sets/${set}`,
    headers: { 'content-type': 'application/json', ...(revision > 1 && { 'if-match': `"${revision - 1}"` }) },
    payload: JSON.stringify({
      files: { 'model.conf': idModel, 'rules.csv': `p, ann, doc, read\np, r${revision}, doc, read\n` },
    }),
  });
  expect(answer.json()).toMatchObject({ set, revision });
}

/** What is served of every set is as old as this, until the mock is restored. */
function beOld(seconds: number): void {
  vi.spyOn(store, 'ageOf').mockReturnValue(seconds * 1_000);
}

const question = { subject: 'ann', action: 'read', resource: 'doc' };
const evaluation = {
  subject: { type: 'user', id: 'ann' },
  action: { name: 'read' },
  resource: { type: 'd', id: 'doc' },
};
const problem = (code: string) => `urn:verdict:problem:${code}`;

beforeEach(() => {
  for (const name of Object.keys(latest)) delete latest[name];
});

describe('POST /v1/decide', () => {
  eachTest(() => start());

  it('answers with the revision, and to a demand for that revision', async () => {
    const first = await service.post('/v1/decide', question);
    expect(first.body).toMatchObject({ allowed: true, revision: 2 });
    const { revision } = first.body;
    for (const atLeast of [revision, { default: revision }, { default: revision, other: 1 }]) {
      expect((await service.post('/decide', { ...question, atLeast })).body).toMatchObject({ allowed: true, revision });
    }
  });

  it('refuses with 503 and Retry-After what is older than demanded', async () => {
    latest.default = 3;
    const { status, headers, body } = await service.post('/v1/decide', { ...question, atLeast: 3 });
    expect(status).toBe(503);
    expect(headers['retry-after']).toBe('1');
    expect(body).toMatchObject({ type: problem('policy_too_old'), status: 503 });
    expect(await service.log.search({ limit: 10 })).toMatchObject({ items: [] });
  });

  it('answers a request that waits, as soon as the revision is served', async () => {
    latest.default = 3;
    const waits = waitLonger(store);
    const waiting = service.post('/v1/decide', { ...question, atLeast: 3 });
    await vi.waitFor(() => expect(waits).toHaveBeenCalled(), { interval: 1 });
    await write('default', 3);
    expect((await waiting).body).toMatchObject({ allowed: true, revision: 3 });
  });

  it('refuses a revision that was never given out', async () => {
    const never = await service.post('/v1/decide', { ...question, atLeast: { default: 3 } });
    expect(never.body).toMatchObject({
      type: problem('unknown_revision'),
      status: 400,
      errors: [{ pointer: '/atLeast/default', detail: 'is 3, and the policy set "default" is at 2' }],
    });
  });

  it('takes the headers where the body says nothing', async () => {
    latest.default = 3;
    const ask = (body: object, headers: Record<string, string>) =>
      service.post('/v1/decide', { ...question, ...body }, headers);
    expect((await ask({}, { 'verdict-at-least': '3' })).status).toBe(503);
    expect((await ask({}, { 'verdict-at-least': 'other=1, default=2' })).status).toBe(200);
    expect((await ask({ atLeast: 2 }, { 'verdict-at-least': '3' })).status).toBe(200);
    beOld(20);
    expect((await ask({}, { 'verdict-max-staleness': '10s' })).body.type).toBe(problem('policy_too_old'));
    expect((await ask({}, { 'verdict-max-staleness': '20s' })).status).toBe(200);
  });
});

describe('a demand that cannot be read', () => {
  beforeAll(() => start());
  afterAll(() => service.stop());

  it.each([
    [{ atLeast: 0 }, '/atLeast', 'atLeast must be >= 1'],
    [{ atLeast: -1 }, '/atLeast', 'atLeast must be >= 1'],
    [{ atLeast: 1.5 }, '/atLeast', 'atLeast must be an integer or an object'],
    [{ atLeast: '2' }, '/atLeast', 'atLeast must be an integer or an object'],
    [{ atLeast: null }, '/atLeast', 'atLeast must be an integer or an object'],
    [{ atLeast: [2] }, '/atLeast', 'atLeast must be an integer or an object'],
    [{ atLeast: { default: '2' } }, '/atLeast/default', 'default must be an integer'],
    [{ atLeast: { 'a/b': 0 } }, '/atLeast/a~1b', 'a/b must be >= 1'],
    [
      { atLeast: Object.fromEntries(Array.from({ length: 101 }, (_, n) => [`s${n}`, 1])) },
      '/atLeast',
      'atLeast must NOT have more than 100 properties',
    ],
    [{ maxStaleness: '' }, '/maxStaleness', 'maxStaleness must be a duration such as 30s'],
    [{ maxStaleness: '0' }, '/maxStaleness', 'maxStaleness must be a duration such as 30s'],
    [{ maxStaleness: '-5s' }, '/maxStaleness', 'maxStaleness must be a duration such as 30s'],
    [{ maxStaleness: '5 s' }, '/maxStaleness', 'maxStaleness must be a duration such as 30s'],
    [{ maxStaleness: 30 }, '/maxStaleness', 'maxStaleness must be a string'],
    [{ maxStaleness: null }, '/maxStaleness', 'maxStaleness must be a string'],
  ])('refuses %j', async (demand, pointer, detail) => {
    const { status, body } = await service.post('/v1/decide', { ...question, ...demand });
    expect(status).toBe(400);
    expect(body).toMatchObject({ type: problem('invalid_request') });
    expect(body.errors).toContainEqual({ pointer, detail });
  });

  it('takes revisions up to the largest exact integer, and none beyond', async () => {
    const body = (atLeast: string) => JSON.stringify(question).replace('{', `{"atLeast":${atLeast},`);
    expect((await service.post('/v1/decide', body('9007199254740991'))).body.type).toBe(problem('unknown_revision'));
    expect((await service.post('/v1/decide', body('9007199254740992'))).body.errors).toEqual([
      { pointer: '/atLeast', detail: 'atLeast must be an integer or an object' },
    ]);
  });

  it.each([
    ['Verdict-At-Least', '', '/atLeast'],
    ['Verdict-At-Least', '0', '/atLeast'],
    ['Verdict-At-Least', '002', '/atLeast'],
    ['Verdict-At-Least', '9007199254740992', '/atLeast'],
    ['Verdict-At-Least', '2, 3', '/atLeast'],
    ['Verdict-At-Least', 'default=2,', '/atLeast'],
    ['Verdict-At-Least', 'default=2, default=2', '/atLeast'],
    ['Verdict-At-Least', 'default=x', '/atLeast'],
    ['Verdict-At-Least', Array.from({ length: 101 }, (_, n) => `s${n}=1`).join(','), '/atLeast'],
    ['Verdict-Max-Staleness', '', '/maxStaleness'],
    ['Verdict-Max-Staleness', '30', '/maxStaleness'],
    ['Verdict-Max-Staleness', '0', '/maxStaleness'],
  ])('refuses the header %s: %s', async (name, value, pointer) => {
    const { status, body } = await service.post('/v1/decide', question, { [name]: value });
    expect(status).toBe(400);
    expect(body).toMatchObject({ type: problem('invalid_request'), errors: [{ pointer }] });
    expect(body.detail).toContain(`the header ${name} `);
  });

  it('refuses a header that comes twice', async () => {
    const { body } = await service.post('/v1/decide', question, {
      'verdict-max-staleness': ['1s', '1h'] as unknown as string,
    });
    expect(body.detail).toBe('The request is not valid: the header Verdict-Max-Staleness comes 2 times.');
  });
});

describe('a set from files', () => {
  eachTest(async () => {
    service = await startService();
  });

  it('has no revisions that could be demanded', async () => {
    const { status, body } = await service.post('/v1/decide', { ...question, atLeast: 1 });
    expect(status).toBe(400);
    expect(body).toMatchObject({ type: problem('no_revision'), errors: [{ pointer: '/atLeast' }] });
    expect((await service.post('/v1/decide', { ...question, maxStaleness: '30s' })).body).toMatchObject({
      allowed: true,
    });
  });
});

describe('a batch', () => {
  eachTest(() => start());

  const outcomes = async (body: object, headers?: Record<string, string>) => {
    const answer = await service.post('/v1/decide/batch', body, headers);
    return answer.body.decisions.map((each: { revision?: number; problem?: { type: string } }) =>
      each.problem === undefined ? each.revision : each.problem.type.replace(problem(''), ''),
    );
  };

  it('answers what can be answered, and has a problem for each other demand', async () => {
    latest.default = 3;
    const requests = [
      question,
      { ...question, atLeast: 2 },
      { ...question, atLeast: 3 },
      { ...question, atLeast: 4 },
      { ...question, policySet: 'other', atLeast: { other: 1, default: 99 } },
      { ...question, policySet: 'other', atLeast: 2 },
      { ...question, policySet: 'other', atLeast: { slip: 1 } },
      { ...question, atLeast: '2' },
      { ...question, policySet: 'nowhere', atLeast: 1 },
    ];
    expect(await outcomes({ requests })).toEqual([
      2,
      2,
      'policy_too_old',
      'unknown_revision',
      1,
      'unknown_revision',
      'unknown_revision',
      'invalid_request',
      'policy_set_not_found',
    ]);
  });

  it('takes one version of each set: that of the highest demand, for the questions before it too', async () => {
    latest.default = 4;
    const waits = waitLonger(store);
    const waiting = outcomes({
      requests: [question, { ...question, atLeast: 3 }, { ...question, atLeast: 4 }, question],
    });
    await vi.waitFor(() => expect(waits).toHaveBeenCalled(), { interval: 1 });
    await write('default', 3);
    await write('default', 4);
    expect(await waiting).toEqual([4, 4, 4, 4]);
  });

  it('takes demands from the defaults, and from headers for what these do not say', async () => {
    latest.default = 3;
    const requests = [question, { ...question, atLeast: 2 }];
    expect(await outcomes({ defaults: { atLeast: 3 }, requests })).toEqual(['policy_too_old', 2]);
    expect(await outcomes({ requests }, { 'verdict-at-least': '3' })).toEqual(['policy_too_old', 2]);
    expect(await outcomes({ defaults: { atLeast: 1 }, requests }, { 'verdict-at-least': '3' })).toEqual([2, 2]);
    expect(await outcomes({ defaults: { atLeast: 'x' }, requests })).toEqual(['invalid_request', 2]);
  });

  it('waits once, whatever its questions demand', async () => {
    latest.default = 20;
    const asks = vi.spyOn(store, 'latestRevision');
    const requests = Array.from({ length: 300 }, (_, n) => ({ ...question, atLeast: 3 + (n % 10) }));
    const waits = vi.spyOn(store, 'until');
    expect(new Set(await outcomes({ requests }))).toEqual(new Set(['policy_too_old']));
    expect(waits).toHaveBeenCalledTimes(1);
    expect(asks).toHaveBeenCalledTimes(1);
  });

  it('answers those that accept what is that old', async () => {
    beOld(20);
    const requests = [question, { ...question, maxStaleness: '10s' }, { ...question, maxStaleness: '30s' }];
    expect(await outcomes({ requests })).toEqual([2, 'policy_too_old', 2]);
  });
});

describe('AuthZEN', () => {
  eachTest(() => start());

  const paths = [
    ['/access/v1/evaluation', evaluation],
    ['/sets/default/access/v1/evaluation', evaluation],
    ['/access/v1/evaluations', evaluation],
    ['/access/v1/search/subject', { ...evaluation, subject: { type: 'user' } }],
    ['/access/v1/search/resource', { ...evaluation, resource: { type: 'd' } }],
    ['/access/v1/search/action', { subject: evaluation.subject, resource: evaluation.resource }],
  ] as const;

  it.each(paths)('takes the demands of headers at %s', async (path, body) => {
    expect((await service.post(path, body, { 'verdict-at-least': '2' })).body.context.revision).toBe(2);
    expect((await service.post(path, body, { 'verdict-at-least': '3' })).body.type).toBe(problem('unknown_revision'));
    latest.default = 3;
    const { status, headers } = await service.post(path, body, { 'verdict-at-least': 'default=3' });
    expect([status, headers['retry-after']]).toEqual([503, '1']);
    beOld(20);
    expect((await service.post(path, body, { 'verdict-max-staleness': '10s' })).status).toBe(503);
    expect((await service.post(path, body, { 'verdict-max-staleness': 'x' })).status).toBe(400);
  });

  it('refuses a batch as a whole, since its demand is the same for all', async () => {
    const body = { ...evaluation, evaluations: [{}, { action: { name: 'write' } }] };
    const answer = await service.post('/access/v1/evaluations', body, { 'verdict-at-least': '2' });
    expect(answer.body.evaluations.map(({ context }: { context: { revision: number } }) => context.revision)).toEqual([
      2, 2,
    ]);
    expect((await service.post('/access/v1/evaluations', body, { 'verdict-at-least': '3' })).status).toBe(400);
  });

  it('ignores members of the body that would demand something on our own routes', async () => {
    expect((await service.post('/access/v1/evaluation', { ...evaluation, atLeast: 99 })).status).toBe(200);
    const body = { ...evaluation, evaluations: [{ atLeast: 99 }] };
    expect((await service.post('/access/v1/evaluations', body)).body.evaluations[0].context.revision).toBe(2);
  });
});

describe('a gateway', () => {
  eachTest(async () => {
    service = await startService({
      ...onePolicySet,
      'default/policy-set.yaml': 'gateway: { anonymous: guest, maxStaleness: 10s }\n',
    });
    store = service.app.get(PolicyStore);
  });

  const ask = (headers: Record<string, string> = {}) =>
    service.get('/v1/gateway/forward-auth', { 'x-forwarded-method': 'GET', 'x-forwarded-uri': '/x', ...headers });

  it("does not take demands from headers, which may be the client's own", async () => {
    const before = await ask();
    expect((await ask({ 'verdict-at-least': '99', 'verdict-max-staleness': 'x' })).body.type).toEqual(before.body.type);
  });

  it('is refused what is older than the mapping of the set accepts', async () => {
    expect((await ask()).body.type).toBe(problem('denied'));
    beOld(20);
    expect((await ask()).body.type).toBe(problem('policy_too_old'));
  });
});

describe('VERDICT_MAX_STALENESS', () => {
  eachTest(() => start({ maxStaleness: '30s' }));

  it('refuses every request of a replica that is cut off, and says so in its health and metrics', async () => {
    const health = async () => (await service.get('/health')).body.details.policies;
    expect((await service.post('/v1/decide', { ...question, maxStaleness: '1h' })).status).toBe(200);
    expect(await health()).toMatchObject({ status: 'up' });
    beOld(40);
    expect((await service.post('/v1/decide', question)).body.type).toBe(problem('policy_too_old'));
    expect((await service.post('/v1/decide', { ...question, maxStaleness: '1h' })).status).toBe(503);
    expect((await service.post('/access/v1/evaluation', evaluation)).status).toBe(503);
    const batch = await service.post('/v1/decide/batch', { requests: [question, question] });
    expect(batch.body.decisions.map(({ problem: { type } }: { problem: { type: string } }) => type)).toEqual(
      Array(2).fill(problem('policy_too_old')),
    );
    expect(await health()).toMatchObject({ status: 'degraded', outdated: ['default', 'other'] });
    const metrics = String((await service.get('/metrics')).body);
    expect(metrics).toContain('verdict_policy_set_age_seconds{policy_set="default"} 40');
    expect(metrics).toContain('verdict_freshness_refusals_total{code="policy_too_old"} 5');
    expect(metrics).toContain('verdict_freshness_refusals_total{code="no_revision"} 0');
  });
});
