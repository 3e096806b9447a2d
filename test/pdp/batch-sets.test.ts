/** P8, P10: what a batch demands is asked before its first question has its turn, for a bounded number of names. */
import { describe, expect, it } from 'vitest';
import { BatchSets, mostSettled } from '../../src/pdp/batch-sets.js';
import type { UncheckedDemand } from '../../src/pdp/demand.js';
import { startedFreshSets } from './told-sets.js';

const named = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`other-${n}`, 1]));

/** A set at revision 7, a batch with these demands, and what the source is asked. */
async function batchOf(own: UncheckedDemand[], answer: (name: string) => Promise<number | undefined>) {
  const { source, store, fresh, offer } = await startedFreshSets();
  await offer(7);
  const asked: string[] = [];
  let [running, most] = [0, 0];
  source.latest = async (name: string) => {
    asked.push(name);
    most = Math.max(most, ++running);
    return answer(name).finally(() => running--);
  };
  const sets = new BatchSets(store, fresh, 'all', { defaults: { policySet: 'acl' }, own });
  return { sets, asked, most: () => most };
}

const codeOf = async (find: () => unknown) => {
  try {
    return ((await find()) as { revision: number }).revision;
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('a batch whose questions name sets that this replica does not know', () => {
  const soon = <T>(value: T) => new Promise<T>((resolve) => setImmediate(() => resolve(value)));

  it('asks for all of them before the first is answered, some at once, each once', async () => {
    const own = [{ atLeast: named(40) }, { atLeast: named(40) }, { atLeast: { slip: 1 } }];
    const { sets, asked, most } = await batchOf(own, (name) => soon(name === 'slip' ? undefined : 3));
    await sets.ready();
    expect(asked).toHaveLength(41);
    expect(most()).toBe(8);
    expect(await codeOf(() => sets.find('acl', { atLeast: named(40) }))).toBe(7);
    expect(await codeOf(() => sets.find('acl', { atLeast: { slip: 1 } }))).toBe('unknown_revision');
    expect(asked).toHaveLength(41);
  });

  it(`asks for ${mostSettled} of them at most`, async () => {
    const ask = async (count: number) => {
      const { sets, asked } = await batchOf([{ atLeast: named(100) }, { atLeast: { ...named(count), slip: 1 } }], () =>
        soon(undefined),
      );
      await sets.ready();
      return { asked: asked.length, slip: await codeOf(() => sets.find('acl', { atLeast: { slip: 1 } })) };
    };
    expect(await ask(0)).toEqual({ asked: mostSettled, slip: 7 });
    const { sets, asked } = await batchOf([{ atLeast: named(mostSettled - 1) }, { atLeast: { slip: 1 } }], () =>
      soon(undefined),
    );
    await sets.ready();
    expect(asked).toHaveLength(mostSettled);
    expect(await codeOf(() => sets.find('acl', { atLeast: { slip: 1 } }))).toBe('unknown_revision');
  });

  it('waits once for a source that cannot be asked', async () => {
    const { sets, asked } = await batchOf([{ atLeast: named(90) }], () => Promise.reject(new Error('away')));
    await sets.ready();
    expect(asked.length).toBeLessThanOrEqual(8);
    // It is refused for no name that nobody could say anything of, as a single request is not.
    expect(await codeOf(() => sets.find('acl', { atLeast: named(90) }))).toBe(7);
  });

  it('does not wait for more sets than that whose revision is not there', async () => {
    const own = Array.from({ length: mostSettled + 1 }, (_, n) => ({ policySet: `other-${n}`, atLeast: 9 }));
    const { sets, asked } = await batchOf(own, () => soon(3));
    await sets.ready();
    expect(asked.length).toBeLessThanOrEqual(mostSettled);
    const last = () => sets.find(`other-${mostSettled}`, { atLeast: 9 });
    expect(await codeOf(last)).toBe('policy_too_old');
    expect(asked).not.toContain(`other-${mostSettled}`);
  });
});
