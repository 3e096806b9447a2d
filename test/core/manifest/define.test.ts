import { describe, expect, it } from 'vitest';
import { compilePolicySet, PolicyError, type PolicySet } from '../../../src/engine.js';

const model = (matcher: string): string => `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, act, condition
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;

const byCondition = 'g(r.sub, p.sub) && r.act == p.act && eval(p.condition)';

function load(define: string, matcher = byCondition, rules = 'p, ann, read, true'): PolicySet {
  return compilePolicySet({ model: model(matcher), rules, manifest: `define: ${define}\n`, strict: true });
}

function problemsOf(define: string, matcher?: string, rules?: string): string[] {
  try {
    load(define, matcher, rules);
    return [];
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map(
      ({ file, line, column, code, message }) => `${file}:${line}:${column} ${code}: ${message}`,
    );
  }
}

function decide(set: PolicySet, attributes: Record<string, string | number>): string {
  const request = { subject: 'ann', action: 'read', resource: { type: 'doc', id: '1', attributes } };
  return set.decide(request, { now: 0 }).decision;
}

describe('names that the manifest defines', () => {
  it('stand for values and conditions, in matchers, in conditions and in each other', () => {
    const define =
      '{ most: 10, open: [draft, review], isOwn: "r.obj.owner == r.sub.id", mayRead: "isOwn || r.obj.state in open" }';
    for (const set of [
      load(define, `${byCondition} && r.obj.size <= most`, 'p, ann, read, mayRead'),
      load(define, 'g(r.sub, p.sub) && r.act == p.act && mayRead && r.obj.size <= most'),
    ]) {
      expect(decide(set, { owner: 'ann', state: 'final', size: 10 })).toBe('allow');
      expect(decide(set, { owner: 'bob', state: 'draft', size: 10 })).toBe('allow');
      expect(decide(set, { owner: 'bob', state: 'final', size: 10 })).toBe('deny');
      expect(decide(set, { owner: 'ann', state: 'final', size: 11 })).toBe('deny');
    }
  });

  it('bind as a whole: no operator outside of a name reaches into it', () => {
    const set = load('{ either: "r.obj.a == 1 || r.obj.a == 2" }', 'r.act == p.act && !either && r.sub == p.sub');
    expect([1, 2, 3].map((a) => decide(set, { a }))).toEqual(['deny', 'deny', 'allow']);
  });

  it('may run the condition of the rule, and ask items of lists', () => {
    const set = load(
      '{ holds: "eval(p.condition)", any2: "count((1, 2, 3), it >= r.obj.a) >= 2" }',
      'g(r.sub, p.sub) && r.act == p.act && holds',
      'p, ann, read, any2',
    );
    expect([2, 3].map((a) => decide(set, { a }))).toEqual(['allow', 'deny']);
  });

  it('are written out in an explanation, and never change the version of the rules that use them by themselves', () => {
    const set = load('{ isOwn: "r.obj.owner == r.sub.id" }', undefined, 'p, ann, read, isOwn');
    const { explanation } = set.decide(
      { subject: 'ann', action: 'read', resource: { type: 'doc', id: '1', attributes: { owner: 'bob' } } },
      { now: 0, explain: 'full' },
    );
    expect(JSON.stringify(explanation)).toContain('r.obj.owner == r.sub.id');
  });

  it.each<[string, string[]]>([
    ['{ a: "1 <" }', ['policy-set.yaml:1:11 definition_syntax: define.a: the expression ends too early (character 4)']],
    ['{ a: b, b: a }', ['policy-set.yaml:1:17 definition_syntax: define.b: it is defined by itself']],
    ['{ a: a }', ['policy-set.yaml:1:11 definition_syntax: define.a: it is defined by itself']],
    ['{ a: nosuch(1) }', ['policy-set.yaml:1:11 unknown_function: define.a: unknown function nosuch']],
    ['{ in: 1 }', ['policy-set.yaml:1:15 bad_definition: "in" cannot be defined']],
    ['{ size: 1 }', ['policy-set.yaml:1:17 bad_definition: "size" cannot be defined']],
    ['{ g: 1 }', ['policy-set.yaml:1:14 bad_definition: "g" cannot be defined']],
    ['{ r_sub: 1 }', ['policy-set.yaml:1:18 bad_definition: "r_sub" cannot be defined']],
    ['{ "a b": 1 }', ['policy-set.yaml:1:18 bad_definition: "a b" cannot be defined']],
    ['{ a: 2099-03-01 }', [expect.stringContaining('bad_definition: define.a would be calculated')]],
    ['{ a: { b: 1 } }', [expect.stringContaining('wrong_type: define.a must be an expression in a text')]],
    ['{ a: [[1]] }', [expect.stringContaining('wrong_type: define.a must be')]],
    ['[1]', [expect.stringContaining('wrong_type: define must be a mapping')]],
  ])('%s is refused with its place', (define, wanted) => {
    expect(problemsOf(define, undefined, 'p, ann, read, "true"')).toEqual(wanted);
  });

  it('that are misspelled are named, and one that reads an unknown column is told where it is used', () => {
    expect(problemsOf('{ isOwner: "true" }', undefined, 'p, ann, read, isOwnr')).toEqual([
      expect.stringMatching(/^policy\.csv:1:15 unknown_column: there is no column isOwnr/),
    ]);
    expect(problemsOf('{ isOwner: "r.who == 1" }', undefined, 'p, ann, read, isOwner')).toEqual([
      expect.stringMatching(/^policy\.csv:1:15 unknown_column: there is no column r\.who/),
    ]);
  });

  it('that double at each step are refused, promptly', () => {
    const names = Array.from(
      { length: 40 },
      (_, n) => `n${n}: "${n === 0 ? 'r.obj.a == 1' : `n${n - 1} && n${n - 1}`}"`,
    );
    const [first] = problemsOf(`{ ${names.join(', ')} }`, undefined, 'p, ann, read, n39');
    expect(first).toContain('more than 200 words and operators');
    const wide = `{ some: "${Array(40).fill('r.obj.a == 1').join(' && ')}" }`;
    const many = Array(10).fill('some').join(' && ');
    expect(problemsOf(wide, undefined, `p, ann, read, "${many}"`)).toEqual([
      expect.stringContaining('more than 1000 words and operators that its names stand for'),
    ]);
    const chain = Array.from({ length: 1_500 }, (_, n) => `n${n}: ${n === 0 ? 'true' : `n${n - 1}`}`);
    expect(problemsOf(`{ ${chain.reverse().join(', ')} }`)[0]).toContain('more than 100 names within names');
  });

  it('that hold a list are one, whose items are those of a list that it begins', () => {
    const asks = (matcher: string) => decide(load('{ quiet: [read, list] }', `r.sub == p.sub && ${matcher}`), {});
    expect(asks('r.act in (quiet, "c")')).toBe('allow');
    expect(asks('r.act in quiet')).toBe('allow');
    expect(asks('r.act in ("c", quiet)')).toBe('deny');
  });

  it('are found where they stand alone, and not in the names of attributes', () => {
    const set = load('{ age: "p.sub == r.sub" }', 'r.sub.age > 1 || r.act == "read"', '');
    expect(decide(set, {})).toBe('deny');
  });

  it('ask no items within items', () => {
    expect(problemsOf('{ some: "any(r.obj.a, it == 1)" }', undefined, 'p, ann, read, "any(r.obj.b, some)"')).toEqual([
      expect.stringContaining('any(), all() and count() do not nest'),
    ]);
  });
});
