import { describe, expect, it } from 'vitest';
import { compilePolicySet, type Json } from '../../../src/engine.js';
import { evaluate, printed } from './expressions.js';

const asked = (list: Json, more: Json = null) => ({ request: { list, more }, rule: { condition: 'true' } });

describe('any, all and count', () => {
  it.each<[string, Json, string | Json]>([
    ['any(r.list, it > 2)', [1, 2, 3, 'x'], true],
    ['any(r.list, it > 2)', [1, 2], false],
    ['any(r.list, it > 2)', ['x', 3], 'error type_mismatch'],
    ['all(r.list, it > 2)', [3, 1, 'x'], false],
    ['all(r.list, it > 2)', [3, 'x', 1], 'error type_mismatch'],
    ['all(r.list, it > 2)', [], true],
    ['count(r.list, it > 2) == 2', [3, 1, 4], true],
    ['count(r.list, it > 2)', [3, 'x'], 'error type_mismatch'],
    ['any(r.list, it)', [true], true],
    ['any(r.list, it == ())', [null], true],
    ['any(r.list, it.a.b == 1)', [{ a: { b: 0 } }, { a: { b: 1 } }], true],
    ['any(r.list, it.a == 1)', [{ b: 1 }], 'error missing_attribute'],
    ['any(r.list, has(it.a) && it.a == 1)', [{ b: 1 }, { a: 1 }], true],
    ['all(r.list, has(it.a))', ['text', { a: 1 }], false],
    ['any(r.list, it in ("a", "b"))', ['c', 'b'], true],
    ['any(r.list, keyMatch("/x/1", it))', ['/y/*', '/x/*'], true],
    ['any(["a", "b"], it == r.list)', 'b', true],
    ['any(("a", "b"), it == r.list)', 'b', true],
    ['any(r.list, it == 1) && !any(r.list, it == 2)', [1, 3], true],
    ['any(r.list, it == 1)', null, 'error type_mismatch'],
    ['any(r.list, it == 1)', { a: 1 }, 'error type_mismatch'],
    ['any(r.list, it == "a")', 'a', 'error type_mismatch'],
  ])('%s of %j', (text, list, wanted) => {
    const answer = evaluate(text, asked(list));
    if (typeof wanted === 'string') expect(answer).toEqual({ error: wanted });
    else expect(answer).toMatchObject({ value: wanted });
  });

  it.each([
    ['any()', 'any() wants a list and a condition on "it": any(r.sub.groups, it == "staff")'],
    ['any(r.sub)', 'any() wants a list and a condition on "it": any(r.sub.groups, it == "staff")'],
    ['all(r.sub, true, false)', 'all() wants a list and a condition on "it": all(r.sub.groups, it == "staff")'],
    ['any(r.sub, all(r.obj, it == 1))', 'any(), all() and count() do not nest'],
    ['any(r.sub, it())', 'unknown function it'],
    ['any', 'the expression ends too early'],
    ['any ["a"]', '"[" may not stand after "any": lists have no index'],
    ['r.sub.groups[0]', '"[" may not stand after "r.sub.groups": lists have no index'],
    ['("a"]', '"]" closes "("'],
    ['["a")', '")" closes "["'],
    ['["a", "b"', 'an opening bracket is not closed'],
    ['"a"]', 'a closing bracket without an opening one'],
    ['["a",]', '"]" may not stand after ","'],
  ])('%s is refused', (text, message) => {
    expect(printed(text)).toBe(message);
  });

  it.each([
    'any(r.sub.groups, it.name == "x" && !(it.level < 3))',
    'count(("a", "b"), it == r.sub) >= 1',
    'all(["a"], it == r.sub) || r.act in ("read")',
    'size([]) == 0 && subset([r.sub, "b"], r.obj.names)',
  ])('%s is printed so that it means the same', (text) => {
    expect(printed(printed(text))).toBe(printed(text));
  });

  it('in each other are refused, however deep', () => {
    for (const depth of [2, 1_000]) {
      const text = `${'any('.repeat(depth)}r.sub${', true)'.repeat(depth)}`;
      expect(printed(text)).toMatch(depth === 2 ? /^any\(any/ : /more than 200 nested parentheses/);
    }
  });

  it.each([
    ['contains([r.list], "a")', 'a', true],
    ['contains([r.list], "a")', 'bab', false],
    ['contains([true], r.list)', true, true],
    ['size([r.list])', 'abc', 1],
    ['regexMatch(r.list, "^[r.]+$")', 'r.r', true],
    ['regexMatch(r.list, "^[r.]+$")', 'r_r', false],
    ['r.list in [r.more, "a"]', 'a', true],
  ] as [string, Json, Json][])(
    '%s of %j: a bracket begins a list, and one in a text is a part of it',
    (text, list, wanted) => {
      for (const isCondition of [false, true])
        expect(evaluate(text, { ...asked(list), isCondition })).toMatchObject({ value: wanted });
    },
  );

  it('"it" outside of them is an unknown column', () => {
    expect(evaluate('it == 1', asked([]))).toEqual({ error: 'flaw unknown_column' });
    expect(evaluate('any(r.list, it == 1) || it == 2', asked([]))).toEqual({ error: 'flaw unknown_column' });
  });

  it('no text of a request becomes a condition by way of an item (P1)', () => {
    expect(evaluate('any(r.list, eval(it))', asked(['true']))).toEqual({ error: 'flaw eval_of_request' });
    expect(evaluate('any(("true"), eval(it + ""))', asked([]))).toEqual({ error: 'flaw eval_of_request' });
  });

  it('P2, P3: each item costs its condition, and too many of them end the evaluation', () => {
    const list = Array.from({ length: 1_000 }, (_, n) => n);
    const few = evaluate('count(r.list, it >= 0)', { ...asked(list.slice(0, 10)) });
    const many = evaluate('count(r.list, it >= 0)', { ...asked(list) });
    if (!('value' in few) || !('value' in many)) throw new Error('no value');
    expect(many.stepsUsed).toBeGreaterThan(50 * few.stepsUsed);
    expect(evaluate('count(r.list, it >= 0)', { ...asked(list), steps: 1_000 })).toEqual({ error: 'budget' });
  });

  it('a function that the embedding program calls any stays its own', () => {
    const functions = { any: (list: Json, text: Json) => `${(list as Json[]).length}${text}` };
    expect(evaluate('any(r.list, "x") == "2x"', { ...asked([1, 2]), functions })).toMatchObject({ value: true });
  });
});

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, act, condition
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub.type == p.sub && r.act == p.act && eval(p.condition)
`;

it('conditions of rules ask items, and a condition that another runs has items of its own', () => {
  const set = compilePolicySet({
    model: model.replace('eval(p.condition)', 'any(r.obj.parts, it != "x" && eval(p.condition) && it == "b")'),
    rules: 'p, user, read, "any(r.obj.approvers, it.id == r.sub.id)"',
  });
  const ask = (approver: string, parts: Json) =>
    set.decide(
      {
        subject: { type: 'user', id: 'ann' },
        action: { name: 'read' },
        resource: { type: 'doc', id: '1', attributes: { approvers: [{ id: approver }], parts } },
      },
      { now: 0 },
    ).decision;
  expect(ask('ann', ['x', 'b'])).toBe('allow');
  expect(ask('ann', ['x', 'c'])).toBe('deny');
  expect(ask('bob', ['x', 'b'])).toBe('deny');
});

it('a list in brackets is one in a matcher with the letters "in", too', () => {
  const set = compilePolicySet({
    model: model.replace('eval(p.condition)', 'r.obj in [r.sub.main, "b"]'),
    rules: 'p, user, read, true',
  });
  const ask = (resource: string) =>
    set.decide(
      {
        subject: { type: 'user', id: 'ann', attributes: { main: 'a' } },
        action: { name: 'read' },
        resource: { type: 'doc', id: resource },
      },
      { now: 0 },
    ).decision;
  expect(['a', 'b', 'c'].map(ask)).toEqual(['allow', 'allow', 'deny']);
});
