/**
 * No value of a policy or a request makes a decision take more than linear time. Times on a shared machine are rough:
 * the limits are a hundred times what is needed, and far below what backtracking takes.
 */
import { describe, expect, it } from 'vitest';
import { compilePolicySet } from '../../src/engine.js';
import { processorMsOf } from '../processor-time.js';

const modelWith = (matcher: string, more = '') => `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
${more}[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;

const csv = (...fields: string[]) => fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(',');

/** The best of a few runs, so that compiling and collecting are not taken for the work. */
function quickest(work: () => void): number {
  return Math.min(...Array.from({ length: 5 }, () => processorMsOf(work)));
}

const long = 4_000;

const cases: [function_: string, pattern: string, name: (length: number) => string][] = [
  ['keyMatch2', '/*/*/*/*/b', (length) => '/'.repeat(length)],
  ['keyMatch2', '/*/*/*/*/b', (length) => '/a'.repeat(length / 2)],
  ['keyMatch2', '/*/*/*/*/*/*/*/*/b', (length) => '/a'.repeat(length / 2)],
  ['keyMatch2', '/:/', (length) => `/${'a'.repeat(length)}/`],
  ['keyMatch2', '/:a:b:c:d/x', (length) => `/${'a'.repeat(length)}`],
  ['keyMatch3', '/{', (length) => '/{'.repeat(length / 2)],
  ['keyMatch3', '/{a}{b}{c}{d}/x', (length) => `/${'a'.repeat(length)}`],
  ['keyMatch4', '/{a}/{a}/{a}/{a}', (length) => `/${'a'.repeat(length)}`.repeat(4)],
  ['keyMatch4', '/{a}-{b}-{a}-{b}-x', (length) => `/${'-'.repeat(length)}`],
  ['keyMatch5', '/*/*/*/*/b', (length) => '/a'.repeat(length / 2)],
  ['regexMatch', '(a+)+$', (length) => `${'a'.repeat(length)}!`],
  ['regexMatch', '(a|a)*b', (length) => 'a'.repeat(length)],
  ['regexMatch', '(.*)*(.*)*(.*)*x', (length) => 'a'.repeat(length)],
  ['regexMatch', '^(([a-z])+.)+[A-Z]([a-z])+$', (length) => 'a'.repeat(length)],
  ['globMatch', '*a*a*a*a*a*a*a*a*b', (length) => 'a'.repeat(length)],
  ['globMatch', '/**/a/**/a/**/a/**/b', (length) => '/a'.repeat(length / 2)],
  ['globMatch', '{a,{a,{a,{a,{a,b}}}}}*b', (length) => 'a'.repeat(length)],
  ['keyGet2', '/:a/:b/:c', (length) => '/a'.repeat(length / 2)],
  ['keyGet3', '/{a}{b}{c}', (length) => `/${'a'.repeat(length)}`],
];

describe('known bad patterns cost what their input is long', () => {
  it.each(cases)('%s with %s', (name, pattern, nameOf) => {
    const call = name.startsWith('keyGet') ? `${name}(r.obj, p.obj, "a") == "x"` : `${name}(r.obj, p.obj)`;
    const set = compilePolicySet({ model: modelWith(call), rules: csv('p', 'x', pattern, 'read') });
    const ask = (length: number) => () => void set.enforce(['x', nameOf(length), 'read']);
    ask(long)();
    expect(quickest(ask(long))).toBeLessThan(150);
    // Ten times as long takes some ten times as long; quadratic would be a hundred.
    // RE2 takes a slower way for long texts, so both are long; what takes no time at all is not compared.
    const [short, tenfold] = [quickest(ask(10 * long)), quickest(ask(100 * long))];
    expect(tenfold).toBeLessThan(Math.max(40 * short, 100));
  });
});

describe('what is asked over and over is bounded', () => {
  it('roles that all lead to each other', () => {
    const links = Array.from({ length: 60 }, (_, a) =>
      Array.from({ length: 60 }, (_, b) => `g, n${a}, n${b}, d`),
    ).flat();
    const model = modelWith('g(r.sub, p.sub, r.obj)', '[role_definition]\ng = _, _, _\n');
    const set = compilePolicySet({ model, rules: [...links, 'p, nobody, x, y'].join('\n') });
    expect(quickest(() => set.enforce(['n0', 'd', 'read']))).toBeLessThan(150);
  });

  it('a condition that evaluates itself', () => {
    const model = modelWith('eval(p.obj)');
    const set = compilePolicySet({ model, rules: csv('p', 'x', 'eval(p.obj) || eval(p.obj)', 'y') });
    const answer = set.enforce(['x', 'y', 'z']);
    expect(answer.decision).toBe('deny');
    expect(answer.errors.length).toBeGreaterThan(0);
  });

  it('many rules that each search a long text', () => {
    const rules = Array.from({ length: 1_000 }, (_, n) => csv('p', 'x', `(a+)+${n}$`, 'y')).join('\n');
    const set = compilePolicySet({ model: modelWith('regexMatch(r.obj, p.obj)'), rules });
    const answer = set.enforce(['x', 'a'.repeat(100_000), 'y']);
    expect(answer.decision).toBe('deny');
  });

  it('a request nested as deep as a parser can make it', () => {
    const nested = (depth: number) => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);
    const set = compilePolicySet({ model: modelWith('r.sub == r.obj'), rules: csv('p', 'x', 'y', 'z') });
    const answer = set.enforce([nested(5_000), nested(5_000), 'z']);
    expect(['allow', 'deny']).toContain(answer.decision);
  });

  it('a matcher nested deeper than anyone writes is an answer, not a crash', () => {
    const deep = `${'('.repeat(20_000)}true${')'.repeat(20_000)}`;
    const set = compilePolicySet({ model: modelWith('r.sub == p.sub'), rules: csv('p', 'x', 'y', 'z') });
    expect(set.enforce(['x', 'y', 'z'], { matcher: deep }).decision).toBe('deny');
    const chain = Array.from({ length: 20_000 }, () => 'true').join(' && ');
    expect(['allow', 'deny']).toContain(set.enforce(['x', 'y', 'z'], { matcher: chain }).decision);
  });
});
