/** `@verdict/client` and the built service: what it asks, and what it makes of the answers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VerdictClient, VerdictProblem, VerdictUnavailable } from '../../packages/client/src/client.js';
import { liveSets } from '../api/live-data-sets.js';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { idModel } from '../models.js';
import { relay, scripted, sendJson } from './scripted-server.js';

const files = {
  ...liveSets,
  'default/model.conf': idModel,
  'default/rules.csv': 'p, ann, doc-1, read\np, bob, doc-1, read\np, ann, doc-2, read\n',
  'default/entities.yaml': '- { type: doc, id: doc-1 }\n- { type: doc, id: doc-2 }\n- { type: user, id: ann }\n',
};
const scopes = ['decide', 'decisions:read', 'policies:read', 'data:write'];
const ann = { type: 'user', id: 'ann' };
const reading = { subject: 'ann', action: 'read', resource: 'doc-1' };
const trace = (digit: string) => `00-${digit.repeat(32)}-00f067aa0ba902b7-01`;

let service: BuiltService;
let verdict: VerdictClient;
beforeAll(async () => {
  service = await startBuiltService(files, {}, scopes);
  verdict = new VerdictClient({ baseUrl: service.url, apiKey: service.token, timeoutMs: 60_000 });
});
afterAll(() => service.stop());

async function recorded(query: string) {
  const answer = await fetch(`${service.url}/v1/decisions?${query}`, {
    headers: { authorization: `Bearer ${service.token}` },
  });
  return ((await answer.json()) as { items: unknown[] }).items;
}

describe('questions', () => {
  it('are answered with the decision, its reason and where it is recorded', async () => {
    const decision = await verdict.decide({ ...reading, attributes: { ip: '10.0.0.7' } });
    expect(decision).toMatchObject({ allowed: true, decision: 'allow', policySet: 'default', reason: { line: 1 } });
    const [record] = await recorded('subject=ann&limit=1');
    expect(record).toMatchObject({
      id: decision.decisionId,
      via: 'decide',
      request: { attributes: { ip: '10.0.0.7' } },
    });
    expect(await verdict.decide({ ...reading, action: 'write' })).toMatchObject({ allowed: false, decision: 'deny' });
  });

  it('are true or false for who wants no more', async () => {
    expect(await verdict.can(reading)).toBe(true);
    expect(await verdict.can({ ...reading, subject: 'eve' })).toBe(false);
  });

  it('are asked of the set that they name, else of the one of the client, else of the default', async () => {
    const ofDesk = new VerdictClient({ baseUrl: service.url, apiKey: service.token, policySet: 'desk' });
    const editing = { subject: { type: 'user', id: 'root' }, action: 'edit', resource: 'article' };
    expect(await ofDesk.decide(editing)).toMatchObject({ allowed: true, policySet: 'desk' });
    expect(await ofDesk.decide({ ...reading, policySet: 'default' })).toMatchObject({ policySet: 'default' });
    expect(
      await ofDesk.evaluate({ ...editing, action: { name: 'edit' }, resource: { type: 'page', id: 'article' } }),
    ).toMatchObject({
      decision: true,
      context: { policy_set: 'desk' },
    });
    expect(
      (await ofDesk.decideMany([editing, { ...reading, policySet: 'default' }])).map((each) => each.allowed),
    ).toEqual([true, true]);
  });

  it('are asked many in one call, in their order, with the problem of one in its place', async () => {
    const outcomes = await verdict.decideMany(
      [{ resource: 'doc-1' }, { resource: 'doc-9' }, {}, { subject: 'bob', resource: 'doc-1' }],
      { defaults: { subject: 'ann', action: 'read' } },
    );
    expect(outcomes.map((each) => ('problem' in each ? each.problem.type : each.allowed))).toEqual([
      true,
      false,
      'urn:verdict:problem:invalid_request',
      true,
    ]);
    expect(await verdict.decideMany([])).toEqual([]);
  });

  it('of AuthZEN are answered one by one, many at once, and as searches', async () => {
    const question = { subject: ann, action: { name: 'read' }, resource: { type: 'doc', id: 'doc-1' } };
    expect(await verdict.evaluate(question)).toMatchObject({
      decision: true,
      context: { reason: { code: 'rule_allowed' } },
    });
    const evaluations = ['doc-1', 'doc-9', 'doc-2'].map((id) => ({ resource: { type: 'doc', id } }));
    const { subject, action } = question;
    const decided = async (semantic?: 'deny_on_first_deny' | 'permit_on_first_permit') => {
      const options = semantic === undefined ? {} : { options: { evaluations_semantic: semantic } };
      const answers = await verdict.evaluateMany({ subject, action, evaluations, ...options });
      return answers.map(({ decision }) => decision);
    };
    expect(await decided()).toEqual([true, false, true]);
    expect(await decided('deny_on_first_deny')).toEqual([true, false]);
    expect(await decided('permit_on_first_permit')).toEqual([true]);
    const subjects = await verdict.searchSubjects({ ...question, subject: { type: 'user' } });
    expect(subjects.results.map(({ id }) => id)).toEqual(['ann', 'bob']);
    const resources = await verdict.searchResources({ ...question, resource: { type: 'doc' } });
    expect(resources.results.map(({ id }) => id)).toEqual(['doc-1', 'doc-2']);
    const actions = await verdict.searchActions({ subject, resource: question.resource });
    expect(actions.results).toEqual([{ name: 'read' }]);
  });

  it('who can are answered with all permissions and whether these are all', async () => {
    const { permissions, complete } = await verdict.whoCan('default', { action: 'read', resource: 'doc-1' });
    expect(permissions.map(({ subject }) => subject.id).sort()).toEqual(['ann', 'bob']);
    expect(complete).toBe(true);
  });
});

describe('refusals', () => {
  it('are errors with what the service says', async () => {
    const error = await verdict.decide({ ...reading, policySet: 'nowhere' }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(VerdictProblem);
    expect(error).toMatchObject({
      status: 404,
      code: 'policy_set_not_found',
      problem: { detail: expect.stringContaining('nowhere') },
    });
    const invalid = await verdict.decide({ ...reading, atLeast: 0 }).catch((thrown) => thrown);
    expect(invalid.problem.errors).toMatchObject([{ pointer: '/atLeast' }]);
  });

  it('are errors also where no answer would be a deny: the caller has to mend them', async () => {
    const stranger = new VerdictClient({ baseUrl: service.url, onUnavailable: 'deny' });
    await expect(stranger.can(reading)).rejects.toMatchObject({ status: 401, code: 'unauthenticated' });
    await expect(stranger.decideMany([reading])).rejects.toBeInstanceOf(VerdictProblem);
  });

  it('hold for what JSON cannot say, before anything is asked', async () => {
    const circle: Record<string, unknown> = {};
    circle.circle = circle;
    await expect(verdict.decide({ ...reading, attributes: circle })).rejects.toBeInstanceOf(TypeError);
    await expect(verdict.decide({ ...reading, attributes: { big: 1n } })).rejects.toBeInstanceOf(TypeError);
  });
});

describe('changes', () => {
  const link = ['g', 'user:mia', 'editor'];
  const editing = { subject: { type: 'user', id: 'mia' }, action: 'edit', resource: 'article' };

  it('are made once under a key, and answers know them from then on', async () => {
    const change = { add: { roles: [link] } };
    const first = await verdict.changeData('desk', change, { idempotencyKey: 'ticket-1' });
    const again = await verdict.changeData('desk', change, { idempotencyKey: 'ticket-1' });
    expect(first).toMatchObject({ set: 'desk', added: 1 });
    expect(again).toMatchObject({ revision: first.revision, added: 0 });
    expect(verdict.revisions).toEqual({ desk: first.revision });
    expect(await verdict.decide({ ...editing, policySet: 'desk' })).toMatchObject({
      allowed: true,
      revision: first.revision,
    });
    await verdict.changeData('desk', { remove: { roles: [link] } }, { ifRevision: first.revision });
    expect(await verdict.can({ ...editing, policySet: 'desk' })).toBe(false);
    await expect(verdict.changeData('desk', change, { ifRevision: first.revision })).rejects.toMatchObject({
      status: 412,
    });
  });

  it('are demanded of every answer that comes after them, in the body or the header', async () => {
    const { asked, url, stop } = await scripted((_, response) => sendJson(response, {}));
    const client = new VerdictClient({ baseUrl: url, retries: 0 });
    client.atLeast('desk', 41);
    client.atLeast('desk', 40);
    client.atLeast('shop', 7);
    const ask = async (question: Promise<unknown>) => {
      await question.catch(() => {});
      return JSON.parse(asked.at(-1)!.body).atLeast ?? asked.at(-1)!.headers['verdict-at-least'];
    };
    expect(client.revisions).toEqual({ desk: 41, shop: 7 });
    expect(await ask(client.decide({ ...reading, policySet: 'desk' }))).toBe(41);
    expect(await ask(client.decide({ ...reading, policySet: 'desk', atLeast: 50 }))).toBe(50);
    expect(await ask(client.decide({ ...reading, policySet: 'desk', atLeast: { desk: 3, shop: 9 } }))).toEqual({
      desk: 41,
      shop: 9,
    });
    expect(await ask(client.decide({ ...reading, policySet: 'plain' }))).toBeUndefined();
    expect(await ask(client.decide(reading))).toEqual({ desk: 41, shop: 7 });
    expect(await ask(client.decide({ ...reading, atLeast: 3 }))).toBe(3);
    const question = { subject: ann, action: { name: 'read' }, resource: { type: 'doc', id: '1' } };
    expect(await ask(client.evaluate(question))).toBe('desk=41, shop=7');
    expect(await ask(client.evaluate(question, { policySet: 'shop', atLeast: 5 }))).toBe('7');
    expect(asked.at(-1)!.path).toBe('/sets/shop/access/v1/evaluation');
    expect(() => client.atLeast('desk', Number.NaN)).toThrow(TypeError);
    await stop();
  });

  it('are all kept: a question that names no set carries those of the last hundred sets', async () => {
    const { asked, url, stop } = await scripted((_, response) => sendJson(response, {}));
    const client = new VerdictClient({ baseUrl: url, retries: 0 });
    const demanded = async (question: object) => {
      await client.decide({ ...reading, ...question }).catch(() => {});
      return JSON.parse(asked.at(-1)!.body).atLeast;
    };
    for (let n = 0; n < 100; n++) client.atLeast(`set-${n}`, n + 1);
    expect(Object.keys(await demanded({}))).toHaveLength(100);
    client.atLeast('set-100', 101);
    const sets = Object.keys(await demanded({}));
    expect(sets).toHaveLength(100);
    expect(sets).not.toContain('set-0');
    expect(sets).toContain('set-100');
    expect(await demanded({ policySet: 'set-0' })).toBe(1);
    expect(Object.keys(await demanded({ atLeast: { 'set-0': 1 } }))).toContain('set-0');
    expect(Object.keys(client.revisions)).toHaveLength(101);
    await stop();
  });

  it('are held against every answer: an older one is none', async () => {
    const context = { id: '1', policy_set: 'desk', policy_version: 'sha256:00' };
    const decision = {
      allowed: true,
      decision: 'allow',
      decisionId: '1',
      policySet: 'desk',
      policyVersion: 'sha256:00',
      reason: { code: 'rule_allowed' },
      obligations: [],
      errors: [],
    };
    let revision: number | undefined;
    const { url, stop } = await scripted(({ path }, response) => {
      const of = revision === undefined ? {} : { revision };
      const evaluation = { decision: true, context: { ...context, ...of } };
      const bodies: Record<string, object> = {
        decide: { ...decision, ...of },
        batch: { decisions: [{ ...decision, ...of }] },
        evaluation,
        evaluations: { evaluations: [evaluation] },
      };
      const searched = { results: [], page: { next_token: '' }, context: { ...context, ...of } };
      sendJson(response, bodies[path.split('/').at(-1)!] ?? searched);
    });
    const question = { subject: ann, action: { name: 'read' }, resource: { type: 'doc', id: '1' } };
    const ask = (client: VerdictClient) => [
      client.decide(reading),
      client.decideMany([reading]),
      client.evaluate(question),
      client.evaluateMany({ ...question, evaluations: [{}] }),
      client.searchSubjects(question),
      client.searchResources(question),
      client.searchActions({ subject: ann, resource: question.resource }),
    ];
    const client = new VerdictClient({ baseUrl: url, retries: 0, timeoutMs: 60_000 });
    client.atLeast('desk', 41);
    // So many others changed since that the demand itself leaves it out.
    for (let n = 0; n < 100; n++) client.atLeast(`set-${n}`, 1);
    for (revision of [undefined, 40]) {
      for (const asked of ask(client)) {
        await expect(asked).rejects.toMatchObject({ kind: 'malformed' });
      }
    }
    revision = 41;
    expect(await Promise.all(ask(client))).toHaveLength(7);
    await expect(client.decide({ ...reading, atLeast: 42 })).rejects.toMatchObject({ kind: 'malformed' });
    await expect(client.decide({ ...reading, atLeast: { desk: 42 } })).rejects.toMatchObject({ kind: 'malformed' });
    expect(await client.can({ ...reading, atLeast: { other: 42 } })).toBe(true);
    // What was demanded when the question was asked counts.
    const early = client.can(reading);
    client.atLeast('desk', 43);
    expect(await early).toBe(true);
    await stop();
  });

  it('that were never made are demanded in vain', async () => {
    const client = new VerdictClient({ baseUrl: service.url, apiKey: service.token, policySet: 'desk' });
    client.atLeast('desk', 4_711);
    await expect(client.decide(editing)).rejects.toMatchObject({ code: 'unknown_revision' });
  });
});

describe('calls', () => {
  it('hand on the trace that they are a part of, and nothing that is none', async () => {
    const traced = new VerdictClient({ baseUrl: service.url, apiKey: service.token, traceparent: () => trace('b') });
    await verdict.decide(reading, { traceparent: trace('a') });
    await traced.evaluate({ subject: ann, action: { name: 'read' }, resource: { type: 'doc', id: 'doc-1' } });
    await traced.decideMany([reading], { traceparent: 'none\r\nx: y' });
    expect(await recorded(`traceId=${'a'.repeat(32)}`)).toMatchObject([{ via: 'decide' }]);
    expect(await recorded(`traceId=${'b'.repeat(32)}`)).toMatchObject([{ via: 'authzen' }]);
  });

  it('share a connection while it is kept', async () => {
    const through = await relay(service.url);
    const client = new VerdictClient({ baseUrl: through.url, apiKey: service.token, timeoutMs: 60_000 });
    for (let n = 0; n < 20; n++) {
      await client.decide(reading);
      await client.decide({ ...reading, policySet: 'nowhere' }).catch(() => {});
    }
    // One that is not free again at once makes the platform open another.
    expect(through.connections()).toBeLessThan(5);
    await through.stop();
  });

  it('go to the path that a proxy has before that of the service', async () => {
    const { asked, url, stop } = await scripted((_, response) => sendJson(response, {}));
    const client = new VerdictClient({ baseUrl: `${url}/authz/`, retries: 0 });
    await expect(client.decide(reading)).rejects.toBeInstanceOf(VerdictUnavailable);
    expect(asked.map(({ path }) => path)).toEqual(['/authz/v1/decide']);
    await stop();
  });

  it('take a key that is made anew for each', async () => {
    const { asked, url, stop } = await scripted((_, response) => sendJson(response, {}));
    let made = 0;
    const client = new VerdictClient({ baseUrl: url, retries: 1, apiKey: async () => `key-${++made}` });
    await client.decide(reading).catch(() => {});
    expect(asked.map(({ headers }) => headers.authorization)).toEqual(['Bearer key-1', 'Bearer key-2']);
    await stop();
  });
});

describe('options that cannot be meant', () => {
  const url = 'https://verdict.example';
  it.each([
    [{}, 'baseUrl'],
    [{ baseUrls: [] }, 'baseUrl'],
    [{ baseUrl: url, baseUrls: [url] }, 'baseUrl'],
    [{ baseUrl: 'verdict.example:3000' }, 'https'],
    [{ baseUrl: 'ftp://verdict.example' }, 'https'],
    [{ baseUrl: 'https://me:hunter@verdict.example' }, 'credentials'],
    [{ baseUrl: `${url}?set=a` }, 'query'],
    [{ baseUrl: url, timeoutMs: 0 }, 'timeoutMs'],
    [{ baseUrl: url, timeoutMs: Number.NaN }, 'timeoutMs'],
    [{ baseUrl: url, timeoutMs: 2 ** 31 }, 'timeoutMs'],
    [{ baseUrl: url, retries: -1 }, 'retries'],
    [{ baseUrl: url, batch: { maxItems: 0 } }, 'maxItems'],
    [{ baseUrl: url, onUnavailable: 'allow' as 'deny' }, 'onUnavailable'],
  ])('%j are refused', (options, named) => {
    expect(() => new VerdictClient(options)).toThrow(TypeError);
    expect(() => new VerdictClient(options)).toThrow(named);
    expect(() => new VerdictClient(options)).not.toThrow('hunter');
  });

  it('are refused of a single call too', async () => {
    const allow = { onUnavailable: 'allow' as 'deny' };
    await expect(verdict.decide(reading, allow)).rejects.toBeInstanceOf(TypeError);
    await expect(verdict.decide(reading, { timeoutMs: 0 })).rejects.toBeInstanceOf(TypeError);
  });

  it('do not show a key that no header can carry', async () => {
    const client = new VerdictClient({ baseUrl: service.url, apiKey: 'vd_prod_secret\n' });
    const error = await client.decide(reading).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(TypeError);
    expect(error.stack).not.toContain('vd_prod_secret');
  });
});
