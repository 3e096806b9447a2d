/** The gates of a candidate over time: what is counted lately counts by itself. */
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import {
  type CandidateCount,
  countsOf,
  defaultGates,
  type PolicyCandidate,
} from '../../../src/policy-store/candidates/candidate.js';
import { CandidateCounting } from '../../../src/policy-store/candidates/candidate-counting.js';
import { GateWindow, gateWindowMs } from '../../../src/policy-store/candidates/gate-window.js';
import { SqliteCandidateStore } from '../../../src/policy-store/candidates/sqlite/sqlite-candidate-store.js';
import { temporaryDirectory } from '../folders.js';

const minute = 60_000;

it('counts what came in the last ten minutes, and what came since the first look where that is less', () => {
  const window = new GateWindow();
  const at = (minutes: number, compared: number) =>
    window.since(countsOf(new Map([['compared', compared]])), minutes * minute).compared;
  expect(at(0, 500)).toBe(0);
  expect(at(4, 540)).toBe(40);
  expect(at(9.9, 600)).toBe(100);
  // What was counted until the minute 4 is no longer in it.
  expect(at(14, 700)).toBe(160);
  expect(at(60, 701)).toBe(1);
  expect(gateWindowMs).toBe(10 * minute);
});

it('a bad hour passes a gate after a good one that was a hundred times as busy', async () => {
  const store = await SqliteCandidateStore.open(join(temporaryDirectory(), 'verdict.sqlite'));
  onTestFinished(() => store.close());
  const candidate: PolicyCandidate = {
    ...{ policySet: 'docs', id: 'a', version: 'sha256:b', semantics: 2, origin: 'files', base: 'sha256:a' },
    ...{ mode: 'canary', sample: 1, subjects: 0.05, gates: { ...defaultGates, maxLost: 0.05, minCompared: 100 } },
    ...{ setBy: 'ann', setAt: 0, state: 'running', since: 0 },
  };
  await store.put(candidate, { name: 'docs', files: [{ path: 'model.conf', bytes: Buffer.from('') }] });
  const counting = new CandidateCounting(store, true);
  const counted = counting.begin();
  const add = (count: CandidateCount, n: number) => {
    for (let i = 0; i < n; i++) counting.add('docs', count, counted);
  };
  for (let minutes = 0; minutes <= 60; minutes++) {
    add('compared', 200);
    expect(await counting.write(candidate, counted, minutes * minute)).toBeUndefined();
  }
  // Of 99 a share does not count, and of 100 it does: 11 of them are lost, of 12,300 in all.
  const end = 90 * minute;
  add('compared', 1);
  await counting.write(candidate, counted, end);
  add('compared', 98);
  add('lost', 11);
  expect(await counting.write(candidate, counted, end + minute)).toBeUndefined();
  add('compared', 1);
  expect(await counting.write(candidate, counted, end + 2 * minute)).toMatchObject({
    reason: 'lost',
    detail:
      '11 of 100 compared decisions were allowed and are denied; a share of 0.05 is allowed (in the last 10 minutes)',
  });
});
