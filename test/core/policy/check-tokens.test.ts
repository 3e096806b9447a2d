/** `tokens` of a manifest: what is read and not declared would be missing for ever, and nobody would be told. */
import { describe, expect, it } from 'vitest';
import { formatProblem } from '../../../src/core/problem.js';
import { type CompileOptions, compilePolicySet, PolicyError } from '../../../src/engine.js';

const model = (matcher: string, request = 'sub, obj, act') => `[request_definition]
r = ${request}
[policy_definition]
p = sub, obj, act, cond
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;
const plain = 'r.sub == p.sub && r.obj == p.obj && r.act == p.act';
const rules = 'p, ann, doc, read, true\n';
const user = 'tokens: { user: { audience: shop } }\n';

function problemsOf(options: Partial<CompileOptions>): string[] {
  try {
    const all = { model: model(plain), rules, manifest: user, strict: true, ...options };
    return compilePolicySet(all).problems.map(formatProblem);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map(formatProblem);
  }
}

describe('tokens that are declared', () => {
  it.each([
    ['an audience', 'tokens: { user: { audience: shop } }'],
    ['several audiences and issuers', 'tokens: { user: { audience: [a, b], issuer: ["https://a.example"] } }'],
    ['claims', 'tokens: { user: { audience: shop, claims: [sub, roles] } }'],
    [
      'claims under other names',
      'tokens: { user: { audience: shop, claims: { roles: "https://shop.example/roles" } } }',
    ],
    [
      'eight of them',
      `tokens: { ${'abcdefgh'
        .split('')
        .map((name) => `${name}: { audience: x }`)
        .join(', ')} }`,
    ],
  ])('load with %s', (_what, manifest) => {
    expect(problemsOf({ manifest })).toEqual([]);
  });

  it.each([
    ['none', 'tokens: {}', 'missing_value'],
    ['a list', 'tokens: [user]', 'wrong_type'],
    ['no audience', 'tokens: { user: {} }', 'missing_value'],
    ['an empty audience', 'tokens: { user: { audience: "" } }', 'missing_value'],
    ['an empty list of audiences', 'tokens: { user: { audience: [] } }', 'missing_value'],
    ['a number for an audience', 'tokens: { user: { audience: 7 } }', 'wrong_type'],
    ['an empty list of issuers', 'tokens: { user: { audience: x, issuer: [] } }', 'missing_value'],
    ['no claims', 'tokens: { user: { audience: x, claims: [] } }', 'missing_value'],
    ['a claim twice', 'tokens: { user: { audience: x, claims: [sub, sub] } }', 'wrong_value'],
    ['a claim called __proto__', 'tokens: { user: { audience: x, claims: ["__proto__"] } }', 'wrong_value'],
    ['an unknown key', 'tokens: { user: { audience: x, algorithm: HS256 } }', 'unknown_key'],
    ['a name that no matcher reads', 'tokens: { "my-user": { audience: x } }', 'wrong_value'],
    [
      'nine of them',
      `tokens: { ${'abcdefghi'
        .split('')
        .map((name) => `${name}: { audience: x }`)
        .join(', ')} }`,
      'wrong_value',
    ],
    ['stock Casbin', `${user}engine: casbin`, 'unsupported_by_stock_casbin'],
    ['local decisions', `${user}local: allowed`, 'tokens_not_local'],
  ])('do not load with %s', (_what, manifest, code) => {
    expect(problemsOf({ manifest })).toEqual([expect.stringContaining(code)]);
  });

  it('cannot be read from elsewhere by the name of the column', () => {
    const own = {
      model: model(plain, 'sub, obj, act, token'),
      manifest: `${user}request: { token: attributes.token }`,
    };
    expect(problemsOf(own)).toEqual([expect.stringMatching(/^policy-set\.yaml:2:\d+: error ambiguous_binding/)]);
  });
});

describe('what is read of tokens', () => {
  it.each([
    ['a declared one', `${plain} && r.token.user.level > 2`, user],
    ['a declared claim', `${plain} && r.token.user.level > 2`, 'tokens: { user: { audience: x, claims: [level] } }'],
    ['all claims at once', `${plain} && has(r.token.user)`, 'tokens: { user: { audience: x, claims: [level] } }'],
  ])('loads where it is %s', (_what, matcher, manifest) => {
    expect(problemsOf({ model: model(matcher), manifest })).toEqual([]);
  });

  it.each([
    ['another token', `${plain} && r.token.usr.level > 2`, user, 'undeclared_token'],
    ['another token, asked for alone', `${plain} && has(r.token.usr)`, user, 'undeclared_token'],
    [
      'another claim',
      `${plain} && r.token.user.lvel > 2`,
      'tokens: { user: { audience: x, claims: [level] } }',
      'undeclared_claim',
    ],
  ])('stops the load where it is %s, at its place', (_what, matcher, manifest, code) => {
    const [problem = '', ...others] = problemsOf({ model: model(matcher), manifest });
    expect(others).toEqual([]);
    expect(problem).toMatch(new RegExp(`^model\\.conf:8:\\d+: error ${code}`));
  });

  it('stops the load in a condition of a rule', () => {
    const own = { model: model(`${plain} && eval(p.cond)`), rules: 'p, ann, doc, read, r.token.usr.level > 2\n' };
    expect(problemsOf(own)).toEqual([expect.stringMatching(/^policy\.csv:1:20: error undeclared_token/)]);
  });

  it.each([
    ['of a set that declares none', 'request: { sub: token.user.sub }', 'undeclared_token'],
    ['of another token', `${user}request: { sub: token.usr.sub }`, 'undeclared_token'],
    [
      'of another claim',
      'tokens: { user: { audience: x, claims: [sub] } }\nrequest: { sub: token.user.id }',
      'undeclared_claim',
    ],
    ['without a claim', `${user}request: { sub: token.user }`, 'bad_binding'],
    ['in a template', `${user}request: { sub: "x:\${token.usr.sub}" }`, 'undeclared_token'],
  ])('stops the load in a binding %s', (_what, manifest, code) => {
    expect(problemsOf({ manifest })).toEqual([expect.stringContaining(code)]);
  });

  it('is held against the schema', () => {
    const schema = 'tokens: { user: { type: object, properties: { level: { type: integer } } } }';
    expect(problemsOf({ schema, model: model(`${plain} && r.token.user.level > 2`) })).toEqual([]);
    expect(problemsOf({ schema, model: model(`${plain} && r.token.user.lvel > 2`) })).toEqual([
      expect.stringMatching(/^model\.conf:8:\d+: error unknown_attribute: r\.token\.user\.lvel is no claim/),
    ]);
    expect(problemsOf({ schema, manifest: `${user}request: { sub: token.user.sub }` })).toEqual([
      expect.stringContaining('unknown_attribute'),
    ]);
    expect(problemsOf({ schema, model: model(`${plain} && r.token.user.level == "high"`) })).toEqual([
      expect.stringMatching(/^model\.conf:8:\d+: error /),
    ]);
  });

  it('is anything where the schema does not describe the token', () => {
    const manifest = 'tokens: { user: { audience: x }, service: { audience: x } }';
    const schema = 'tokens: { user: { properties: { level: { type: integer } } } }';
    expect(problemsOf({ manifest, schema, model: model(`${plain} && r.token.service.name == "crm"`) })).toEqual([]);
  });

  it('is not described where it is not declared', () => {
    expect(problemsOf({ schema: 'tokens: { usr: { type: object } }' })).toEqual([
      expect.stringMatching(/^schema\.yaml:1:1: error undeclared_token/),
    ]);
  });

  it('has masks that name claims', () => {
    expect(
      problemsOf({ manifest: `${user}decisionLog: { mask: [/tokens/user/email], drop: [/tokens/user] }` }),
    ).toEqual([]);
    expect(problemsOf({ manifest: `${user}decisionLog: { mask: [/tokens] }` })).toEqual([
      expect.stringContaining('bad_pointer'),
    ]);
  });
});
