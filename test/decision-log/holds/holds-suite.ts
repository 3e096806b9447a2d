import { describe, expect, it } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { Retention } from '../../../src/decision-log/decision-log-options.js';
import type { NewHold } from '../../../src/decision-log/holds/hold.js';
import { type Holds, mostHolds } from '../../../src/decision-log/holds/holds.js';
import { proveDecision } from '../../../src/decision-log/proof/prove.js';
import { appendExamples, exampleRecord } from '../example-records.js';

/** A database with holds and a decision log whose retention reads them; gone when the test ends. */
export interface HoldsHome {
  /** Opens the holds there, as another process or replica does. */
  open(): Promise<Holds>;
  /** Starts a log there, whose records end up in parts of a day each. */
  start(retention: Retention): Promise<DecisionLog>;
  /** All that the log has committed can be removed. */
  settle(log: DecisionLog): Promise<void>;
  /** Verifies the log; returns what is wrong or missing. */
  findings(): Promise<readonly unknown[]>;
}

const day = 86_400_000;
const daysAgo = (days: number) => Date.now() - days * day;
const hold = (what: Partial<NewHold> = {}): NewHold => ({
  policySets: undefined,
  from: undefined,
  to: undefined,
  reason: 'case 7',
  by: 'legal',
  ...what,
});
/** The whole UTC day that was so many days ago. */
const dayAgo = (days: number) => {
  const from = Math.floor(daysAgo(days) / day) * day;
  return { from, to: from + day };
};

/** What holds do, in whichever database they and the log are. */
export function describeHolds(name: string, newHome: () => HoldsHome): void {
  describe(`holds in ${name}`, () => {
    it('are there for every process: who made them, when, why, and who released them', async () => {
      const home = newHome();
      const [one, other] = [await home.open(), await home.open()];
      const { id } = await one.add(hold({ policySets: ['invoices'], from: 1_000, to: 2_000 }), 5);
      const made = { id, reason: 'case 7', by: 'legal', created: 5, policySets: ['invoices'], from: 1_000, to: 2_000 };
      expect(await other.inForce()).toMatchObject([{ ...made, released: undefined }]);
      expect(await other.release(id, 'court', 9)).toMatchObject({ ...made, released: 9, releasedBy: 'court' });
      expect(await one.inForce()).toEqual([]);
      expect(await one.list()).toMatchObject([{ ...made, released: 9, releasedBy: 'court' }]);
      expect(await one.find(id)).toMatchObject({ released: 9 });
    });

    it('are listed with those in force first, the newest first', async () => {
      const holds = await newHome().open();
      const ids: string[] = [];
      for (const reason of ['a', 'b', 'c', 'd']) ids.push((await holds.add(hold({ reason }), 1)).id);
      await holds.release(ids[3]!, 'me', 2);
      await holds.release(ids[1]!, 'me', 3);
      expect((await holds.list()).map(({ reason }) => reason)).toEqual(['c', 'a', 'd', 'b']);
    });

    it('are released once: of two at a time one succeeds, and what is not there is said', async () => {
      const home = newHome();
      const [one, other] = [await home.open(), await home.open()];
      const { id } = await one.add(hold(), 1);
      const outcomes = await Promise.allSettled([one.release(id, 'a', 2), other.release(id, 'b', 2)]);
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      await expect(one.release(id, 'a', 3)).rejects.toMatchObject({ code: 'hold_not_found' });
      await expect(one.release('none', 'a', 3)).rejects.toMatchObject({ code: 'hold_not_found' });
      await expect(one.find('none')).rejects.toMatchObject({ code: 'hold_not_found' });
    });

    it(`are ${mostHolds} at most`, async () => {
      const holds = await newHome().open();
      for (let i = 0; i < mostHolds; i += 100)
        await Promise.all(Array.from({ length: 100 }, () => holds.add(hold(), 1)));
      await expect(holds.add(hold(), 2)).rejects.toMatchObject({ code: 'conflict' });
      await holds.release((await holds.inForce())[0]!.id, 'me', 3);
      await holds.add(hold(), 4);
    }, 60_000);

    it('are not added while a removal runs that did not see them, on whichever process', async () => {
      const home = newHome();
      const [one, other, reader] = [await home.open(), await home.open(), await home.open()];
      const events: string[] = [];
      let end!: () => void;
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      const removal = one.guard(async (inForce) => {
        events.push(`removes beside ${inForce.length}`);
        await ended;
        events.push('removed');
      });
      await expect.poll(() => events.length).toBe(1);
      const added = other.add(hold(), 1).then(() => events.push('added'));
      expect(await reader.list()).toEqual([]);
      end();
      await Promise.all([removal, added]);
      expect(events).toEqual(['removes beside 0', 'removed', 'added']);
      await one.guard(async (inForce) => expect(inForce).toHaveLength(1));
    });

    it('a removal that fails lets others go on', async () => {
      const home = newHome();
      const [one, other] = [await home.open(), await home.open()];
      await expect(one.guard(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
      await other.add(hold(), 1);
      expect(await one.inForce()).toHaveLength(1);
    });
  });

  describe(`retention beside holds in ${name}`, () => {
    /** A log with a record of each age in days, and of other sets as given. */
    async function filled(
      home: HoldsHome,
      ages: readonly number[],
      retention: Retention,
      sets: readonly string[] = [],
    ) {
      // Without a retention first: what is older than one is not shipped at all.
      const filling = await home.start({});
      for (const [i, age] of ages.entries()) {
        const { from } = dayAgo(age);
        await filling.append(
          exampleRecord(filling, { now: from + 3_600_000, subject: `s${age}`, ...(sets[i] && { policySet: sets[i] }) }),
        );
      }
      await home.settle(filling);
      await filling.stop();
      const log = await home.start(retention);
      await home.settle(log);
      return log;
    }
    const agesIn = async (log: DecisionLog) =>
      (await log.search({ limit: 1_000 })).items.map(({ request }) => Number(request.subject.id.slice(1)));

    it('by age keeps what is held and removes the rest, before and behind it; all is found, counted and proved', async () => {
      const home = newHome();
      const holds = await home.open();
      const { id } = await holds.add(hold(dayAgo(18)), 1);
      const log = await filled(home, [20, 19, 18, 17, 16, 1, 0], { maxAgeMs: 10 * day });
      await log.prune(Date.now());
      expect(await agesIn(log)).toEqual([0, 1, 18]);
      expect((await log.search({ subject: 's18' })).items).toHaveLength(1);
      expect((await log.search({ subject: 's17' })).items).toEqual([]);
      expect((await log.stats({})).total).toBe(3);
      expect((await log.search({})).gaps ?? []).toEqual([]);
      const exported: string[] = [];
      for await (const text of log.export({ format: 'ndjson' })) exported.push(text);
      expect(exported.join('').trim().split('\n')).toHaveLength(3);
      for (const { id: decision } of (await log.search({})).items) {
        expect(await log.find(decision)).toBeDefined();
        // The open file's records have no checkpoint yet.
        const proof = await proveDecision(log, decision).catch((error: { code: string }) => error.code);
        expect(proof).not.toBe('no_proof');
      }
      expect(await home.findings()).toEqual([]);

      await holds.release(id, 'court', 2);
      await log.prune(Date.now());
      expect(await agesIn(log)).toEqual([0, 1]);
      expect((await log.stats({})).total).toBe(2);
      expect(await home.findings()).toEqual([]);
    }, 60_000);

    it('what is held is there after a restart, and nothing is said to be missing', async () => {
      const home = newHome();
      await (await home.open()).add(hold(dayAgo(19)), 1);
      const log = await filled(home, [20, 19, 18, 17, 1, 0], { maxAgeMs: 10 * day });
      await log.prune(Date.now());
      await log.stop();
      const again = await home.start({ maxAgeMs: 10 * day });
      await again.prune(Date.now());
      expect(await agesIn(again)).toEqual([0, 1, 19]);
      expect((await again.search({})).gaps ?? []).toEqual([]);
      expect(again.status.missing).toBeUndefined();
      expect(await home.findings()).toEqual([]);
    }, 60_000);

    it('a hold of a policy set keeps the days that have a record of it, each as a whole', async () => {
      const home = newHome();
      await (await home.open()).add(hold({ policySets: ['loans', 'cards'], to: dayAgo(18).from }), 1);
      const sets = ['loans', 'invoices', 'loans', 'invoices'];
      const log = await filled(home, [20, 19, 18, 1], { maxAgeMs: 10 * day }, sets);
      const { from } = dayAgo(20);
      await appendExamples(log, [{ now: from + 3_700_000, subject: 's20', policySet: 'loans' }]);
      await home.settle(log);
      await log.prune(Date.now());
      expect([...new Set(await agesIn(log))].sort((a, b) => a - b)).toEqual([1, 20]);
    }, 60_000);

    it('by count removes what is beyond it and not held', async () => {
      const home = newHome();
      await (await home.open()).add(hold(dayAgo(7)), 1);
      const log = await filled(home, [9, 8, 7, 6, 5, 0], { maxRecords: 2 });
      await log.prune(Date.now());
      const left = await agesIn(log);
      expect(left).toContain(7);
      expect(left.filter((age) => age !== 7 && age > 5)).toEqual([]);
    }, 60_000);

    it('what two holds keep stays until both are released', async () => {
      const home = newHome();
      const holds = await home.open();
      const wide = await holds.add(hold({ from: dayAgo(20).from, to: dayAgo(18).from }), 1);
      const narrow = await holds.add(hold({ ...dayAgo(19), policySets: ['invoices'] }), 1);
      const log = await filled(home, [20, 19, 18, 0], { maxAgeMs: 10 * day });
      await log.prune(Date.now());
      expect(await agesIn(log)).toEqual([0, 19, 20]);
      await holds.release(wide.id, 'court', 2);
      await log.prune(Date.now());
      expect(await agesIn(log)).toEqual([0, 19]);
      await holds.release(narrow.id, 'court', 3);
      await log.prune(Date.now());
      expect(await agesIn(log)).toEqual([0]);
    }, 60_000);

    it('a hold without an end keeps what comes later, too', async () => {
      const home = newHome();
      await (await home.open()).add(hold({ from: dayAgo(16).from }), 1);
      const log = await filled(home, [20], { maxAgeMs: 10 * day });
      for (const age of [15, 14]) {
        await log.append(exampleRecord(log, { now: dayAgo(age).from + 5_000, subject: `s${age}` }));
      }
      await log.append(exampleRecord(log, { now: Date.now(), subject: 's0' }));
      await home.settle(log);
      await log.prune(Date.now());
      expect(await agesIn(log)).toEqual([0, 14, 15]);
    }, 60_000);
  });
}
