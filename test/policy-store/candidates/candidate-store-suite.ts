/** What every store of candidates must do. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type DifferenceKind,
  defaultGates,
  keptDifferences,
  type PolicyCandidate,
  promotionMs,
} from '../../../src/policy-store/candidates/candidate.js';
import type { CandidateStore, NewDifference } from '../../../src/policy-store/candidates/candidate-store.js';
import type { PolicySetFiles } from '../../../src/policy-store/policy-set-files.js';

const set: PolicySetFiles = Object.freeze({
  name: 'invoices',
  files: Object.freeze([
    { path: 'model.conf', bytes: Buffer.from('model') },
    { path: 'tests/a.yaml', bytes: Buffer.from('tests') },
  ]),
});

const candidate = (id: string, more: Partial<PolicyCandidate> = {}): PolicyCandidate => ({
  ...{ policySet: 'invoices', id, version: 'sha256:b', semantics: 2, origin: 'files', base: 'sha256:a' },
  ...{ mode: 'canary', sample: 0.5, subjects: 0.05, gates: defaultGates },
  ...{ setBy: 'ann', setAt: 1_000, state: 'running', since: 1_000 },
  ...more,
});

const difference = (digest: string, kind: DifferenceKind = 'gained', clock = 1): NewDifference => ({
  ...{ digest, kind, clock },
  request: { subject: { id: digest }, action: { name: 'read' }, resource: { id: 'doc' } },
  active: { policyVersion: 'sha256:a', decision: 'deny', reason: { code: 'no_matching_rule' }, errors: [] },
  candidate: { policyVersion: 'sha256:b', decision: 'allow', reason: { code: 'rule_allowed' }, errors: [] },
});

export function describeCandidateStore(name: string, prepare: () => { open(): Promise<CandidateStore> }): void {
  describe(`candidates in ${name}`, () => {
    let store: CandidateStore;
    beforeEach(async () => {
      store = await prepare().open();
    });
    afterEach(() => store.close());

    it('has one a set, with its files and tests, and says whether it took the place of another one', async () => {
      expect(await store.put(candidate('a'), set)).toBe('set');
      expect(await store.put(candidate('o', { policySet: 'orders', mode: 'shadow' }), { ...set, name: 'orders' })).toBe(
        'set',
      );
      expect(await store.put(candidate('b', { version: 'sha256:c' }), set)).toBe('replaced');
      expect(await store.all()).toEqual([
        candidate('b', { version: 'sha256:c' }),
        candidate('o', { policySet: 'orders', mode: 'shadow' }),
      ]);
      const files = await store.files(candidate('b'));
      expect(files?.files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()])).toEqual([
        ['model.conf', 'model'],
        ['tests/a.yaml', 'tests'],
      ]);
      expect(await store.files(candidate('a'))).toBeUndefined();
    });

    it('holds or withdraws one that runs, once, with the reason', async () => {
      await store.put(candidate('a'), set);
      const why = { reason: 'lost', detail: '7 of 100' } as const;
      const both = await Promise.all([
        store.settle(candidate('a'), 'withdrawn', why, 2_000),
        store.settle(candidate('a'), 'withdrawn', { ...why, detail: 'again' }, 3_000),
      ]);
      expect(both.filter(Boolean)).toHaveLength(1);
      const [found] = await store.all();
      expect(found).toMatchObject({ state: 'withdrawn', reason: 'lost', setAt: 1_000 });
      expect(await store.settle(candidate('other'), 'held', why, 2_000)).toBe(false);
    });

    it('gives one that runs to one promotion, and to nobody else until that gives it back, ends or took too long', async () => {
      await store.put(candidate('a'), set);
      const taken = await Promise.all([store.take(candidate('a'), 2_000), store.take(candidate('a'), 2_000)]);
      expect(taken.filter(Boolean)).toHaveLength(1);
      expect(await store.all()).toMatchObject([{ id: 'a', state: 'promoting', since: 2_000 }]);
      const why = { reason: 'lost', detail: '7 of 100' } as const;
      const late = 2_000 + promotionMs;
      expect(await store.settle(candidate('a'), 'withdrawn', why, late - 1)).toBe(false);
      expect(await store.remove(candidate('a'), late - 1)).toBe(false);
      expect(await store.put(candidate('b', { setAt: late - 1 }), set)).toBe('promoting');
      expect(await store.take(candidate('a'), late - 1)).toBe(false);
      await store.release(candidate('a'), 3_000);
      expect(await store.all()).toMatchObject([{ id: 'a', state: 'running', since: 3_000 }]);
      expect(await store.take(candidate('a'), 4_000)).toBe(true);
      expect(await store.take(candidate('a'), 4_000 + promotionMs)).toBe(true);
      await store.finish(candidate('a'));
      expect(await store.all()).toEqual([]);
      for (const end of [
        () => store.settle(candidate('a'), 'withdrawn', why, late),
        () => store.remove(candidate('a'), late),
        async () => (await store.put(candidate('b', { setAt: late }), set)) === 'replaced',
      ]) {
        await store.put(candidate('a'), set);
        await store.take(candidate('a'), 2_000);
        expect(await end()).toBe(true);
      }
    });

    it('gives none to a promotion that was held, or is another one', async () => {
      await store.put(candidate('a'), set);
      expect(await store.take(candidate('b'), 2_000)).toBe(false);
      await store.settle(candidate('a'), 'held', { reason: 'lost', detail: '7 of 100' }, 2_000);
      expect(await store.take(candidate('a'), 3_000)).toBe(false);
      await store.release(candidate('a'), 4_000);
      expect(await store.all()).toMatchObject([{ state: 'held', since: 2_000 }]);
    });

    it('adds counts up, and forgets them with the candidate; what comes late for another one is dropped', async () => {
      await store.put(candidate('a'), set);
      await store.count(
        candidate('a'),
        new Map([
          ['compared', 2],
          ['lost', 1],
        ]),
      );
      const all = await store.count(candidate('a'), new Map([['compared', 3]]));
      expect(Object.fromEntries(all)).toEqual({ compared: 5, lost: 1 });
      await store.put(candidate('b'), set);
      expect(await store.count(candidate('a'), new Map([['compared', 9]]))).toEqual(new Map());
      expect(await store.count(candidate('b'), new Map())).toEqual(new Map());
    });

    it('adds up what many count at once', async () => {
      await store.put(candidate('a'), set);
      const added = new Map([
        ['compared', 1],
        ['gained', 1],
        ['slow', 1],
      ]);
      await Promise.all(Array.from({ length: 40 }, () => store.count(candidate('a'), added)));
      expect((await store.count(candidate('a'), new Map())).get('compared')).toBe(40);
    });

    it('keeps each difference once, the newest first, and no more of a kind than there is room for', async () => {
      await store.put(candidate('a'), set);
      await store.keep(candidate('a'), difference('x', 'lost', 5));
      await store.keep(candidate('a'), difference('x', 'lost', 6));
      await store.keep(candidate('a'), difference('y', 'lost', 7));
      for (let n = 0; n <= keptDifferences; n++) await store.keep(candidate('a'), difference(`g${n}`, 'gained', n));
      await store.keep(candidate('other'), difference('z', 'lost'));
      const lost = await store.differences(candidate('a'), 'lost');
      expect(lost.map(({ clock, request }) => [clock, request.subject.id])).toEqual([
        [7, 'y'],
        [5, 'x'],
      ]);
      const gained = await store.differences(candidate('a'), 'gained');
      expect(gained).toHaveLength(keptDifferences);
      expect(gained[0]?.clock).toBe(keptDifferences - 1);
      expect(await store.differences(candidate('a'))).toHaveLength(keptDifferences + 2);
      const { digest: _, ...kept } = difference('y', 'lost', 7);
      expect(lost[0]).toEqual(kept);
    });

    it('removes one with all that was counted and kept of it, once', async () => {
      await store.put(candidate('a'), set);
      await store.count(candidate('a'), new Map([['compared', 2]]));
      await store.keep(candidate('a'), difference('x'));
      expect(await store.remove(candidate('b'), 2_000)).toBe(false);
      expect(await store.remove(candidate('a'), 2_000)).toBe(true);
      expect(await store.remove(candidate('a'), 2_000)).toBe(false);
      expect(await store.all()).toEqual([]);
      expect(await store.differences(candidate('a'))).toEqual([]);
    });

    it('tells who watches of each change', async () => {
      let looks = 0;
      let told: () => void = () => undefined;
      const watch = store.watch(async () => {
        looks++;
        told();
      });
      const change = async (work: Promise<unknown>) => {
        const before = looks;
        const heard = new Promise<void>((resolve) => {
          told = () => looks > before && resolve();
        });
        await Promise.all([work, heard]);
      };
      await change(store.put(candidate('a'), set));
      await change(store.settle(candidate('a'), 'held', { reason: 'errors', detail: 'x' }, 1));
      await change(store.remove(candidate('a'), 2_000));
      watch.end();
    });
  });
}
