/**
 * Rules found by look-ups are those that a scan of all rules would have found, for every shape of plan; and both are
 * those that the reference evaluator finds, which shares nothing with them.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Evaluation, evaluate } from '../../src/core/engine/evaluate.js';
import { withScope } from '../../src/core/matcher/scope.js';
import { type Combination, isCombination } from '../../src/core/policy/combination.js';
import { compileInSteps } from '../../src/core/policy/compile.js';
import { Plan } from '../../src/core/policy/plan.js';
import type { Json } from '../../src/core/request.js';
import { finish } from '../../src/core/steps.js';
import { loadReference } from '../reference/reference.js';
import { rulesText } from './plain-worlds.js';
import { runs, seed, timeout } from './runs.js';

/** Matchers by what their plans look up. */
const shapes: Record<string, string> = {
  'equal columns': 'r.sub == p.sub && p.obj == r.obj && r.act == p.act',
  'a literal': 'p.act == "read" && r.sub == p.sub',
  'a list of literals': 'p.act in ("read", "list", "write") && g(r.sub, p.sub)',
  'the roles of a subject': 'g(r.sub, p.sub) && r.act == p.act',
  'the roles of a literal': 'g("n3", p.sub) && r.act == p.act',
  'roles in a domain': 'g3(r.sub, p.sub, r.dom) && r.dom == p.dom && r.act == p.act',
  "roles in the rule's domain": 'g3(r.sub, p.sub, p.dom) && p.dom == r.dom',
  'roles in no domain': 'g3(r.sub, p.sub) && r.act == p.act',
  'roles in domains that are patterns': 'g4(r.sub, p.sub, r.dom) && r.act == p.act',
  'roles of resources': 'g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act',
  'a wildcard, or else a role': '(p.sub == "*" || g(r.sub, p.sub)) && (r.act == p.act || p.act == "*")',
  'either of two columns': '(r.obj == p.obj || g2(r.obj, p.obj)) && r.act == p.act',
  'whoever asks, or else a role': '(r.sub == "n9" || g(r.sub, p.sub)) && r.act == p.act',
  'a role of whoever asks, or else a name': '(g(r.sub, "n4") || r.sub == p.sub) && r.act == p.act',
  'two terms on one column': 'r.sub == p.sub && g(r.sub, p.sub) && r.act == p.act',
  'paths of keyMatch': 'g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act',
  'paths of keyMatch2': 'r.act == p.act && keyMatch2(r.obj, p.obj)',
  'paths of keyMatch3': 'r.act == p.act && keyMatch3(r.obj, p.obj)',
  'paths of keyMatch4': 'r.act == p.act && keyMatch4(r.obj, p.obj)',
  'paths of keyMatch5': 'r.act == p.act && keyMatch5(r.obj, p.obj)',
  'paths twice': 'keyMatch2(r.obj, p.obj) && keyMatch(r.dom, p.dom) && regexMatch(r.act, p.act)',
  'paths twice on a column': 'keyMatch2(r.obj, p.obj) && keyMatch(r.obj, p.obj) && keyMatch(r.dom, p.dom)',
  'a path behind a role that cannot be asked for': 'g(r.act, "n1") && keyMatch(r.obj, p.obj)',
  'a condition': 'r.obj == p.obj && eval(p.cond)',
  'a condition behind a path': 'keyMatch2(r.obj, p.obj) && eval(p.cond) && r.act == p.act',
};

const oneOf = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const names = Array.from({ length: 13 }, (_, n) => `n${n}`);
const name = oneOf(...names);
const paths = [
  '/a',
  '/a/',
  '/a/*',
  '/a/b',
  '/a/:x',
  '/a/{x}',
  '/a/b/*',
  '/a/:x/c',
  '*',
  '/',
  '/a/b/c',
  '/a/[',
  '/a/b|/b',
  'n1',
];
const domain = oneOf('d1', 'd2', 'd*', '');
const conditions = ['true', 'r.sub == p.sub', 'r.sub.age > 3', 'r.act == "read"', 'false', 'r.sub.age > 30'];
const act = oneOf('read', 'write', 'list', '*');

const rule = fc.tuple(
  fc.constant('p'),
  fc.oneof(name, fc.constant('*')),
  domain,
  fc.oneof(oneOf(...paths), name),
  act,
  oneOf(...conditions),
  fc.oneof({ weight: 3, arbitrary: fc.constant('allow') }, { weight: 1, arbitrary: oneOf('deny', '') }),
);
const link = fc
  .tuple(oneOf('g', 'g', 'g2', 'g3', 'g4'), fc.nat(12), fc.nat(12), domain)
  .filter(([, a, b]) => a !== b)
  .map(([ptype, a, b, inside]) => {
    const fields = [ptype, `n${Math.max(a, b)}`, `n${Math.min(a, b)}`];
    return ptype === 'g3' || ptype === 'g4' ? [...fields, inside] : fields;
  });
/** Twelve links: the last name is one too far from the first. */
const chain = names.slice(1).map((_, n) => ['g', `n${n + 1}`, `n${n}`]);

const value: fc.Arbitrary<Json> = fc.oneof(
  { weight: 12, arbitrary: oneOf<Json>(...names.slice(1), 'n12', 'n12', 'nobody') },
  { weight: 1, arbitrary: oneOf<Json>(7, null, ['n1'], { age: 31 }, { age: 'old' }) },
);
const path: fc.Arbitrary<Json> = fc.oneof(
  { weight: 12, arbitrary: oneOf<Json>(...paths, '/a/b?x=/a/b', '/b', '/a/x/c', 'n2', 'n12') },
  { weight: 1, arbitrary: oneOf<Json>(7, null, { id: '/a' }) },
);
const ask = fc.tuple(value, fc.oneof(domain, oneOf<Json>('d3', 7)), path, fc.oneof(act, oneOf<Json>('n5', 7)));

const effects = [
  'some(where (p.eft == allow))',
  '!some(where (p.eft == deny))',
  'some(where (p.eft == allow)) && !some(where (p.eft == deny))',
  'priority(p.eft) || deny',
];

const modelOf = (matcher: string, effect: string): string => `[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act, cond, eft
[role_definition]
g = _, _
g2 = _, _
g3 = _, _, _
g4 = _, _, _
[policy_effect]
e = ${effect}
[matchers]
m = ${matcher}
`;

/** The same combination with a plan that looks nothing up. */
function scanning(combination: Combination): Combination {
  const { program, rules } = combination;
  const { pickers, remaining } = program;
  const nothing = { selectors: [], picking: 0, index: undefined, textColumns: [], pickedBy: [], words: [] };
  return { ...combination, plan: new Plan(rules, { ...nothing, pickers, remaining }) };
}

function evaluateWith(combination: Combination, values: readonly Json[]) {
  const { allowed, by, rule, errors }: Evaluation = withScope((scope) => {
    scope.values = values;
    scope.sources = values;
    return evaluate(combination, scope);
  });
  const texts = errors.map((error) => `${error.rule?.index} ${error.code} ${error.message}`);
  return { allowed, by, rule: rule?.index, texts };
}

describe(`look-ups and a scan agree (seed ${seed})`, () => {
  it.each(Object.entries(shapes))('on %s', { timeout }, (_, matcher) => {
    const rules = fc.array(rule, { minLength: 1, maxLength: 40 });
    const links = fc.tuple(fc.array(link, { maxLength: 25 }), oneOf([], chain));
    const asks = fc.array(ask, { minLength: 20, maxLength: 20 });
    let allowed = 0;
    fc.assert(
      fc.property(rules, links, oneOf(...effects), asks, (some, [more, chained], effect, questions) => {
        const source = {
          model: modelOf(matcher, effect),
          rules: rulesText([...some, ...more, ...chained]),
          roleMatching: [{ ptype: 'g4', domainFn: 'keyMatch' }],
        };
        const set = finish(compileInSteps(source, () => ''));
        const reference = loadReference(source);
        if (!isCombination(set.main)) throw new Error(set.main.message);
        expect(set.main.plan.scans).toBe(false);
        const plain = scanning(set.main);
        for (const values of questions) {
          const found = evaluateWith(set.main, values);
          expect(found, JSON.stringify(values)).toEqual(evaluateWith(plain, values));
          const wanted = reference.enforce([...values], { now: 0 });
          expect(found.allowed ? 'allow' : 'deny', JSON.stringify(values)).toBe(wanted.decision);
          if (found.allowed) allowed++;
        }
      }),
      runs(200),
    );
    // Were nothing allowed, there would have been nothing to find.
    expect(allowed).toBeGreaterThan(runs(100).numRuns);
  });
});
