import { describe, expect, it } from 'vitest';
import {
  forgottenMs,
  instanceSilentMs,
  type LocalInstances,
  type NewClaim,
} from '../../../src/decision-log/local/local-instances.js';
import { NumberRanges } from '../../../src/decision-log/local/number-ranges.js';

const instance = 'a'.repeat(32);
const now = Date.UTC(2026, 10, 30);
const claimOf = (more: Partial<NewClaim> = {}): NewClaim => ({
  instance,
  caller: 'shop',
  authentication: 'api_key',
  first: 1,
  place: { writer: 3, sequence: 40 },
  now,
  ...more,
});
const none = NumberRanges.none;

async function claimed(instances: LocalInstances, more: Partial<NewClaim> = {}): Promise<string> {
  const outcome = await instances.claim(claimOf(more));
  expect(outcome.kind).toBe('claimed');
  return (outcome as { claim: string }).claim;
}

/** What is remembered of clients that decide themselves, in whichever database. `open` opens the same one, as another replica does. */
export function describeLocalInstances(
  name: string,
  newHome: () => { open(most?: number): Promise<LocalInstances> },
): void {
  describe(`instances of clients in ${name}`, () => {
    it('go on, for every process, behind what was settled', async () => {
      const home = newHome();
      const [one, other] = [await home.open(), await home.open()];
      const claim = await claimed(one);
      expect(await one.settle({ instance, claim, next: 54, taken: NumberRanges.of([60, 58, 59, 63]) })).toBe(true);
      const again = await other.claim(claimOf({ first: 54 }));
      expect(again).toMatchObject({ kind: 'claimed', next: 54 });
      const { taken } = again as { taken: NumberRanges };
      expect([`${taken}`, taken.has(57), taken.has(58), taken.has(63)]).toEqual(['58-60,63', false, true, true]);
    });

    it('are not taken by another caller, nor by one of the same name that proved itself otherwise', async () => {
      const instances = await newHome().open();
      const claim = await claimed(instances);
      await instances.settle({ instance, claim, next: 2, taken: none });
      expect(await instances.claim(claimOf({ caller: 'crm' }))).toEqual({ kind: 'taken' });
      expect(await instances.claim(claimOf({ authentication: 'jwt' }))).toEqual({ kind: 'taken' });
    });

    it('say which record is missing', async () => {
      const instances = await newHome().open();
      expect(await instances.claim(claimOf({ first: 2 }))).toEqual({ kind: 'missing', next: 1 });
      const claim = await claimed(instances);
      await instances.settle({ instance, claim, next: 5, taken: none });
      expect(await instances.claim(claimOf({ first: 6 }))).toEqual({ kind: 'missing', next: 5 });
      await claimed(instances, { first: 5 });
    });

    it('are claimed once, until that is settled, also by another process', async () => {
      const home = newHome();
      const [one, other] = [await home.open(), await home.open()];
      const claims = await Promise.all([one.claim(claimOf()), other.claim(claimOf({ place: undefined }))]);
      expect(claims.map(({ kind }) => kind).sort()).toEqual(['claimed', 'open']);
      const open = claims.find(({ kind }) => kind === 'open') as { open: { claim: string } };
      const first = claims.find(({ kind }) => kind === 'claimed') as { claim: string };
      expect(open.open.claim).toBe(first.claim);
      expect(await other.settle({ instance, claim: first.claim, next: 7, taken: none })).toBe(true);
      expect(await one.settle({ instance, claim: first.claim, next: 3, taken: none })).toBe(false);
      expect(await one.claim(claimOf())).toMatchObject({ kind: 'claimed', next: 7 });
    });

    it('list the open claims of a writer, with what is owed', async () => {
      const instances = await newHome().open();
      const claim = await claimed(instances);
      await claimed(instances, { instance: 'b'.repeat(32), place: undefined });
      await claimed(instances, { instance: 'c'.repeat(32), place: { writer: 4, sequence: 0 } });
      const open = { instance, claim, next: 1, taken: none, place: { writer: 3, sequence: 40 }, owed: undefined };
      expect(await instances.openClaims(3)).toEqual([open]);
      expect(await instances.openClaims(undefined)).toEqual([expect.objectContaining({ place: undefined })]);
      const owed = [{ lost: 3, since: 1, until: 2, cause: 'lost_by_client' as const }];
      expect(await instances.settle({ instance, claim, next: 4, taken: none, owed })).toBe(true);
      expect(await instances.openClaims(3)).toEqual([{ ...open, next: 4, owed }]);
      expect(await instances.settle({ instance, claim, next: 4, taken: none })).toBe(true);
      expect(await instances.openClaims(3)).toEqual([]);
    });

    it('are told of once when they are silent for a day without an end, and again after they were heard of', async () => {
      const instances = await newHome().open();
      const ended = 'e'.repeat(32);
      const end = await claimed(instances, { instance: ended });
      await instances.settle({ instance: ended, claim: end, next: 2, taken: none, ended: true });
      await instances.settle({ instance, claim: await claimed(instances), next: 2, taken: none, ended: false });
      const place = { writer: 3, sequence: 90 };
      const silent = (at: number) => instances.silent(at, place);
      const owing = (since: number) => [{ lost: null, since, until: since, cause: 'client_silent' }];
      expect(await silent(now + instanceSilentMs)).toEqual([]);
      const [told, ...others] = await silent(now + instanceSilentMs + 1);
      expect(told).toMatchObject({ instance, caller: 'shop', next: 2, place, owed: owing(now) });
      expect([...others, ...(await silent(now + instanceSilentMs + 1))]).toEqual([]);
      // Where the process ends before the gap is noted, the next one finds it owed.
      const [open] = await instances.openClaims(3);
      expect(open).toMatchObject({ instance, claim: told!.claim, place, owed: owing(now) });
      expect(await instances.settle({ ...open!, owed: undefined })).toBe(true);
      expect(await silent(now + instanceSilentMs + 1)).toEqual([]);
      const later = now + instanceSilentMs + 2;
      const claim = await claimed(instances, { first: 2, now: later });
      await instances.settle({ instance, claim, next: 2, taken: none });
      expect(await silent(later + instanceSilentMs + 1)).toMatchObject([{ instance, owed: owing(later) }]);
    });

    it('are forgotten thirty days after they were heard of, those that ended too', async () => {
      const instances = await newHome().open();
      const ended = 'e'.repeat(32);
      const end = await claimed(instances, { instance: ended });
      await instances.settle({ instance: ended, claim: end, next: 9, taken: none, ended: true });
      await instances.settle({ instance, claim: await claimed(instances), next: 9, taken: none });
      const nextOf = async (which: string) => {
        const outcome = await instances.claim(claimOf({ instance: which, first: 10 }));
        return (outcome as { next: number }).next;
      };
      await instances.forget(now + forgottenMs);
      expect([await nextOf(ended), await nextOf(instance)]).toEqual([9, 9]);
      await instances.forget(now + forgottenMs + 1);
      expect([await nextOf(ended), await nextOf(instance)]).toEqual([1, 1]);
    });

    it('are so many of a caller at most; those that are silent for a day make room, and not those that have just ended', async () => {
      const most = 5;
      const instances = await newHome().open(most);
      const nameOf = (n: number) => n.toString(16).padStart(32, '0');
      const ends = { instance: nameOf(0), claim: await claimed(instances, { instance: nameOf(0) }) };
      for (let n = 1; n < most; n++) await instances.claim(claimOf({ instance: nameOf(n) }));
      expect(await instances.claim(claimOf())).toEqual({ kind: 'full' });
      await claimed(instances, { instance: 'd'.repeat(32), caller: 'crm' });
      await instances.settle({ ...ends, next: 2, taken: none, ended: true });
      expect(await instances.claim(claimOf())).toEqual({ kind: 'full' });
      expect(await instances.claim(claimOf({ instance: ends.instance, first: 2 }))).toMatchObject({ next: 2 });
      const { claim } = (await instances.openClaims(3)).find(({ instance }) => instance === ends.instance)!;
      await instances.settle({ ...ends, claim, next: 2, taken: none, ended: true });
      expect(await instances.claim(claimOf({ now: now + instanceSilentMs }))).toEqual({ kind: 'full' });
      await claimed(instances, { now: now + instanceSilentMs + 1 });
    });
  });
}
