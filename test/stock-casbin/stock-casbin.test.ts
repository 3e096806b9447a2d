import { afterEach, describe, expect, it } from 'vitest';
import type { StockSet } from '../../src/stock-casbin/messages.js';
import { defaultStockCasbinLimits, StockCasbin, type StockCasbinLimits } from '../../src/stock-casbin/stock-casbin.js';

const running: StockCasbin[] = [];

function stock(limits: Partial<StockCasbinLimits> = {}): StockCasbin {
  const started = new StockCasbin({ ...defaultStockCasbinLimits, ...limits });
  running.push(started);
  return started;
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((started) => started.stop()));
});

function set(matcher: string, rules: string, more: Partial<StockSet> = {}): StockSet {
  const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = ${matcher}
`;
  return { key: 'v1', model, rules, definitions: { r: 'r', p: 'p', e: 'e', m: 'm' }, roleMatching: [], ...more };
}

const rbac = set(
  'g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act',
  'p, manager, invoice, approve, allow\np, intern, invoice, approve, deny\ng, alice, manager\ng, bob, manager\ng, bob, intern\n',
);
/** Never returns for `/:/`. */
const endless = set('keyMatch2(r.obj, p.obj)', 'p, anyone, /:/, read, allow\n', { key: 'endless' });
const question = (subject: string) => [subject, 'invoice', 'approve'];

describe('stock Casbin in its thread', () => {
  it('answers with the rule that it names', async () => {
    const casbin = stock();
    await casbin.load(rbac);
    expect(await casbin.enforce('v1', question('alice'))).toEqual({
      kind: 'answer',
      allowed: true,
      rule: ['manager', 'invoice', 'approve', 'allow'],
      effect: 'allow',
    });
    expect(await casbin.enforce('v1', question('bob'))).toEqual({
      kind: 'answer',
      allowed: false,
      rule: ['intern', 'invoice', 'approve', 'deny'],
      effect: 'deny',
    });
    expect(await casbin.enforce('v1', question('carol'))).toEqual({ kind: 'answer', allowed: false, rule: [] });
  });

  it('takes a set without rules, other definitions and role patterns', async () => {
    const casbin = stock();
    const model = `[request_definition]
r = sub, obj
r2 = sub, obj
[policy_definition]
p = sub, obj
p2 = sub, obj
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
e2 = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj
m2 = r2.sub == p2.sub && g(r2.obj, p2.obj)
`;
    await casbin.load({
      key: 'two',
      model,
      rules: 'p2, alice, books\ng, /book/:id, books',
      definitions: { r: 'r2', p: 'p2', e: 'e2', m: 'm2' },
      roleMatching: [{ definition: 'g', of: 'names', function: 'keyMatch2' }],
    });
    await casbin.load({ ...rbac, key: 'empty', rules: '' });
    expect(await casbin.enforce('two', ['alice', '/book/1'])).toMatchObject({ allowed: true });
    expect(await casbin.enforce('empty', question('alice'))).toMatchObject({ allowed: false });
  });

  it('refuses a set that it cannot load, with the reason', async () => {
    const casbin = stock();
    await expect(casbin.load({ ...rbac, model: 'nonsense' })).rejects.toThrow(/./);
    await expect(casbin.load({ ...rbac, rules: 'p, data(1, x, y, allow' })).rejects.toThrow(/brackets/);
    expect(await casbin.enforce('v1', question('alice'))).toMatchObject({
      kind: 'failure',
      code: 'stock_casbin_error',
    });
  });

  it('reports what stock Casbin throws', async () => {
    const casbin = stock();
    await casbin.load(set('r.sub.dept.name == p.sub', 'p, sales, x, y, allow\n'));
    const answer = await casbin.enforce('v1', [{ id: 'alice' }, 'x', 'y']);
    expect(answer).toMatchObject({
      kind: 'failure',
      code: 'stock_casbin_error',
      message: expect.stringContaining('name'),
    });
  });

  it('ends an evaluation that never would, and answers the others from a new thread', async () => {
    const casbin = stock({ evaluationMs: 200 });
    await casbin.load(endless);
    await casbin.load(rbac);
    const answers = await Promise.all([
      casbin.enforce('v1', question('alice')),
      casbin.enforce('endless', ['x', '/a/b', 'read']),
      casbin.enforce('v1', question('alice')),
      casbin.enforce('v1', question('carol')),
    ]);
    expect(answers.map((answer) => (answer.kind === 'answer' ? answer.allowed : answer.code))).toEqual([
      true,
      'stock_casbin_timeout',
      true,
      false,
    ]);
    expect(casbin.replaced).toBe(1);
  });

  it('does not let a question wait longer than an answer may take', async () => {
    const casbin = stock({ evaluationMs: 30_000, answerMs: 150 });
    await casbin.load(endless);
    const first = casbin.enforce('endless', ['x', '/a/b', 'read']);
    const second = casbin.enforce('endless', ['x', '/a/b', 'read']);
    expect(await first).toMatchObject({ code: 'stock_casbin_timeout' });
    expect(await second).toMatchObject({ code: 'stock_casbin_timeout' });
  });

  it('ends when it wants more memory than it may have, and goes on in a new thread', async () => {
    const casbin = stock({ memoryMb: 32, loadMs: 60_000 });
    await casbin.load(rbac);
    const rules = Array.from({ length: 400_000 }, (_, i) => `p, user${i}, data${i}, read, allow`).join('\n');
    await expect(casbin.load({ ...rbac, key: 'huge', rules })).rejects.toThrow('ran out of memory');
    expect(await casbin.enforce('v1', question('alice'))).toMatchObject({ allowed: true });
  });

  it('lets so many wait, and not one more', async () => {
    const casbin = stock({ queue: 2 });
    await casbin.load(rbac);
    // One is being answered while two wait.
    const answers = await Promise.all(
      ['alice', 'alice', 'alice', 'alice'].map((name) => casbin.enforce('v1', question(name))),
    );
    expect(answers.map((answer) => (answer.kind === 'answer' ? answer.allowed : answer.code))).toEqual([
      true,
      true,
      true,
      'stock_casbin_overloaded',
    ]);
  });

  it('answers everything when it stops', async () => {
    const casbin = stock();
    await casbin.load(rbac);
    const answers = Promise.all(['alice', 'bob'].map((name) => casbin.enforce('v1', question(name))));
    await casbin.stop();
    for (const answer of await answers) expect(answer).toMatchObject({ code: 'stock_casbin_stopped' });
    expect(await casbin.enforce('v1', question('alice'))).toMatchObject({ code: 'stock_casbin_stopped' });
  });
});
