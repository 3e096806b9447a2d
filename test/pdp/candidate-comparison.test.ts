/** What waits to be compared is bounded, and the newest stay. */
import { expect, it, vi } from 'vitest';
import type { EngineDecision } from '../../src/core/decision.js';
import { normaliseRequest } from '../../src/core/request.js';
import { CandidateComparison } from '../../src/pdp/candidate-comparison.js';
import {
  type CandidateDifference,
  defaultGates,
  type PolicyCandidate,
} from '../../src/policy-store/candidates/candidate.js';
import { trialOf } from '../../src/policy-store/candidates/trial.js';
import { startedFreshSets } from './told-sets.js';

async function comparing(names: readonly string[]) {
  const { store, offer } = await startedFreshSets();
  for (const name of names) offer(1, name);
  offer(2, 'tried');
  await vi.waitFor(() => expect(store.served('tried')).toBeDefined());
  const trials = new Map(
    names.map((name) => {
      const candidate: PolicyCandidate = {
        ...{ policySet: name, id: name, version: store.resolve('tried').version, semantics: 1, origin: 'files' },
        ...{ base: store.resolve(name).compiled.versionOfFiles, mode: 'shadow', sample: 1, subjects: 0 },
        ...{ gates: defaultGates, setBy: 'ann', setAt: 0, state: 'running', since: 0 },
      };
      return [name, trialOf(candidate, store.resolve('tried'))] as const;
    }),
  );
  const counted = new Map<string, number>();
  const kept: CandidateDifference[] = [];
  const comparison = new CandidateComparison({
    trials,
    add: ({ candidate: { policySet } }, count) => {
      const key = `${policySet} ${count}`;
      counted.set(key, (counted.get(key) ?? 0) + 1);
    },
    keep: (_, difference) => void kept.push(difference),
  });
  const ask = async (name: string, subject: string, now = 0) => {
    const active = store.resolve(name);
    const request = normaliseRequest({ subject, action: 'read', resource: 'data' });
    const decision = await active.evaluate(request, { now, explain: 'none' });
    comparison.observe(trials, active, { request, now, decision });
  };
  return { ask, comparison, counted, kept, store, trials };
}

it('compares the newest decisions where more come than there is time for, and counts those that give way', async () => {
  const { ask, comparison, counted, kept, store } = await comparing(['acl']);
  // The first and the last gain something.
  for (let n = 0; n < 1_500; n++) await ask('acl', n === 0 || n === 1_499 ? 'r2' : `r${n + 10}`, n);
  await vi.waitFor(() => expect(counted.get('acl compared')).toBe(1_000), { timeout: 60_000 });
  expect(counted.get('acl skipped')).toBe(500);
  expect(kept).toMatchObject([{ kind: 'gained', clock: 1_499 }]);
  await comparison.stop();
  await store.stop();
});

it('waits for the thread of one set, as stock Casbin has it, with no comparison of another, and not at a stop', async () => {
  const { ask, comparison, counted, store, trials } = await comparing(['acl', 'slow']);
  let answer: (decision: EngineDecision) => void = () => undefined;
  const evaluate = () =>
    new Promise<EngineDecision>((resolve) => {
      answer = resolve;
    });
  trials.set('slow', { ...trials.get('slow')!, evaluate });
  for (let n = 0; n < 3; n++) await ask('slow', 'r1');
  for (let n = 0; n < 50; n++) await ask('acl', 'r1');
  await vi.waitFor(() => expect(counted.get('acl compared')).toBe(50), { timeout: 60_000 });
  expect(counted.get('slow compared')).toBeUndefined();
  answer(
    await store
      .resolve('tried')
      .evaluate(normaliseRequest({ subject: 'r1', action: 'read', resource: 'data' }), { now: 0, explain: 'none' }),
  );
  await vi.waitFor(() => expect(counted.get('slow lost')).toBe(1), { timeout: 60_000 });
  await comparison.stop();
  expect(counted.get('slow skipped')).toBe(2);
  await store.stop();
});
