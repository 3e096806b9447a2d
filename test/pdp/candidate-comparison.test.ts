/** What waits to be compared is bounded, and the newest stay. */
import { expect, it, vi } from 'vitest';
import { normaliseRequest } from '../../src/core/request.js';
import { CandidateComparison } from '../../src/pdp/candidate-comparison.js';
import {
  type CandidateDifference,
  defaultGates,
  type PolicyCandidate,
} from '../../src/policy-store/candidates/candidate.js';
import { trialOf } from '../../src/policy-store/candidates/trial.js';
import { startedFreshSets } from './told-sets.js';

it('compares the newest decisions where more come than there is time for, and counts those that give way', async () => {
  const { store, offer } = await startedFreshSets();
  offer(1, 'acl');
  offer(2, 'tried');
  await vi.waitFor(() => expect(store.served('tried')).toBeDefined());
  const active = store.resolve('acl');
  const candidate: PolicyCandidate = {
    ...{ policySet: 'acl', id: '1', version: store.resolve('tried').version, semantics: 1, origin: 'files' },
    ...{ base: active.compiled.versionOfFiles, mode: 'shadow', sample: 1, subjects: 0, gates: defaultGates },
    ...{ setBy: 'ann', setAt: 0, state: 'running', since: 0 },
  };
  const trial = trialOf(candidate, store.resolve('tried'));
  const trials = new Map([['acl', trial]]);
  const counts = new Map<string, number>();
  const kept: CandidateDifference[] = [];
  const comparison = new CandidateComparison({
    trials,
    add: (_, count) => void counts.set(count, (counts.get(count) ?? 0) + 1),
    keep: (_, difference) => void kept.push(difference),
  });
  const options = { now: 0, explain: 'none' } as const;
  for (let n = 0; n < 1_500; n++) {
    // The first and the last gain something.
    const subject = n === 0 || n === 1_499 ? 'r2' : `r${n + 10}`;
    const request = normaliseRequest({ subject, action: 'read', resource: 'data' });
    const decision = await active.evaluate(request, options);
    comparison.observe(trials, active, { request, now: n, decision });
  }
  await vi.waitFor(() => expect(counts.get('compared')).toBe(1_000), { timeout: 60_000 });
  expect(counts.get('skipped')).toBe(500);
  expect(kept).toMatchObject([{ kind: 'gained', clock: 1_499 }]);
  await comparison.stop();
  await store.stop();
});
