/** One budget of steps for all that an evaluation does (P2, P3, P10). Asserted by steps: times are `npm run bench:budget`. */
import { describe, expect, it } from 'vitest';
import { evaluateGuarded } from '../../src/core/engine/enforce.js';
import { Scope } from '../../src/core/matcher/scope.js';
import { isCombination } from '../../src/core/policy/combination.js';
import { type CompiledPolicySet, type CompileOptions, compileInSteps } from '../../src/core/policy/compile.js';
import type { Json } from '../../src/core/request.js';
import { defaultStepBudget } from '../../src/core/step-budget.js';
import { finish } from '../../src/core/steps.js';
import { compilePolicySet } from '../../src/engine.js';
import { type DearestMix, dearestMixes } from '../bench/dearest-mixes.mjs';

const now = 0;
const optionsOf = ({ model, rules, manifest }: DearestMix): CompileOptions => ({
  model,
  rules,
  ...(manifest !== undefined && { manifest }),
});

/** What an evaluation took, by the scope that it ran in. */
function stepsOf(set: CompiledPolicySet, request: readonly unknown[]): number {
  const { main } = set;
  if (!isCombination(main)) throw new Error(main.message);
  const scope = new Scope();
  scope.values = request as readonly Json[];
  scope.sources = request as readonly Json[];
  const before = scope.stepsLeft;
  evaluateGuarded(main, scope);
  return before - scope.stepsLeft;
}

describe('the dearest mixes of work', () => {
  it.each(dearestMixes.filter(({ suffices }) => !suffices))('$name: the budget ends it, and it is denied', (mix) => {
    const answer = compilePolicySet(optionsOf(mix)).enforce(mix.request);
    expect(answer).toMatchObject({ decision: 'deny', rule: null, errors: [{ code: 'step_budget_exceeded' }] });
  });

  it.each(dearestMixes.filter(({ suffices }) => suffices))('$name: found by their ends, within the budget', (mix) => {
    expect(compilePolicySet(optionsOf(mix)).enforce(mix.request)).toMatchObject({ decision: 'deny', errors: [] });
  });

  it.each(dearestMixes)('$name: takes the same steps, whatever was asked before', (mix) => {
    // Of the rules and of the links some, so that the budget suffices.
    const lines = mix.rules.split('\n');
    const [policies, links] = [
      lines.filter((line) => line.startsWith('p')),
      lines.filter((line) => line.startsWith('g')),
    ];
    const rules = [...policies.slice(0, 10), ...links.slice(0, 10)].join('\n');
    const load = () => finish(compileInSteps({ ...optionsOf(mix), rules }, () => ''));
    const set = load();
    const cold = stepsOf(set, mix.request);
    expect(cold).toBeGreaterThan(0);
    expect(stepsOf(set, mix.request)).toBe(cold);
    const other = mix.request.map((value) => (typeof value === 'string' ? `${value}-other` : value));
    for (let turn = 0; turn < 3; turn++) stepsOf(set, other);
    expect(stepsOf(set, mix.request)).toBe(cold);
    expect(stepsOf(load(), mix.request)).toBe(cold);
  });
});

const model = (matcher: string, more = '', effect = 'some(where (p.eft == allow))') => `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
${more}[policy_effect]
e = ${effect}
[matchers]
m = ${matcher}
`;
const roles = '[role_definition]\ng = _, _\n';
const lines = (count: number, line: (at: number) => string) => Array.from({ length: count }, (_, at) => line(at));

describe('the budget', () => {
  const rules = lines(10, (at) => `p, s${at}, doc, read`).join('\n');
  const ask = { subject: { id: 's9', attributes: { a: 1 } }, action: 'read', resource: 'doc' } as const;
  const matcher = 'r.sub.a == 1 && r.sub == p.sub || r.sub.a == 2';

  it('is enough at what an evaluation takes, and not one step below', () => {
    const options = { model: model(matcher), rules };
    const most = (stepBudget: number) =>
      compilePolicySet({ ...options, manifest: { stepBudget } }).decide(ask, { now });
    let [low, high] = [1, defaultStepBudget];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (most(middle).decision === 'allow') high = middle;
      else low = middle + 1;
    }
    expect(most(low)).toMatchObject({ decision: 'allow', reason: { code: 'rule_allowed' }, errors: [] });
    expect(most(low - 1)).toEqual({
      decision: 'deny',
      reason: { code: 'step_budget_exceeded' },
      obligations: [],
      errors: [{ code: 'step_budget_exceeded', message: 'the evaluation takes too many steps' }],
    });
  });

  it('denies also where no rule denies and where a rule that was found allows', () => {
    for (const effect of [
      '!some(where (p.eft == deny))',
      'some(where (p.eft == allow)) && !some(where (p.eft == deny))',
    ]) {
      const set = compilePolicySet({
        model: model('r.sub.a < 9 && p.obj != "x"', '', effect),
        rules,
        manifest: { stepBudget: 100 },
      });
      expect(set.decide(ask, { now })).toMatchObject({ decision: 'deny', reason: { code: 'step_budget_exceeded' } });
    }
  });

  it('of a manifest is at most ten million', () => {
    const load = (stepBudget: number) => () =>
      compilePolicySet({ model: model(matcher), rules, manifest: { stepBudget } });
    expect(load(10_000_000)).not.toThrow();
    expect(load(10_000_001)).toThrow(/stepBudget/);
  });
});

describe('what people have stays within the budget', () => {
  it('3,000 rules that each ask a thousand roles of the request', () => {
    const set = compilePolicySet({
      model: model('hasRole(r.sub.roles, p.sub) && r.obj == "doc"', roles),
      rules: [
        ...lines(3_000, (at) => `p, role${at}, doc, read`),
        ...lines(1_000, (at) => `g, held${at}, team${at}`),
        'g, team999, role2999',
      ].join('\n'),
    });
    const ask = (last: string) => set.enforce([{ roles: [...lines(999, (at) => `held${at}`), last] }, 'doc', 'read']);
    expect(ask('held999')).toMatchObject({ decision: 'allow', rule: ['role2999', 'doc', 'read'], errors: [] });
    expect(ask('nobody')).toMatchObject({ decision: 'deny', errors: [] });
  });

  it('20,000 role patterns as globs, whatever they begin and end with', () => {
    for (const pattern of [
      (at: number) => `/team${at}/**`,
      (at: number) => `*.team${at}.example`,
      (at: number) => `*team${at}-*`,
    ]) {
      const set = compilePolicySet({
        model: model('g(r.sub, p.sub)', roles),
        rules: [...lines(20_000, (at) => `g, ${pattern(at)}, role${at}`), 'p, role19999, doc, read'].join('\n'),
        manifest: { roleMatching: { g: 'globMatch' } },
      });
      const name = pattern(19_999).replace('**', 'docs/1').replaceAll('*', 'x');
      expect(set.enforce([name, 'doc', 'read'])).toMatchObject({ decision: 'allow', errors: [] });
      expect(set.enforce(['nobody', 'doc', 'read'])).toMatchObject({ decision: 'deny', errors: [] });
    }
  });

  it('ten thousand conditions of attributes', () => {
    const set = compilePolicySet({
      model: model('eval(p.sub)'),
      rules: lines(10_000, (at) => `p, r.sub.level > ${at + 9}, doc, read`).join('\n'),
    });
    expect(set.enforce([{ level: 10_008.5 }, 'doc', 'read']).decision).toBe('allow');
    expect(set.enforce([{ level: 1 }, 'doc', 'read'])).toMatchObject({ decision: 'deny', errors: [] });
  });
});

describe('what stands around evaluations has budgets, too', () => {
  const dear = (more = '') => ({
    model: model('globMatch(r.sub, p.obj) && r.act == "read"'),
    rules: `${lines(9_000, (at) => `p, x, ${'*a'.repeat(40)}${at}, y`).join('\n')}${more}`,
  });
  const subject = 'a'.repeat(200);

  it('a full explanation ends, and says that it is not complete', () => {
    const answer = compilePolicySet(dear()).decide(
      { subject, action: 'read', resource: 'doc' },
      { now, explain: 'full' },
    );
    expect(answer).toMatchObject({
      decision: 'deny',
      reason: { code: 'step_budget_exceeded' },
      explanation: { complete: false },
    });
  });

  it('a search stops where it is told to, says so, and goes on from there', () => {
    const names = lines(30, (at) => `p, u${String(at).padStart(2, '0')}, *, read`).join('\n');
    const set = compilePolicySet({
      model: model('r.sub == p.sub && globMatch(r.obj, p.obj) || r.sub == "nobody"'),
      rules: names,
    });
    const query = { action: { name: 'read' }, resource: { id: 'doc' } };
    const all = set.whoCan(query, { now });
    const found: string[] = [];
    let pages = 0;
    for (let after: string | undefined; ; pages++) {
      const page = set.whoCan(query, { now, maxSteps: 2_000, ...(after !== undefined && { after }) });
      found.push(...page.results);
      if (page.complete) break;
      after = page.next;
    }
    expect(found).toEqual(all.results);
    expect(pages).toBeGreaterThan(2);
  });
});

describe('a deny rule that failed and decides', () => {
  const withAnswers = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, act, eft, reason, obligations, advice
[policy_effect]
e = !some(where (p.eft == deny))
[matchers]
m = r.sub.level > 3 && r.act == p.act
`;
  const secret = 'only for those whom the rule denies';
  const ask = { subject: 'alice', action: 'read', resource: 'doc' } as const;

  it('says nothing of what it tells those whom it denies', () => {
    const set = compilePolicySet({
      model: withAnswers,
      rules: `p, x, read, deny, ${secret}, "[{""do"": ""${secret}""}]", ${secret}`,
    });
    const answer = set.decide(ask, { now });
    expect(answer.reason).toEqual({
      code: 'evaluation_error',
      rule: ['p', 'x', 'read', 'deny', '', '', ''],
      file: 'policy.csv',
      line: 1,
    });
    expect(answer).toMatchObject({ decision: 'deny', obligations: [] });
    expect(JSON.stringify(answer)).not.toContain('only for those');
  });

  it('is known as such however many rules failed before it', () => {
    const allows = lines(30, (at) => `p, x${at}, read, allow, a, b, c`).join('\n');
    const set = compilePolicySet({ model: withAnswers, rules: `${allows}\np, y, read, deny, ${secret}, o, a` });
    const answer = set.decide(ask, { now });
    expect(answer.reason).toMatchObject({ code: 'evaluation_error', line: 31 });
    expect(JSON.stringify(answer)).not.toContain('only for those');
  });
});
