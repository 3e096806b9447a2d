/** What a simulation found, as findings for build servers. */
import { expect, it } from 'vitest';
import { changesAsProblems } from '../../src/cli/print/simulation-report.js';
import { type GateKind, resultOf } from '../../src/pdp/simulation/simulation-result.js';
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

it('lists what a gate counts first: in the room that there is, and among findings', () => {
  const tally = new SimulationTally();
  for (const [kind, rules, times] of [
    ['loss', 900, 3],
    ['error_appeared', 400, 2],
    ['gain', 700, 1],
  ] as const) {
    for (let n = 0; n < rules * times; n++) {
      const before = { decision: 'deny', code: 'rule_denied', rule: ['p', `${kind}${n % rules}`] } as const;
      const change = { kind, before, after: { decision: 'allow', code: 'rule_allowed' } } as const;
      tally.change([kind], tally.countersOf([change], []), undefined, `${n}`);
    }
  }
  const run = { tally: tally.parts, isCancelled: false };
  const listed = (gate?: readonly GateKind[]) => {
    const result = resultOf(run, { policySet: 'docs', candidate: 'sha256:1', gate });
    const count = (kind: ChangeKind) => result.rules.filter((change) => change.kind === kind).length;
    return { result, counts: [count('gain'), count('loss'), count('error_appeared')] };
  };
  // Each kind has a share of 200; the most frequent have the rest.
  expect(listed().counts).toEqual([200, 600, 200]);
  expect(listed(['gain']).counts).toEqual([600, 200, 200]);
  expect(listed(['error', 'gain']).counts).toEqual([400, 200, 400]);
  const { problems } = changesAsProblems(listed(['error', 'gain']).result, 'docs', ['error', 'gain']);
  const codes = problems.map(({ code }) => code);
  expect(codes.slice(0, 401)).toEqual(Array(401).fill('simulated_gain'));
  expect(problems[400]!.message).toBe('700 logged decisions gained in all, 300 of them by rules that are not listed');
  expect(codes.slice(401)).toEqual(Array(400).fill('simulated_error_appeared'));
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
