import { describe, expect, it } from 'vitest';
import { type CompileOptions, compilePolicySet, type DecisionRequestInput, PolicyError } from '../../src/engine.js';

const now = Date.parse('2026-03-02T09:00:00Z');

function model(matcher: string, { r = 'sub, obj, act', p = 'sub, obj, act', e = allowOverride, g = '' } = {}): string {
  return `[request_definition]
r = ${r}
[policy_definition]
p = ${p}
${g === '' ? '' : `[role_definition]\ng = ${g}\n`}[policy_effect]
e = ${e}
[matchers]
m = ${matcher}
`;
}
const allowOverride = 'some(where (p.eft == allow))';
const denyOverride = '!some(where (p.eft == deny))';
const allowAndDeny = `${allowOverride} && ${denyOverride}`;

function ask(options: CompileOptions, request: DecisionRequestInput) {
  return compilePolicySet(options).decide(request, { now });
}

function problemsOf(options: CompileOptions): string[] {
  try {
    compilePolicySet({ ...options, strict: true });
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    for (const { code, hint } of error.problems) expect(hint, code).toEqual(expect.any(String));
    return error.problems.map(({ code, file, line, column }) => `${file}:${line}:${column} ${code}`);
  }
}

function hintsOf(options: CompileOptions): string[] {
  try {
    compilePolicySet({ ...options, strict: true });
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map(({ code, file, line, column, hint }) => `${file}:${line}:${column} ${code}: ${hint}`);
  }
}

describe('an answer', () => {
  const rules = 'p, alice, invoice, read\np, bob, invoice, write';
  const options = { model: model('r.sub == p.sub && r.obj == p.obj && r.act == p.act'), rules };

  it('names the rule that allowed, with its place', () => {
    expect(ask(options, { subject: 'bob', action: 'write', resource: 'invoice' })).toEqual({
      decision: 'allow',
      reason: { code: 'rule_allowed', rule: ['p', 'bob', 'invoice', 'write'], file: 'policy.csv', line: 2 },
      obligations: [],
      errors: [],
    });
  });

  it('is a deny with its error where the request lacks what it must have', () => {
    for (const request of [
      {},
      { subject: null, action: undefined, resource: 5 },
      { subject: [], action: {}, resource: {} },
    ]) {
      expect(ask(options, request as unknown as DecisionRequestInput)).toMatchObject({
        decision: 'deny',
        reason: { code: 'evaluation_error' },
      });
    }
  });

  it('says that no rule matched', () => {
    const { decision, reason } = ask(options, { subject: 'carol', action: 'write', resource: 'invoice' });
    expect({ decision, reason }).toEqual({ decision: 'deny', reason: { code: 'no_matching_rule' } });
  });

  it('is the same for strings and for objects', () => {
    const objects = { subject: { id: 'alice' }, action: { name: 'read' }, resource: { type: 'doc', id: 'invoice' } };
    expect(ask(options, objects)).toEqual(ask(options, { subject: 'alice', action: 'read', resource: 'invoice' }));
  });

  it('says that deny-override allowed because nothing denied', () => {
    const deny = {
      model: model('r.sub == p.sub', { p: 'sub, obj, act, eft', e: denyOverride }),
      rules: 'p, mallory, , , deny',
    };
    expect(ask(deny, { subject: 'alice', action: 'a', resource: 'r' }).reason).toEqual({ code: 'allowed_by_default' });
    expect(ask(deny, { subject: 'mallory', action: 'a', resource: 'r' }).reason.code).toBe('rule_denied');
  });

  it('carries the reason, obligations and advice of the deciding rule', () => {
    const set = {
      model: model('r.sub == p.sub', { p: 'sub, reason, obligations, advice' }),
      rules: 'p, alice, trusted, "[{""log"":true}]", be careful\np, bob, , {}, ',
    };
    const alice = ask(set, { subject: 'alice', action: 'a', resource: 'r' });
    expect(alice.reason.message).toBe('trusted');
    expect(alice.obligations).toEqual([{ log: true }]);
    expect(alice.advice).toEqual(['be careful']);
    const bob = ask(set, { subject: 'bob', action: 'a', resource: 'r' });
    expect(bob.reason).not.toHaveProperty('message');
    expect(bob.obligations).toEqual([{}]);
    expect(bob).not.toHaveProperty('advice');
  });
});

describe('P2: an error never turns a deny into an allow', () => {
  const p = 'sub, cond, eft';
  const rules = 'p, alice, r.sub.age > 18, allow\np, alice, r.sub.banned == true, deny\np, alice, true, allow';
  const matcher = 'r.sub == p.sub && eval(p.cond)';
  const young = { subject: { id: 'alice', attributes: { banned: false } }, action: 'a', resource: 'r' };
  const nothing = { subject: 'alice', action: 'a', resource: 'r' };

  it('an allow rule that errs does not match, and is reported', () => {
    const answer = ask({ model: model(matcher, { p }), rules }, young);
    expect(answer.reason.line).toBe(3);
    expect(answer.errors).toEqual([
      expect.objectContaining({ code: 'missing_attribute', message: 'r.sub.age is missing', line: 1 }),
    ]);
  });

  it('a deny rule that errs denies where the effect reads denies', () => {
    const answer = ask({ model: model(matcher, { p, e: allowAndDeny }), rules }, nothing);
    expect(answer.decision).toBe('deny');
    expect(answer.reason).toMatchObject({ code: 'evaluation_error', line: 2 });
    expect(answer.errors.map(({ line }) => line)).toEqual([1, 2]);
  });

  it('a deny rule that errs decides nothing where only allows are read', () => {
    expect(ask({ model: model(matcher, { p }), rules }, nothing)).toMatchObject({
      decision: 'allow',
      reason: { line: 3 },
    });
  });

  it('a rule of somebody else cannot err: what picks candidates is looked at first', () => {
    const set = {
      model: model('eval(p.cond) && r.sub == p.sub', { p, e: allowAndDeny }),
      rules: 'p, bob, r.sub.x == 1, deny\np, alice, true, allow',
    };
    expect(ask(set, nothing)).toMatchObject({ decision: 'allow', errors: [] });
  });

  it('a result that is neither boolean nor number denies the request', () => {
    const set = { model: model('r.sub == p.sub ? "yes" : false', { p: 'sub' }), rules: 'p, alice' };
    expect(ask(set, nothing)).toMatchObject({ decision: 'deny', errors: [{ code: 'wrong_result' }] });
  });

  it('an attribute of the wrong type is an error, never a coercion', () => {
    const set = { model: model('r.sub.age > 18', { p: 'sub' }), rules: 'p, x' };
    const answer = ask(set, { subject: { id: 'a', attributes: { age: '19' } }, action: 'a', resource: 'r' });
    expect(answer).toMatchObject({ decision: 'deny', errors: [{ code: 'type_mismatch' }] });
  });
});

describe('binding', () => {
  it('r.sub is the id, r.sub.x the attribute, and both may stand in one matcher', () => {
    const set = {
      model: model('r.sub == "alice" && r.sub.age > 18 && r.act == "read" && r.obj.owner == r.sub', { p: 'x' }),
      rules: 'p, x',
    };
    const request = {
      subject: { id: 'alice', attributes: { age: 20 } },
      action: 'read',
      resource: { type: 'doc', id: '1', attributes: { owner: 'alice' } },
    };
    expect(ask(set, request).decision).toBe('allow');
  });

  it('no attribute overwrites id, type or name, and properties names the same as attributes', () => {
    const set = {
      model: model(
        'r.sub.id == "alice" && r.sub.type == "user" && r.act.name == "read" && r.sub.properties.d == r.sub.attributes.d && r.sub.d == "x"',
        { p: 'x' },
      ),
      rules: 'p, x',
    };
    const request = {
      subject: { type: 'user', id: 'alice', attributes: { id: 'root', type: 'admin', d: 'x' } },
      action: { name: 'read', attributes: { name: 'write' } },
      resource: 'r',
    };
    expect(ask(set, request)).toMatchObject({ decision: 'allow' });
  });

  it('what an object inherits is no attribute', () => {
    const set = {
      model: model('has(r.sub.constructor) || has(r.env.toString) || has(r.sub.__proto__)', {
        r: 'sub, obj, act, env',
        p: 'x',
      }),
      rules: 'p, x',
    };
    expect(ask(set, { subject: 'a', action: 'a', resource: 'r', attributes: {} })).toMatchObject({
      decision: 'deny',
      errors: [],
    });
  });

  it('has() is true for null and never an error', () => {
    const set = { model: model('has(r.sub.a) && !has(r.sub.a.b) && !has(r.sub.c)', { p: 'x' }), rules: 'p, x' };
    expect(ask(set, { subject: { id: 's', attributes: { a: null } }, action: 'a', resource: 'r' }).decision).toBe(
      'allow',
    );
  });

  describe('of a domain', () => {
    const set = {
      model: model('g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj', {
        r: 'sub, dom, obj, act',
        p: 'sub, dom, obj',
        g: '_, _, _',
      }),
      rules: 'p, admin, acme, invoice\ng, alice, admin, acme',
    };
    const request = (asked?: string, owned?: string, own?: string) => ({
      subject: { id: 'alice', ...(own && { attributes: { tenant: own } }) },
      action: 'a',
      resource: { id: 'invoice', ...(owned && { attributes: { tenant: owned } }) },
      ...(asked && { attributes: { tenant: asked } }),
    });
    it('is attributes.tenant, else the tenant of the resource', () => {
      expect(ask(set, request('acme')).decision).toBe('allow');
      expect(ask(set, request(undefined, 'acme')).decision).toBe('allow');
      expect(ask(set, request('acme', 'acme')).decision).toBe('allow');
    });
    it('denies with domain_conflict when both are given and differ', () => {
      expect(ask(set, request('acme', 'other'))).toMatchObject({
        decision: 'deny',
        reason: { code: 'domain_conflict' },
      });
    });
    it('is an error when neither is given, whatever the subject says of its own', () => {
      expect(ask(set, request(undefined, undefined, 'acme'))).toMatchObject({
        decision: 'deny',
        reason: { code: 'evaluation_error' },
        errors: [{ code: 'missing_binding' }],
      });
    });
  });

  it('a token that means nothing by its name is an attribute; missing, it is an error of the rules that read it', () => {
    const set = {
      model: model('r.sub == "root" || r.ip == p.ip', { r: 'sub, obj, act, ip', p: 'ip' }),
      rules: 'p, 10.0.0.1',
    };
    expect(ask(set, { subject: 'a', action: 'a', resource: 'r', attributes: { ip: '10.0.0.1' } }).decision).toBe(
      'allow',
    );
    expect(ask(set, { subject: 'root', action: 'a', resource: 'r' }).decision).toBe('allow');
    expect(ask(set, { subject: 'a', action: 'a', resource: 'r' })).toMatchObject({
      decision: 'deny',
      errors: [{ code: 'missing_attribute' }],
    });
  });

  describe('by the manifest', () => {
    const manifest = { request: { obj: '${resource.type}:${resource.id}', sub: 'subject.email' } };
    const set = { model: model('r.sub == p.sub && r.obj == p.obj'), rules: 'p, a@b, doc:1, read', manifest };
    it('puts texts together once and does not read them again', () => {
      const request = (type: string, id: string) => ({
        subject: { id: 'x', attributes: { email: 'a@b' } },
        action: 'read',
        resource: { type, id },
      });
      expect(ask(set, request('doc', '1')).decision).toBe('allow');
      expect(ask(set, request('doc', '${resource.type}')).decision).toBe('deny');
    });
    it('never makes an empty text of what is missing', () => {
      const answer = ask(set, { subject: 'x', action: 'read', resource: { type: 'doc', id: '1' } });
      expect(answer).toMatchObject({
        decision: 'deny',
        errors: [{ code: 'missing_binding', message: expect.stringContaining('subject.email') }],
      });
    });
    it('refuses a line that is neither a path nor a text with paths', () => {
      expect(
        problemsOf({ ...set, manifest: { request: { obj: 'resource', sub: 'user.id', act: '${action.name' } } }),
      ).toEqual([
        expect.stringContaining('bad_binding'),
        expect.stringContaining('bad_binding'),
        expect.stringContaining('bad_binding'),
      ]);
    });
  });
});

describe('entities', () => {
  const entities = `- { type: user, id: alice, attributes: { level: 3, team: red } }
- { type: service, id: alice, attributes: { level: 9 } }
- { type: user, id: bob, attributes: { level: 1 } }
`;
  const set = { model: model('r.sub.level >= 3', { p: 'x' }), rules: 'p, x', entities };
  const as = (subject: DecisionRequestInput['subject']) => ({ subject, action: 'a', resource: 'r' });

  it('give stored attributes to a request that names them', () => {
    expect(ask(set, as({ type: 'user', id: 'alice' })).decision).toBe('allow');
    expect(ask(set, as({ type: 'user', id: 'bob' })).decision).toBe('deny');
  });
  it('are found by id alone when there is only one', () => {
    expect(ask(set, as('bob'))).toMatchObject({ decision: 'deny', reason: { code: 'no_matching_rule' } });
    expect(ask(set, as('alice'))).toMatchObject({ decision: 'deny', errors: [{ code: 'ambiguous_entity' }] });
  });
  it('merge attribute by attribute; the stored one wins unless the manifest says request', () => {
    const bob = { type: 'user', id: 'bob', attributes: { level: 5 } };
    expect(ask(set, as(bob)).decision).toBe('deny');
    expect(ask({ ...set, manifest: { entities: { precedence: 'request' } } }, as(bob)).decision).toBe('allow');
  });
  it('stop the load with a hint when an id is no text, and when one is there twice', () => {
    const bad =
      '- { type: user, id: 101 }\n- { type: user, id: a }\n- { type: user, id: a }\n- { type: user, name: x }\n';
    expect(problemsOf({ ...set, entities: bad })).toEqual([
      'entities.yaml:1:21 wrong_type',
      'entities.yaml:3:3 duplicate_entity',
      'entities.yaml:4:3 missing_value',
      'entities.yaml:4:23 unknown_key',
    ]);
  });
});

describe('the strict loader', () => {
  it('tells all problems of all files at once, each with its place', () => {
    const options = {
      model: model('r.sub == p.sub && keyMatch9(r.obj, p.obj)'),
      rules: [
        { file: 'a.csv', text: 'p, alice, data\npp, bob, data, read' },
        { file: 'b.csv', text: 'p, carol, data, read, extra' },
      ],
      manifest: { lnt: {} },
    };
    expect(problemsOf(options)).toEqual([
      'a.csv:1:11 wrong_field_count',
      'a.csv:2:1 unknown_ptype',
      'b.csv:1:23 wrong_field_count',
      'model.conf:8:23 unknown_function',
      'policy-set.yaml:1:8 unknown_key',
    ]);
  });
  it('refuses each condition that does not parse by itself', () => {
    const set = {
      model: model('eval(p.cond) && r.sub == p.sub', { p: 'sub, cond' }),
      rules: 'p, alice, true) || (true\np, alice, 1 +',
    };
    expect(problemsOf(set)).toEqual(['policy.csv:1:15 condition_syntax', 'policy.csv:2:14 condition_syntax']);
  });
  it('refuses effects, patterns, cycles and empty policies', () => {
    expect(problemsOf({ model: model('r.sub == p.sub', { p: 'sub, eft' }), rules: 'p, a, Deny' })).toEqual([
      'policy.csv:1:7 unknown_effect',
    ]);
    expect(problemsOf({ model: model('regexMatch(r.sub, p.sub)', { p: 'sub' }), rules: 'p, (?=x)' })).toEqual([
      'policy.csv:1:4 bad_pattern',
    ]);
    expect(
      problemsOf({ model: model('g(r.sub, p.sub)', { p: 'sub', g: '_, _' }), rules: 'p, x\ng, a, b\ng, b, a' }),
    ).toEqual(['policy.csv:2:1 role_cycle']);
    expect(problemsOf({ model: model('r.sub == p.sub', { p: 'sub' }), rules: '' })).toEqual([
      'model.conf:8:5 empty_policy',
    ]);
    expect(
      problemsOf({ model: model('r.sub == p.sub', { p: 'sub' }), rules: '', manifest: { emptyPolicy: 'allowed' } }),
    ).toEqual([]);
  });
  it('refuses what does not fit its role definition, and says what of a role rule is not read', () => {
    const roles = { p: 'sub', g: '_, _' };
    expect(problemsOf({ model: model('g(r.sub, p.sub, r.obj)', roles), rules: 'p, x' })).toEqual([
      'model.conf:10:5 role_arity',
    ]);
    expect(problemsOf({ model: model('r.sub == p.sub', { p: 'sub', g: '_' }), rules: 'p, x' })).toEqual([
      'model.conf:6:5 role_arity',
    ]);
    expect(problemsOf({ model: model('g(r.sub, p.sub)', roles), rules: 'p, x\ng, a' })).toEqual([
      'policy.csv:2:4 wrong_field_count',
    ]);
    const set = compilePolicySet({
      model: model('g(r.sub, p.sub)', roles),
      rules: 'p, x\ng, a, x, acme',
      strict: true,
    });
    expect(set.problems).toMatchObject([{ severity: 'warning', code: 'unread_fields', line: 2, column: 10 }]);
  });
  it('says what was probably meant, and where a manifest says it', () => {
    const options = {
      model: model('g(r.sub, p.subb) && r.obj == p.obj', { g: '_, _' }),
      rules: 'p, alice, data, read',
      manifest: { file: 'policy-set.yaml', text: 'request:\n  objj: subject.id\nroleMatching:\n  g3: keyMatch\n' },
    };
    expect(hintsOf(options)).toEqual([
      'model.conf:10:14 unknown_column: did you mean "p.sub"?',
      'policy-set.yaml:2:3 unknown_token: did you mean "obj"?',
      'policy-set.yaml:4:3 unknown_definition: did you mean "g"?',
    ]);
    expect(hintsOf({ ...options, model: model('keymatch2(r.obj, p.obj)'), manifest: {} })).toEqual([
      'model.conf:8:5 unknown_function: did you mean "keyMatch2"?',
    ]);
    expect(
      problemsOf({ ...options, model: model('r.sub == p.sub && weekday("Mars/Base") < 6'), manifest: {} }),
    ).toEqual(['model.conf:8:23 bad_argument']);
  });
  it('downgrades a strict problem by its code, but nothing that the reference refuses', () => {
    const manifest = { lint: { unknown_effect: 'warn', wrong_field_count: 'warn' } };
    const options = { model: model('r.sub == p.sub', { p: 'sub, eft' }), rules: 'p, a, Deny', manifest };
    expect(problemsOf(options)).toEqual([]);
    expect(problemsOf({ ...options, rules: 'p, a' })).toEqual(['policy.csv:1:4 wrong_field_count']);
  });
});

describe('a column that plays a built-in part under another name', () => {
  const options = {
    model: model('r.sub == p.sub', { p: 'rank, sub, eft', e: 'priority(p.eft) || deny' }),
    rules: 'p, 10, alice, deny\np, 9, alice, allow',
  };
  it.each([
    ['no field index', undefined, 'deny'],
    ['an entry', { ptype: 'p', field: 'priority', index: 0 }, 'allow'],
    ['a list', [{ ptype: 'p', field: 'priority', index: 'rank' }], 'allow'],
    ['by field', { priority: 0 }, 'allow'],
    ['by definition and field', { p: { priority: 0 } }, 'allow'],
    ['another definition', { p2: { priority: 0 } }, 'deny'],
  ] as const)('is said by %s', (_form, fieldIndex, decision) => {
    expect(compilePolicySet({ ...options, fieldIndex }).enforce(['alice', 'x', 'y']).decision).toBe(decision);
  });
});

describe('the version', () => {
  it('is the digest of the texts and of nothing else', () => {
    const base = { model: model('r.sub == p.sub', { p: 'sub' }), rules: 'p, a' };
    const { version } = compilePolicySet(base);
    expect(version).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(compilePolicySet({ ...base, strict: true }).version).toBe(version);
    expect(compilePolicySet({ ...base, rules: [{ file: 'policy.csv', text: 'p, a' }] }).version).toBe(version);
    expect(compilePolicySet({ ...base, rules: 'p, a\n' }).version).not.toBe(version);
  });
});

describe('hasRole', () => {
  const set = {
    model: model('hasRole(r.sub.roles, p.sub) && r.obj == p.obj', { p: 'sub, obj', g: '_, _' }),
    rules: 'p, editor, doc\ng, chief, editor',
  };
  const as = (roles: unknown) => ({
    subject: { id: 's', attributes: { roles } as never },
    action: 'a',
    resource: 'doc',
  });
  it('is true when a role of the list is the role or reaches it', () => {
    expect(ask(set, as(['x', 'editor'])).decision).toBe('allow');
    expect(ask(set, as(['chief'])).decision).toBe('allow');
    expect(ask(set, as(['editors', 5, null])).decision).toBe('deny');
  });
  it('is an error of the rule when there is no list', () => {
    expect(ask(set, { subject: 's', action: 'a', resource: 'doc' }).errors[0]?.code).toBe('missing_attribute');
    expect(ask(set, as('editor')).errors[0]?.code).toBe('type_mismatch');
  });
});

describe('hostile requests', () => {
  it('an evaluation has a step budget', () => {
    const rules = Array.from({ length: 50 }, (_, index) => `p, r.sub.x == ${index}`).join('\n');
    const set = { model: model('eval(p.cond)', { p: 'cond' }), rules, manifest: { stepBudget: 20 } };
    const answer = ask(set, { subject: { id: 's', attributes: { x: 49 } }, action: 'a', resource: 'r' });
    expect(answer).toMatchObject({ decision: 'deny', errors: [{ code: 'step_budget_exceeded' }] });
  });
  it('nesting deeper than the stack is an error, not a crash', () => {
    const deep = (): never => {
      let value: unknown = 1;
      for (let level = 0; level < 100_000; level++) value = [value];
      return value as never;
    };
    const set = { model: model('r.sub.a == r.sub.b', { p: 'x' }), rules: 'p, x' };
    const answer = ask(set, { subject: { id: 's', attributes: { a: deep(), b: deep() } }, action: 'a', resource: 'r' });
    expect(answer).toMatchObject({ decision: 'deny', errors: [{ code: 'nested_too_deep' }] });
  });
  it('a condition that evaluates itself ends', () => {
    const set = { model: model('eval(p.cond)', { p: 'cond' }), rules: 'p, eval(p.cond)' };
    expect(ask(set, { subject: 's', action: 'a', resource: 'r' }).errors[0]?.code).toBe('eval_too_deep');
  });
});

describe('a name with a control character or half of a character', () => {
  const set = compilePolicySet({ model: model('r.sub == r.sub', { p: 'x' }), rules: 'p, x' });
  const good = { subject: { type: 'user', id: 's' }, action: { name: 'a' }, resource: { type: 'doc', id: 'r' } };
  const places = ['/subject/type', '/subject/id', '/action/name', '/resource/type', '/resource/id'];

  it.each(places)('denies, as the service refuses it: %s', (pointer) => {
    const [, part, member] = pointer.split('/') as [string, keyof typeof good, string];
    for (const character of ['\u0000', '\u001f', '\u007f', '\u009f', '\ud83d']) {
      const request = { ...good, [part]: { ...good[part], [member]: `n${character}` } };
      const denied = { decision: 'deny', reason: { code: 'evaluation_error' }, obligations: [] };
      const wanted = { ...denied, errors: [{ code: 'control_character', pointer }] };
      expect(set.decide(request, { now: 0 })).toMatchObject(wanted);
      expect(set.decide(request, { now: 0, explain: 'full' })).toMatchObject(wanted);
    }
    for (const character of ['\u0020', '\u00a0', '\u{1f600}']) {
      const request = { ...good, [part]: { ...good[part], [member]: `n${character}` } };
      expect(set.decide(request, { now: 0 }).decision).toBe('allow');
    }
  });
});
