import { describe, expect, it, onTestFinished } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { ErasureOrders } from '../../../src/decision-log/erasure/erasure-orders.js';
import { type ErasableLog, Erasures } from '../../../src/decision-log/erasure/erasures.js';
import type { Holds } from '../../../src/decision-log/holds/holds.js';
import { exampleRecord } from '../example-records.js';
import type { HoldsHome } from './holds-suite.js';

export interface ErasureHome extends HoldsHome {
  orders(): Promise<ErasureOrders>;
}

const loans = { policySets: ['loans'], from: undefined, to: undefined, reason: 'case 7', by: 'legal' };

/** Erasure beside holds, in whichever database they and the log are. */
export function describeErasureBesideHolds(name: string, newHome: () => ErasureHome): void {
  describe(`erasure beside holds in ${name}`, () => {
    /** A log in which Dana is in decisions of two sets. */
    async function withDana(home: ErasureHome) {
      const log = await home.start({});
      for (const policySet of ['invoices', 'loans', 'invoices', 'loans']) {
        await log.append(exampleRecord(log, { now: Date.now(), subject: 'dana', policySet, requestId: policySet }));
      }
      await log.append(exampleRecord(log, { now: Date.now(), subject: 'ann' }));
      await home.settle(log);
      return log;
    }
    async function erasing(log: ErasableLog, orders: ErasureOrders, holds: Holds) {
      const onProblem = (_what: string, error: unknown) => expect(error).toBeUndefined();
      const erasures = new Erasures({ orders, log, holds, latestMs: 0, lookMs: 50, onProblem });
      erasures.start();
      onTestFinished(() => erasures.stop());
      return erasures;
    }
    async function order(erasures: Erasures) {
      const made = await erasures.draft('subject', 'dana', 'request 4711', 'dpo');
      await erasures.commit(made);
      await expect.poll(async () => (await erasures.find(made.id)).state, { timeout: 30_000 }).toBe('finished');
      return made.id;
    }
    const setsOfDana = async (log: DecisionLog) =>
      (await log.search({ subject: 'dana' })).items.map(({ policySet }) => policySet);

    it('leaves what is held, says how many records that are, and erases them when the hold is released', async () => {
      const home = newHome();
      const [holds, elsewhere] = [await home.open(), await home.open()];
      const log = await withDana(home);
      const { id } = await elsewhere.add(loans, 1);
      const erasures = await erasing(log, await home.orders(), holds);
      expect((await erasures.preview('subject', 'dana')).of('preview')).toEqual({ about: 2, named: 0, held: 2 });
      const erasure = await order(erasures);
      expect(await setsOfDana(log)).toEqual(['loans', 'loans']);
      expect((await erasures.find(erasure)).records).toMatchObject({ about: 2, held: 2 });
      expect(await home.findings()).toEqual([]);

      await elsewhere.release(id, 'court', 2);
      await expect.poll(() => setsOfDana(log), { timeout: 30_000 }).toEqual([]);
      await expect.poll(async () => (await erasures.find(erasure)).state, { timeout: 30_000 }).toBe('finished');
      expect((await erasures.find(erasure)).records).toMatchObject({ about: 4, held: 0 });
      expect(await home.findings()).toEqual([]);
    }, 120_000);

    it('leaves also what a hold keeps that is added while records are rewritten', async () => {
      const home = newHome();
      const holds = await home.open();
      const log = await withDana(home);
      let passes = 0;
      const slow: ErasableLog = {
        hasReturned: false,
        forgetReturned: async () => undefined,
        erasable: (orders, signal) => log.erasable(orders, signal),
        erase: async (orders, signal, onErased) => {
          // What is held was asked for already.
          if (passes++ === 0) await holds.add(loans, 1);
          return log.erase(orders, signal, onErased);
        },
      };
      const erasures = await erasing(slow, await home.orders(), holds);
      const erasure = await order(erasures);
      expect(passes).toBeGreaterThan(1);
      expect(await setsOfDana(log)).toEqual(['loans', 'loans']);
      expect((await erasures.find(erasure)).records).toMatchObject({ about: 2, held: 2 });
    }, 120_000);
  });
}
