import { afterEach, describe, expect, it } from 'vitest';
import { PolicyError } from '../../src/core/problem.js';
import type { DecisionRequest } from '../../src/core/request.js';
import { type LoadedPolicySet, loadPolicySet } from '../../src/policy-store/load-policy-set.js';

const running: LoadedPolicySet[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((loaded) => loaded.stop()));
});

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft, reason, obligations
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && r.obj.kind == p.obj && r.act == p.act
`;
const rules = `# who may approve
p, manager, invoice, approve, allow, , "[""notify"",""log""]"
p, intern, invoice, approve, deny, interns learn first,
g, alice, manager
g, bob, manager
g, bob, intern
`;

async function load(texts: Record<string, string>, manifest = ''): Promise<LoadedPolicySet> {
  const files = Object.entries({ 'policy-set.yaml': `engine: casbin\n${manifest}`, ...texts });
  const loaded = await loadPolicySet({
    name: 'stock',
    files: files.map(([path, text]) => ({ path, bytes: Buffer.from(text) })),
  });
  running.push(loaded);
  return loaded;
}

const request = (subject: string, kind?: string): DecisionRequest => ({
  subject: { id: subject },
  action: { name: 'approve' },
  resource: { id: '42', ...(kind !== undefined && { attributes: { kind } }) },
});

const ask = async ({ served }: LoadedPolicySet, asked: DecisionRequest) =>
  served.evaluate(asked, { now: 0, explain: 'brief' });

async function problemsOf(loading: Promise<unknown>): Promise<readonly string[]> {
  try {
    await loading;
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map(({ code, message }) => `${code}: ${message}`);
  }
}

describe('a policy set with "engine: casbin"', () => {
  it('answers like any other: decision, rule with its place, reason and obligations', async () => {
    const set = await load({ 'model.conf': model, 'rules.csv': rules });
    expect(set.served.engine).toBe('casbin');
    expect(await ask(set, request('alice', 'invoice'))).toEqual({
      decision: 'allow',
      reason: {
        code: 'rule_allowed',
        rule: ['p', 'manager', 'invoice', 'approve', 'allow', '', '["notify","log"]'],
        file: 'rules.csv',
        line: 2,
      },
      obligations: ['notify', 'log'],
      errors: [],
    });
    expect(await ask(set, request('bob', 'invoice'))).toMatchObject({
      decision: 'deny',
      reason: { code: 'rule_denied', line: 3, message: 'interns learn first' },
    });
    expect(await ask(set, request('carol', 'invoice'))).toEqual({
      decision: 'deny',
      reason: { code: 'no_matching_rule' },
      obligations: [],
      errors: [],
    });
  });

  it('takes bindings and entities from its other files', async () => {
    const set = await load(
      {
        'model.conf': model,
        'rules.csv': rules,
        'entities.yaml': "- { type: bill, id: '42', attributes: { kind: invoice } }",
      },
      'request: { sub: subject.login }\n',
    );
    const subject = { id: '1', attributes: { login: 'alice' } };
    expect(await ask(set, { ...request(''), subject })).toMatchObject({ decision: 'allow' });
    expect(await ask(set, request('alice'))).toMatchObject({
      decision: 'deny',
      reason: { code: 'evaluation_error' },
      errors: [{ code: 'missing_binding' }],
    });
  });

  it('names no rule where none was read', async () => {
    const open = model.replace(/^e = .*/m, 'e = !some(where (p.eft == deny))').replace(/^m = .*/m, 'm = r.sub == "x"');
    const set = await load({ 'model.conf': open, 'rules.csv': rules });
    expect(await ask(set, request('alice', 'invoice'))).toMatchObject({
      decision: 'allow',
      reason: { code: 'allowed_by_default' },
    });
  });

  it('denies what stock Casbin throws for', async () => {
    const deep = model.replace('r.obj.kind', 'r.obj.kind.name');
    const set = await load({ 'model.conf': deep, 'rules.csv': rules });
    expect(await ask(set, request('alice'))).toMatchObject({
      decision: 'deny',
      reason: { code: 'evaluation_error' },
      errors: [{ code: 'stock_casbin_error' }],
    });
  });

  it('denies when an evaluation never ends, and answers the next request', { timeout: 20_000 }, async () => {
    const endless = model.replace('r.obj.kind == p.obj', 'keyMatch2(r.obj, p.obj)');
    const set = await load(
      { 'model.conf': endless, 'rules.csv': `${rules}p, carol, /:/, approve, allow, ,\n` },
      'lint: { bad_pattern: warn }\n',
    );
    expect(await ask(set, { ...request('carol'), resource: { id: '/a/b' } })).toMatchObject({
      decision: 'deny',
      errors: [{ code: 'stock_casbin_timeout' }],
    });
    expect(await ask(set, { ...request('alice'), resource: { id: 'invoice' } })).toMatchObject({ decision: 'allow' });
  });

  it('does not load what stock Casbin cannot run, and says all that is in the way', async () => {
    const own = model.replace(/^m = .*/m, 'm = hasRole(r.sub.roles, p.sub) && has(r.obj.kind)');
    expect(await problemsOf(load({ 'model.conf': own, 'rules.csv': rules }))).toEqual([
      'unsupported_by_stock_casbin: stock Casbin has no function hasRole',
      'unsupported_by_stock_casbin: stock Casbin has no function has',
    ]);
    const items = model.replace(/^m = .*/m, 'm = r.act == p.act && !any(r.obj.banned, it == r.sub)');
    expect(await problemsOf(load({ 'model.conf': items, 'rules.csv': rules }))).toEqual([
      'unsupported_by_stock_casbin: stock Casbin has no function any',
    ]);
    const [problem, ...others] = await problemsOf(
      load({ 'model.conf': model, 'rules.csv': `${rules}p, data(1, x, y, allow, ,\n` }),
    );
    expect(problem).toMatch(/^unsupported_by_stock_casbin: stock Casbin does not load this set: Unmatched brackets/);
    expect(others).toEqual([]);
  });

  it('is checked as strictly as any other', async () => {
    const [problem] = await problemsOf(load({ 'model.conf': model, 'rules.csv': `${rules}p, x, y\n` }));
    expect(problem).not.toMatch(/unsupported_by_stock_casbin/);
    expect(problem).toBeDefined();
  });
});
