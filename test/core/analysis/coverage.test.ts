/** Coverage of policy tests: the numbers are those that a person counts on sets of a few lines. */
import { describe, expect, it } from 'vitest';
import { type Coverage, countCoverage, measureCoverage, percentOf } from '../../../src/core/analysis/coverage.js';
import { type CompileOptions, compileInSteps } from '../../../src/core/policy/compile.js';
import { PolicySet } from '../../../src/core/policy-set.js';
import { type DecisionRequestInput, normaliseRequest } from '../../../src/core/request.js';
import { finish } from '../../../src/core/steps.js';
import { idModel, roleModel } from '../../models.js';

const now = Date.parse('2026-11-30T10:00:00Z');

function coverageOf(
  options: Omit<CompileOptions, 'rules'> & { rules: string },
  requests: DecisionRequestInput[],
): Coverage {
  const { model, rules, manifest, entities } = options;
  const compiled = finish(compileInSteps({ ...options, strict: true }, () => ''));
  const set = new PolicySet(compiled);
  const asked = requests.map((input) => {
    const request = normaliseRequest(input);
    return { test: { request, now }, decision: set.evaluate(request, { now }) };
  });
  const texts = [
    { file: 'model.conf', text: String(model) },
    { file: 'policy.csv', text: rules },
    { file: 'policy-set.yaml', text: String(manifest ?? '') },
    { file: 'entities.yaml', text: String(entities ?? '') },
  ];
  return finish(measureCoverage(compiled, asked, texts));
}

const ask = (subject: string, action: string, resource: string): DecisionRequestInput => ({
  subject,
  action,
  resource,
});
const seenOf = ({ terms }: Coverage) =>
  terms.map(({ file, line, column, term, seenTrue, seenFalse }) => [
    `${file}:${line}:${column}`,
    term,
    `${seenTrue ? 'true' : ''}${seenFalse ? 'false' : ''}`,
  ]);

/** Allow rules on lines 1 and 2, a deny on line 3; every rule has a condition. */
const conditionModel = `[request_definition]
r = sub, obj, act
[policy_definition]
p = obj, act, condition, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.obj == p.obj && r.act == p.act && eval(p.condition)
`;

describe('rules', () => {
  const rules = 'p, ann, letter, read\np, bob, letter, read\np, ann, memo, write\n';

  it('are covered by the tests that they decide', () => {
    const { rules: found } = coverageOf({ model: idModel, rules }, [
      ask('ann', 'read', 'letter'),
      ask('ann', 'read', 'letter'),
      ask('bob', 'write', 'memo'),
    ]);
    expect(found.map(({ line, decided, matched }) => [line, decided, matched])).toEqual([
      [1, 2, 2],
      [2, 0, 0],
      [3, 0, 0],
    ]);
  });

  it('that match behind the one that decided are said to have matched', () => {
    const covered = coverageOf(
      { model: roleModel, rules: 'p, reader, letter, read\np, ann, letter, read\ng, ann, reader\n' },
      [ask('ann', 'read', 'letter')],
    );
    expect(covered.rules.map(({ decided, matched }) => [decided, matched])).toEqual([
      [1, 1],
      [0, 1],
    ]);
  });

  it('that the policy effect does not read are not counted', () => {
    const model = conditionModel.replace(/e = .*/, 'e = !some(where (p.eft == deny))');
    const covered = coverageOf({ model, rules: 'p, a, read, true, allow\np, a, read, r.sub.age < 18, deny\n' }, []);
    expect(covered.rules.map(({ line }) => line)).toEqual([2]);
    expect(covered.effects.map(({ effect }) => effect)).toEqual(['rule_denied', 'allowed_by_default']);
  });

  it('that err neither decided nor matched, also where a deny rule that errs denies', () => {
    const covered = coverageOf({ model: conditionModel, rules: 'p, a, read, r.sub.age < 18, deny\n' }, [
      ask('ann', 'read', 'a'),
    ]);
    expect(covered.rules).toMatchObject([{ decided: 0, matched: 0 }]);
    expect(covered.terms.at(-1)).toMatchObject({
      term: 'r.sub.age < 18',
      seenTrue: false,
      seenFalse: false,
      erred: true,
    });
  });
});

describe('terms', () => {
  it.each([
    'r.sub == r.own && r.obj == p.obj',
    'r.obj == p.obj && r.sub == r.own',
    'r.obj == p.obj && !g(r.sub, p.obj) && r.sub == r.own',
  ])('and links are seen alike in every order of tests: %s', (matcher) => {
    const model = roleModel
      .replace('r = sub, obj, act', 'r = sub, obj, own')
      .replace('p = sub, obj, act', 'p = obj')
      .replace(/m = .*/, `m = ${matcher}`);
    const rules = 'p, letter\np, memo\ng, bob, letter\ng, ann, memo\n';
    const asked = ['ann', 'bob'].flatMap((subject) =>
      ['letter', 'memo', 'none'].flatMap((resource) =>
        ['ann', 'bob'].map((own) => ({ ...ask(subject, 'read', resource), attributes: { own } })),
      ),
    );
    const manifest = 'request:\n  own: attributes.own\n';
    for (let first = 0; first < asked.length; first++) {
      const orders = [asked.slice(first), [...asked.slice(first)].reverse()].map((requests) =>
        coverageOf({ model, rules, manifest }, requests),
      );
      expect(orders[0]).toEqual(orders[1]);
    }
  });

  it('are seen as the engine asks them: up to the first that does not hold', () => {
    const covered = coverageOf({ model: idModel, rules: 'p, ann, letter, read\n' }, [
      ask('ann', 'read', 'letter'),
      ask('bob', 'read', 'memo'),
      ask('ann', 'write', 'letter'),
    ]);
    // The second test ends at the subject, so no resource was another.
    expect(seenOf(covered)).toEqual([
      ['model.conf:11:5', 'r.sub == p.sub', 'truefalse'],
      ['model.conf:11:23', 'r.obj == p.obj', 'true'],
      ['model.conf:11:41', 'r.act == p.act', 'truefalse'],
    ]);
    expect(countCoverage(covered)).toEqual({
      rules: { covered: 1, total: 1 },
      terms: { covered: 5, total: 6 },
      roleLinks: { covered: 0, total: 0 },
      effects: { covered: 2, total: 2 },
      all: { covered: 8, total: 9 },
    });
    expect(percentOf(countCoverage(covered).all)).toBe(88.8);
  });

  it('of a condition belong to their rule, also where two rules have the same text', () => {
    const rules =
      'p, a, read, "r.sub.age >= 18 || r.sub.id == ""kim""", allow\np, b, read, "r.sub.age >= 18 || r.sub.id == ""kim""", allow\n';
    const covered = coverageOf({ model: conditionModel, rules }, [
      { subject: { id: 'ann', attributes: { age: 20 } }, action: 'read', resource: 'a' },
      { subject: { id: 'kim', attributes: { age: 9 } }, action: 'read', resource: 'a' },
    ]);
    expect(seenOf(covered).filter(([place]) => place!.startsWith('policy.csv'))).toEqual([
      ['policy.csv:1:13', 'r.sub.age >= 18', 'truefalse'],
      ['policy.csv:1:13', 'r.sub.id == "kim"', 'true'],
      ['policy.csv:2:13', 'r.sub.age >= 18', ''],
      ['policy.csv:2:13', 'r.sub.id == "kim"', ''],
    ]);
  });

  it('of what the manifest defines are counted once, where they are defined', () => {
    const manifest = 'define:\n  isOwner: r.sub.id == r.obj.owner\n  limit: 10\n';
    const rules = 'p, a, read, isOwner && r.obj.size < limit, allow\np, a, write, !isOwner, allow\n';
    const about = (action: string, owner: string, size: number) => {
      return { subject: 'ann', action, resource: { id: 'a', attributes: { owner, size } } };
    };
    const covered = coverageOf({ model: conditionModel, manifest, rules }, [
      about('read', 'ann', 1),
      about('write', 'bob', 1),
    ]);
    expect(seenOf(covered)).toEqual([
      ['model.conf:8:5', 'r.obj == p.obj', 'true'],
      ['model.conf:8:23', 'r.act == p.act', 'truefalse'],
      ['policy-set.yaml:2:3', 'r.sub.id == r.obj.owner', 'truefalse'],
      ['policy.csv:1:13', 'r.obj.size < 10', 'true'],
    ]);
  });

  it('stand behind !, ? and :, and are not what is the same in every test', () => {
    const model = idModel.replace(
      /m = .*/,
      'm = (r.sub.vip ? r.obj.size < 9 : r.obj.size < 3) && !(r.act == "x") && 1 == 1 && p.sub == r.sub',
    );
    const covered = coverageOf({ model, rules: 'p, ann, *, *\n' }, [
      {
        subject: { id: 'ann', attributes: { vip: true } },
        action: 'read',
        resource: { id: 'a', attributes: { size: 5 } },
      },
      {
        subject: { id: 'bob', attributes: { vip: true } },
        action: 'read',
        resource: { id: 'a', attributes: { size: 5 } },
      },
    ]);
    expect(seenOf(covered).map(([, ...rest]) => rest)).toEqual([
      ['r.sub.vip', 'true'],
      ['r.obj.size < 9', 'true'],
      ['r.obj.size < 3', ''],
      ['r.act == "x"', 'false'],
      ['p.sub == r.sub', 'truefalse'],
    ]);
  });

  it('of a matcher that reads no rule are seen without one', () => {
    const model = idModel.replace(/m = .*/, 'm = r.sub == "ann" && r.obj == "a"');
    const covered = coverageOf({ model, rules: '', manifest: 'emptyPolicy: allowed\n' }, [ask('ann', 'read', 'b')]);
    expect(seenOf(covered).map(([, ...rest]) => rest)).toEqual([
      ['r.sub == "ann"', 'true'],
      ['r.obj == "a"', 'false'],
    ]);
    expect(covered.effects).toEqual([
      { effect: 'rule_allowed', tests: 0 },
      { effect: 'no_matching_rule', tests: 1 },
    ]);
  });
});

describe('role links', () => {
  const used = ({ roleLinks }: Coverage) => roleLinks.map(({ line, used: times }) => [line, times]);

  it('are used where a rule matches by a path over them, and not by a role alone', () => {
    const rules =
      'p, reader, letter, read\np, writer, memo, write\ng, ann, staff\ng, staff, reader\ng, ann, writer\ng, bob, reader\n';
    const covered = coverageOf({ model: roleModel, rules }, [
      ask('ann', 'read', 'letter'),
      ask('ann', 'write', 'letter'),
    ]);
    expect(used(covered)).toEqual([
      [3, 1],
      [4, 1],
      [5, 0],
      [6, 0],
    ]);
  });

  it('are used where they keep a rule from matching', () => {
    const model = roleModel.replace(
      /m = .*/,
      'm = r.sub == p.sub && r.obj == p.obj && r.act == p.act && !g(r.sub, "banned")',
    );
    const rules = 'p, ann, letter, read\np, bob, letter, read\ng, ann, banned\ng, bob, banned\n';
    expect(used(coverageOf({ model, rules }, [ask('ann', 'read', 'letter'), ask('bob', 'write', 'letter')]))).toEqual([
      [3, 1],
      [4, 0],
    ]);
  });

  it('count in their domain, for names by pattern, and for roles that come with the request', () => {
    const model = roleModel
      .replace('r = sub, obj, act', 'r = sub, dom, obj, act')
      .replace('g = _, _', 'g = _, _, _')
      .replace(
        /m = .*/,
        'm = (g(r.sub, p.sub, r.dom) || hasRole(r.sub.roles, p.sub, r.dom)) && r.obj == p.obj && r.act == p.act',
      );
    const manifest = 'request: { dom: attributes.tenant }\nroleMatching: { g: keyMatch }\n';
    const rules =
      'p, reader, letter, read\ng, ann, reader, acme\ng, ann, reader, bolt\ng, guest-*, reader, acme\ng, intern, reader, acme\n';
    const at = (subject: DecisionRequestInput['subject']) => {
      return { subject, action: 'read', resource: 'letter', attributes: { tenant: 'acme' } };
    };
    const intern = { id: 'joe', attributes: { roles: ['cook', 'intern'] } };
    expect(used(coverageOf({ model, manifest, rules }, [at('ann'), at('guest-7'), at(intern)]))).toEqual([
      [2, 1],
      [3, 0],
      [4, 1],
      [5, 1],
    ]);
  });
});

it('has no share of what is not there', () => {
  expect(percentOf({ covered: 0, total: 0 })).toBeNull();
  const nothing = { rules: [], terms: [], roleLinks: [], effects: [] };
  expect(percentOf(countCoverage(nothing).all)).toBeNull();
});

it('does not depend on the order of the tests, nor on whether rules are looked up', () => {
  const subjects = ['ann', 'bob', 'eve', 'kim'];
  const resources = ['/a/1', '/a/b/2', '/c', '/'];
  const model = roleModel.replace('r.obj == p.obj', 'keyMatch(r.obj, p.obj)');
  const rules = `${subjects.map((name, at) => `p, role${at % 3}, ${resources[at]}*, read\ng, ${name}, role${at % 2}\n`).join('')}p, eve, /c, write\n`;
  const requests = subjects.flatMap((subject) =>
    resources.flatMap((resource) => ['read', 'write'].map((action) => ask(subject, action, resource))),
  );
  const first = coverageOf({ model, rules }, requests);
  const last = coverageOf({ model, rules }, [...requests].reverse());
  expect(last).toEqual(first);
  // The same rules with a matcher that lets nothing be looked up.
  const scanning = model.replace('m = ', 'm = (r.sub == r.sub || r.sub != "") && ');
  const { terms, ...others } = coverageOf({ model: scanning, rules }, requests);
  expect(others).toEqual({ rules: first.rules, roleLinks: first.roleLinks, effects: first.effects });
  const holds = (coverage: { terms: Coverage['terms'] }) =>
    coverage.terms.map(({ term, seenTrue, seenFalse }) => `${term} ${seenTrue} ${seenFalse}`);
  expect(holds({ terms })).toEqual(expect.arrayContaining(holds(first)));
});
