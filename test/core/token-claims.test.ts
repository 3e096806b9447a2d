/** What a set makes of the claims of verified tokens: `r.token.user.sub`, `sub: token.user.sub`. */
import { describe, expect, it } from 'vitest';
import { type CompileOptions, compilePolicySet, type DecisionRequestInput } from '../../src/engine.js';

const model = (matcher: string, request = 'sub, obj, act') => `[request_definition]
r = ${request}
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;
const byRole = 'p.sub in r.token.user.roles && r.obj == p.obj && r.act == p.act';
const rules = 'p, editor, doc, write\n';
const declared = 'tokens: { user: { audience: shop } }\n';

const setOf = (options: Partial<CompileOptions> = {}) =>
  compilePolicySet({ model: model(byRole), rules, manifest: declared, strict: true, ...options });
const question = { subject: 'ann', action: 'write', resource: 'doc' };
const decide = (tokens: DecisionRequestInput['tokens'], options: Partial<CompileOptions> = {}) =>
  setOf(options).decide({ ...question, ...(tokens !== undefined && { tokens }) }, { now: 0 });

describe('the claims of a token', () => {
  it.each(['sub, obj, act', 'sub, obj, act, token', 'sub, token, obj, act'])(
    'are read in matchers, where the request definition is %s',
    (request) => {
      const own = { model: model(byRole, request) };
      expect(decide({ user: { roles: ['editor'] } }, own).decision).toBe('allow');
      expect(decide({ user: { roles: ['reader'] } }, own).decision).toBe('deny');
    },
  );

  it('are not what the request says of its subject, or in its attributes', () => {
    const asked = {
      ...question,
      subject: { id: 'ann', attributes: { roles: ['editor'], token: { user: { roles: ['editor'] } } } },
      attributes: { token: { user: { roles: ['editor'] } }, tokens: { user: { roles: ['editor'] } } },
    };
    for (const request of ['sub, obj, act', 'sub, obj, act, token']) {
      const { decision, reason, errors } = setOf({ model: model(byRole, request) }).decide(asked, { now: 0 });
      expect({ decision, reason: reason.code, errors: errors.map(({ code }) => code) }).toEqual({
        decision: 'deny',
        reason: 'evaluation_error',
        errors: ['missing_attribute'],
      });
    }
  });

  it.each([
    ['no token', undefined],
    ['another token', { service: { roles: ['editor'] } }],
    ['no such claim', { user: { sub: 'ann' } }],
    ['a claim of another type', { user: { roles: 'editor' } }],
    ['a claim that is null', { user: { roles: null } }],
    ['the claim on the prototype alone', { user: Object.create({ roles: ['editor'] }) }],
    ['the token on the prototype alone', Object.create({ user: { roles: ['editor'] } })],
    ['claims called __proto__', JSON.parse('{"user":{"__proto__":{"roles":["editor"]}}}')],
  ])('deny where the request has %s', (_what, tokens) => {
    const { decision, errors } = decide(tokens as never);
    expect(decision).toBe('deny');
    expect(errors).toHaveLength(1);
  });

  it('are asked for by has()', () => {
    const matcher = 'has(r.token.user.admin) && r.token.user.admin && r.obj == p.obj';
    const own = { model: model(matcher) };
    expect(decide({ user: { admin: true } }, own).decision).toBe('allow');
    expect(decide({ user: {} }, own)).toMatchObject({ decision: 'deny', errors: [] });
    expect(decide(undefined, own)).toMatchObject({ decision: 'deny', errors: [] });
  });

  it('are the subject where a binding says so, whoever the request names', () => {
    const own = {
      model: model('g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act').replace(
        '[policy_effect]',
        '[role_definition]\ng = _, _\n[policy_effect]',
      ),
      rules: 'p, editor, doc, write\ng, ann, editor\n',
      manifest: `${declared}request: { sub: token.user.sub }\n`,
    };
    expect(decide({ user: { sub: 'ann' } }, own).decision).toBe('allow');
    expect(decide({ user: { sub: 'eve' } }, own)).toMatchObject({
      decision: 'deny',
      reason: { code: 'no_matching_rule' },
    });
    expect(decide(undefined, own)).toMatchObject({ decision: 'deny', errors: [{ code: 'missing_binding' }] });
    expect(decide({ user: { sub: ['ann'] } }, own)).toMatchObject({
      decision: 'deny',
      errors: [{ code: 'wrong_binding' }],
    });
  });

  it('are parts of templates, which no claim can break out of', () => {
    const own = {
      model: model('r.sub == p.sub && r.obj == p.obj && r.act == p.act'),
      rules: 'p, acme:ann, doc, write\n',
      manifest: `${declared}request: { sub: "\${token.user.org.id}:\${token.user.sub}" }\n`,
    };
    expect(decide({ user: { org: { id: 'acme' }, sub: 'ann' } }, own).decision).toBe('allow');
    expect(decide({ user: { org: { id: 'acme:ann' }, sub: 'x' } }, own)).toMatchObject({
      errors: [{ code: 'wrong_binding' }],
    });
  });

  it('have types by the schema, which requests are held against', () => {
    const schema = 'tokens: { user: { type: object, properties: { level: { type: integer } }, required: [level] } }\n';
    const own = { model: model('r.token.user.level > 2 && r.obj == p.obj'), schema };
    expect(decide({ user: { level: 3, email: 'ann@shop.example' } }, own).decision).toBe('allow');
    expect(decide({ user: { level: '3' } }, own)).toMatchObject({
      decision: 'deny',
      reason: { code: 'schema_violation' },
      errors: [{ code: 'schema_violation', pointer: '/tokens/user/level' }],
    });
    // A token that is not there breaks no schema of its claims; the rule that reads it errs.
    expect(decide(undefined, own)).toMatchObject({ decision: 'deny', reason: { code: 'evaluation_error' } });
  });

  it('are explained, with the change of a claim that would allow', () => {
    const set = setOf({ model: model('r.token.user.team == p.sub && r.obj == p.obj && r.act == p.act') });
    const { explanation } = set.decide(
      { ...question, tokens: { user: { team: 'sales' } } },
      { now: 0, explain: 'full' },
    );
    expect(explanation?.changes[0]?.changes).toMatchObject([
      { kind: 'request', path: '/tokens/user/team', from: 'sales', to: 'editor' },
    ]);
  });

  it('are no value of a question as Casbin asks it, unless the model defines the column', () => {
    expect(setOf().enforce(['ann', 'doc', 'write'])).toMatchObject({
      decision: 'deny',
      errors: [{ code: 'missing_attribute' }],
    });
    const own = setOf({ model: model(byRole, 'sub, obj, act, token') });
    expect(own.enforce(['ann', 'doc', 'write', { user: { roles: ['editor'] } }]).decision).toBe('allow');
    expect(own.enforce(['ann', 'doc', 'write']).errors[0]?.code).toBe('wrong_request_size');
  });

  it('are unknown to a search, which finds nobody that only a token would allow', () => {
    const query = { type: '', action: { name: 'write' }, resource: { id: 'doc' } };
    expect(
      setOf({ entities: '- { type: user, id: ann }\n' }).whoCan({ ...query, type: 'user' }, { now: 0 }).results,
    ).toEqual([]);
  });
});

describe('a set that declares no token', () => {
  it('reads a column of that name from the attributes, as before', () => {
    const own = {
      model: model('r.token == p.sub && r.obj == p.obj', 'sub, obj, act, token'),
      manifest: 'request: { token: attributes.token }',
    };
    const set = setOf(own);
    expect(set.decide({ ...question, attributes: { token: 'editor' } }, { now: 0 }).decision).toBe('allow');
    expect(set.decide({ ...question, tokens: { editor: {} } }, { now: 0 }).decision).toBe('deny');
  });
});
