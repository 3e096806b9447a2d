/** `VERDICT_DRAFTS=obligations`: AuthZEN's callers say which obligations they execute, and get no others. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Service, startService } from '../http/service.js';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft, obligations
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`;
const column = (...obligations: unknown[]) => `"${JSON.stringify(obligations).replaceAll('"', '""')}"`;
const stepUp = { id: 'mfa', type: 'step-up', properties: { acr_value: 'loa:3' } };
const notify = { id: 'tell', type: 'notification', properties: { to: 'boss@shop.example', body: 'paid' } };
const files = {
  'default/model.conf': model,
  'default/rules.csv': [
    'p, ann, plain, read, allow,',
    `p, ann, secret, read, allow, ${column(stepUp)}`,
    `p, ann, account, read, allow, ${column(stepUp, notify)}`,
    `p, ann, odd, read, allow, ${column('log')}`,
    `p, ann, vault, read, deny, ${column(notify)}`,
    '',
  ].join('\n'),
  'default/entities.yaml': ['plain', 'secret', 'account', 'odd', 'vault']
    .map((id) => `- { type: doc, id: ${id} }\n`)
    .join(''),
};

let service: Service;
let plain: Service;
beforeAll(async () => {
  service = await startService(files, { drafts: 'obligations', publicUrl: 'https://pdp.example' });
  plain = await startService(files, { publicUrl: 'https://pdp.example' });
});
afterAll(() => Promise.all([service.stop(), plain.stop()]));

const adopting = (...types: string[]) => ({
  supported_mandatory_extensions: ['obligations'],
  supported_obligations: types,
});
const question = (id: string, context?: object) => ({
  subject: { type: 'user', id: 'ann' },
  action: { name: 'read' },
  resource: { type: 'doc', id },
  ...(context !== undefined && { context }),
});
const evaluate = async (id: string, context?: object, of = service) =>
  (await of.post('/access/v1/evaluation', question(id, context))).body;
const recordOf = async (id: string) => (await service.get(`/v1/decisions/${id}`)).body;

describe('an evaluation', () => {
  it('carries what the caller says that it executes, in the form of the draft', async () => {
    expect(await evaluate('account', adopting('step-up', 'notification'))).toMatchObject({
      decision: true,
      context: { obligations: [stepUp, notify] },
    });
    expect(await evaluate('odd', adopting('custom'))).toMatchObject({
      decision: true,
      context: { obligations: [{ id: 'obligation-1', type: 'custom', properties: { obligation: 'log' } }] },
    });
    const ordinary = await evaluate('plain');
    expect(ordinary.decision).toBe(true);
    expect(ordinary.context).not.toHaveProperty('obligations');
  });

  it.each([
    ['says nothing', undefined],
    ['lists types without the extension', { supported_obligations: ['step-up', 'notification'] }],
    ['lists no types', { supported_mandatory_extensions: ['obligations'] }],
    ['lists another type', adopting('notification')],
    ['lists what the service did not advertise', adopting('dance')],
  ])('is a plain deny where the caller %s', async (_what, context) => {
    const { decision, context: answered } = await evaluate('secret', context);
    expect(decision).toBe(false);
    expect(answered).not.toHaveProperty('obligations');
    expect(answered.reason).toMatchObject({ code: 'obligation_unsupported', line: 2 });
  });

  it('that is a deny carries them too, and stays a plain deny for others', async () => {
    expect(await evaluate('vault', adopting('notification'))).toMatchObject({
      decision: false,
      context: { reason: { code: 'rule_denied' }, obligations: [notify] },
    });
    for (const context of [undefined, adopting('step-up')]) {
      const { decision, context: answered } = await evaluate('vault', context);
      expect({ decision, code: answered.reason.code }).toEqual({ decision: false, code: 'rule_denied' });
      expect(answered).not.toHaveProperty('obligations');
    }
  });

  it('is recorded as it was answered, with what the policy demands, and replayed to the same', async () => {
    const { context } = await evaluate('secret');
    const record = await recordOf(context.id);
    expect(record).toMatchObject({
      decision: 'deny',
      reason: { code: 'obligation_unsupported' },
      obligations: [stepUp],
    });
    for (const id of [context.id, (await evaluate('secret', adopting('step-up'))).context.id]) {
      const { body } = await service.post(`/v1/decisions/${id}/replay`, {});
      expect(body).toMatchObject({ same: true });
    }
    expect((await service.get('/v1/decisions?reason=obligation_unsupported&limit=1')).body.items).toHaveLength(1);
  });

  it('without the draft is what it always was', async () => {
    expect(await evaluate('secret', undefined, plain)).toMatchObject({
      decision: true,
      context: { obligations: [stepUp] },
    });
    expect(await evaluate('odd', adopting('step-up'), plain)).toMatchObject({
      decision: true,
      context: { obligations: ['log'] },
    });
  });

  it('at /v1/decide carries all obligations, whatever the attributes say', async () => {
    const { body } = await service.post('/v1/decide', {
      subject: 'ann',
      action: 'read',
      resource: { type: 'doc', id: 'secret' },
    });
    expect(body).toMatchObject({ allowed: true, obligations: [stepUp] });
  });
});

describe('evaluations', () => {
  it('negotiate each by its own context, which replaces that of the defaults whole', async () => {
    const { body } = await service.post('/access/v1/evaluations', {
      ...question('secret', adopting('step-up')),
      evaluations: [
        {},
        { resource: { type: 'doc', id: 'account' } },
        { resource: { type: 'doc', id: 'account' }, context: adopting('step-up', 'notification') },
        { context: { ip: '203.0.113.10' } },
      ],
    });
    expect(
      body.evaluations.map(({ decision, context }: { decision: boolean; context: { obligations?: unknown[] } }) => [
        decision,
        context.obligations?.length ?? 0,
      ]),
    ).toEqual([
      [true, 1],
      [false, 0],
      [true, 2],
      [false, 0],
    ]);
  });

  it('end at the first deny, also one that obligations make', async () => {
    const { body } = await service.post('/access/v1/evaluations', {
      ...question('plain'),
      evaluations: [{}, { resource: { type: 'doc', id: 'secret' } }, {}],
      options: { evaluations_semantic: 'deny_on_first_deny' },
    });
    expect(body.evaluations.map(({ decision }: { decision: boolean }) => decision)).toEqual([true, false]);
  });
});

describe('a search', () => {
  const search = async (context?: object, of = service) => {
    const { id: _, ...resource } = { ...question('').resource };
    return (await of.post('/access/v1/search/resource', { ...question('', context), resource })).body;
  };

  it('has for each result what must be done before it is shown, and leaves out what the caller cannot show', async () => {
    expect((await search()).results).toEqual([{ type: 'doc', id: 'plain' }]);
    expect((await search(adopting('step-up'))).results).toEqual([
      { type: 'doc', id: 'plain' },
      { type: 'doc', id: 'secret', context: { obligations: [stepUp] } },
    ]);
    const all = await search(adopting('step-up', 'notification', 'custom'));
    expect(
      all.results.map(({ id, context }: { id: string; context?: { obligations: { id: string }[] } }) => [
        id,
        context?.obligations.map((each) => each.id),
      ]),
    ).toEqual([
      ['account', ['mfa', 'tell']],
      ['odd', ['obligation-1']],
      ['plain', undefined],
      ['secret', ['mfa']],
    ]);
    expect(all.page).toMatchObject({ count: 4, properties: { complete: true } });
    expect((await recordOf((await search()).context.id)).search.results).toEqual(['plain']);
  });

  it('of actions has them, too', async () => {
    const { body } = await service.post('/access/v1/search/action', {
      subject: { type: 'user', id: 'ann' },
      resource: { type: 'doc', id: 'secret' },
      context: adopting('step-up'),
    });
    expect(body.results).toEqual([{ name: 'read', context: { obligations: [stepUp] } }]);
  });

  it('without the draft names what is allowed', async () => {
    const { results } = await search(undefined, plain);
    expect(results.map(({ id }: { id: string }) => id)).toEqual(['account', 'odd', 'plain', 'secret']);
  });
});

describe('the metadata', () => {
  it('say what can be demanded, where the draft is on', async () => {
    expect((await service.get('/.well-known/authzen-configuration')).body).toMatchObject({
      capabilities: ['urn:openid:authzen:capability:obligations'],
      supported_obligations: ['step-up', 'notification', 'session_termination', 'custom'],
    });
    const { body } = await plain.get('/.well-known/authzen-configuration');
    expect(body).not.toHaveProperty('capabilities');
    expect(body).not.toHaveProperty('supported_obligations');
  });
});
