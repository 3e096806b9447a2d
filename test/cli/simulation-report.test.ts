/** What a simulation found, as findings for build servers. */
import { expect, it } from 'vitest';
import { changesAsProblems } from '../../src/cli/print/simulation-report.js';
import { resultOf } from '../../src/pdp/simulation/simulation-result.js';
import { type ChangeKind, SimulationTally } from '../../src/pdp/simulation/simulation-tally.js';

/** A simulation with as many losses by rules of their own, each of some decisions, and one rare change at last. */
function simulated(losses: number, kind: ChangeKind) {
  const tally = new SimulationTally();
  const add = (of: ChangeKind, name: string) => {
    const before = { decision: of === 'gain' ? 'deny' : 'allow', code: 'rule_allowed', rule: ['p', name] } as const;
    const after = { decision: of === 'gain' ? 'allow' : 'deny', code: 'no_matching_rule' } as const;
    const who = { subject: { id: name }, action: 'read', resource: { id: 'doc' } };
    const counters = tally.countersOf([{ kind: of, before, after }], [{ kind: of, ...who }]);
    tally.change([of], counters, undefined, name);
  };
  for (let n = 0; n < losses; n++) for (let times = 0; times < 2; times++) add('loss', `user${n}`);
  add(kind, 'rare');
  const run = { tally: tally.parts, isCancelled: false };
  return resultOf(run, { policySet: 'docs', candidate: 'sha256:1' });
}

it.each(['gain', 'error_appeared'] as const)('lists a rare %s beside a thousand frequent losses', (kind) => {
  const result = simulated(1_500, kind);
  for (const list of [result.rules, result.access]) {
    expect(list).toHaveLength(1_000);
    expect(list.at(-1)).toMatchObject({ kind, count: 1 });
  }
  const { problems } = changesAsProblems(result, 'docs', [kind === 'gain' ? 'gain' : 'error']);
  expect(problems).toMatchObject([{ severity: 'error', code: `simulated_${kind}` }]);
});

it('says of what a gate counts how much no listed rule makes', () => {
  // More different rules than a thread keeps apart: the gain is in the totals alone.
  const result = simulated(10_000, 'gain');
  expect(result.rules.some(({ kind }) => kind === 'gain')).toBe(false);
  expect(changesAsProblems(result, 'docs', ['gain']).problems).toMatchObject([
    {
      severity: 'error',
      code: 'simulated_gain',
      message: expect.stringContaining('1 logged decision gained in all, 1 of'),
    },
  ]);
  const { problems } = changesAsProblems(result, 'docs', ['loss']);
  expect(problems).toHaveLength(1_001);
  expect(problems.at(-1)!.message).toContain('20000 logged decisions lost in all, 18000 of them');
  expect(changesAsProblems(simulated(3, 'loss'), 'docs', ['gain', 'error']).problems).toEqual([]);
});
