import { expect, it } from 'vitest';
import { compilePolicySet } from '../../../src/engine.js';

const model = (effect: string) => `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = ${effect}
[matchers]
m = r.sub == p.sub
`;

it.each([
  'some(where (p.eft == allow))',
  '!some(where (p.eft == deny))',
  'some(where (p.eft == allow)) && !some(where (p.eft == deny))',
])('the hint for a set without rules is to write them, never to allow that there are none: %s', (effect) => {
  const { problems } = compilePolicySet({ model: model(effect), rules: '' });
  const [found] = problems.filter(({ code }) => code === 'empty_policy');
  expect(found).toMatchObject({ severity: 'error', file: 'model.conf', line: 8 });
  expect(found!.hint).toContain('.csv');
  expect(found!.hint).not.toContain('emptyPolicy');
});
