import { describe, expect, it } from 'vitest';
import { compilePolicySet, type PolicySet } from '../../src/engine.js';

const model = `[request_definition]
r = sub, dom, obj
[policy_definition]
p = sub, dom, obj
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.obj == p.obj && g(r.sub, p.sub, r.dom) && keyMatch(r.dom, p.dom)
`;

describe('a function of the embedding program that asks the engine in turn', () => {
  const questions: string[][] = [];
  const answers: string[] = [];
  const set: PolicySet = compilePolicySet({
    model,
    rules: 'p, admin, *, secret\np, admin, *, open\ng, bob, admin, d*',
    // It is asked while rules are looked up.
    roleMatching: [{ ptype: 'g', domainFn: 'within' }],
    functions: {
      within: (domain, pattern) => {
        const question = questions.pop();
        if (question !== undefined) answers.push(set.enforce(question).decision);
        return String(domain).startsWith(String(pattern).replace(/\*$/, ''));
      },
    },
  });

  it('gets its answer, and the question around it its own', () => {
    questions.push(['bob', 'd1', 'secret']);
    expect(set.enforce(['bob', 'd2', 'nothing']).decision).toBe('deny');
    questions.push(['bob', 'd3', 'nothing']);
    expect(set.enforce(['bob', 'd4', 'open'])).toMatchObject({ decision: 'allow', rule: ['admin', '*', 'open'] });
    expect(answers).toEqual(['allow', 'deny']);
  });
});

describe('a function of the embedding program that matches names or domains and throws', () => {
  const throwing = () => {
    throw new Error('no connection');
  };
  const failed = [{ code: 'function_error', message: 'within(): no connection' }];
  const request = { subject: 'bob', action: 'read', resource: 'secret', attributes: { tenant: 'd1' } };

  for (const kind of ['fn', 'domainFn'] as const) {
    for (const effect of ['some(where (p.eft == allow))', '!some(where (p.eft == deny))']) {
      for (const term of ['g(r.sub, p.sub, r.dom)', '!g(r.sub, p.sub, r.dom)']) {
        it(`denies, and is no "no": ${kind}, ${effect}, ${term}`, () => {
          const set = compilePolicySet({
            model: model
              .replace('g(r.sub, p.sub, r.dom) && keyMatch(r.dom, p.dom)', term)
              .replace('some(where (p.eft == allow))', effect),
            rules: 'p, admin, *, secret\ng, bob, editor, d*',
            roleMatching: [{ ptype: 'g', [kind]: 'within' }],
            functions: { within: throwing },
          });
          expect(set.enforce(['bob', 'd1', 'secret'])).toEqual({ decision: 'deny', rule: null, errors: failed });
          const answer = set.decide(request, { now: 0, explain: 'full' });
          expect(answer).toMatchObject({ decision: 'deny', errors: failed });
          const found = set.whoCan({ action: { name: 'read' }, resource: { id: 'secret' } }, { now: 0 });
          expect(found).toMatchObject({ results: [], complete: true });
        });
      }
    }
  }
});
