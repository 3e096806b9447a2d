import { expect, it } from 'vitest';
import { boundDiff, diffPoliciesInSteps, type PolicyDiff } from '../../src/policy-store/policy-diff.js';
import type { PolicySetFiles } from '../../src/policy-store/policy-set-files.js';

function setOf(rules: string): PolicySetFiles {
  return { name: 'a', files: [{ path: 'rules.csv', bytes: Buffer.from(rules) }] };
}

function diff(from: string, to: string): { steps: number; result: PolicyDiff } {
  const run = diffPoliciesInSteps(setOf(from), setOf(to));
  for (let steps = 0; ; steps++) {
    const step = run.next();
    if (step.done === true) return { steps, result: step.value };
  }
}

it('rules are compared by what they say, and how often', () => {
  const { result } = diff('p, a, b, c\np, a, b, c\np, d, e, f\n', 'p, d, e, f\n# moved\np, a, b, c\np, x, y, z\n');
  expect(result).toEqual({
    files: [{ path: 'rules.csv', change: 'changed' }],
    added: [{ rule: ['p', 'x', 'y', 'z'], file: 'rules.csv', line: 4 }],
    removed: [{ rule: ['p', 'a', 'b', 'c'], file: 'rules.csv', line: 2 }],
    reordered: true,
  });
});

it('rules that took the place of others are no other order', () => {
  const { result } = diff('p, a, b, c\np, d, e, f\np, g, h, i\n', 'p, a, b, c\np, x, y, z\np, g, h, i\n');
  expect(result).toMatchObject({
    added: [{ rule: ['p', 'x', 'y', 'z'], line: 2 }],
    removed: [{ rule: ['p', 'd', 'e', 'f'], line: 2 }],
    reordered: false,
  });
  // Two that changed places are in another order.
  expect(diff('p, a, b, c\np, d, e, f\n', 'p, d, e, f\np, a, b, c\n').result).toMatchObject({
    added: [],
    removed: [],
    reordered: true,
  });
});

it('pauses at least every thousand rules, so that many of them stop nobody', () => {
  const rules = (count: number) => Array.from({ length: count }, (_, i) => `p, s${i}, o, read\n`).join('');
  const { steps, result } = diff(rules(30_000), rules(20_000));
  expect(result.removed).toHaveLength(10_000);
  // Both lists are read, and each of four comparisons goes through two lists.
  expect(steps).toBeGreaterThanOrEqual((30_000 + 20_000) / 1_000);
});

it.each([
  [3, undefined],
  [2, { added: 1, removed: 0 }],
])('of a diff in which more than %i rules differ the rest is counted', (limit, more) => {
  const { result } = diff('p, a, b, c\n', 'p, 1, 2, 3\np, 4, 5, 6\np, 7, 8, 9\n');
  const bounded = boundDiff(result, limit);
  expect(bounded.added).toHaveLength(limit);
  expect(bounded.more).toEqual(more);
});
