/** P8: who demands freshness is never answered from what is older. */
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { VerdictError } from '../../src/errors.js';
import type { Demand } from '../../src/pdp/demand.js';
import type { FreshSets } from '../../src/pdp/fresh-sets.js';
import { setAt, startedFreshSets, waitLonger } from './told-sets.js';

/** The revision that answers, or the refusal's code. */
async function answer(fresh: FreshSets, demand: Demand, name?: string, visible: 'all' | string[] = 'all') {
  try {
    return (await fresh.find(visible, name, demand)).revision;
  } catch (error) {
    if (error instanceof VerdictError) return error.code;
    throw error;
  }
}

async function refusal(fresh: FreshSets, demand: Demand, name?: string): Promise<VerdictError> {
  try {
    await fresh.find('all', name, demand);
  } catch (error) {
    if (error instanceof VerdictError) return error;
    throw error;
  }
  throw new Error('it was answered');
}

const away = () => Promise.reject(new Error('the source is away'));

describe('a demanded revision', () => {
  it('that is served, or is older, is answered at once', async () => {
    const { fresh, offer } = await startedFreshSets();
    await offer(7);
    for (const demand of [{}, { atLeast: 6 }, { atLeast: 7 }, { atLeast: { acl: 7 } }, { maxStaleness: '1m' }]) {
      expect(fresh.find('all', 'acl', demand)).toMatchObject({ revision: 7 });
    }
  });

  it('is waited for', async () => {
    const { fresh, store, offer } = await startedFreshSets();
    waitLonger(store);
    await offer(7);
    const waiting = answer(fresh, { atLeast: 8 });
    await offer(8);
    expect(await waiting).toBe(8);
  });

  it('is waited for also of a set that this replica does not know yet', async () => {
    const { fresh, store, offer } = await startedFreshSets();
    waitLonger(store);
    await offer(1);
    const waiting = answer(fresh, { atLeast: 3 }, 'new');
    await offer(3, 'new');
    expect(await waiting).toBe(3);
  });

  it('that the source has, and this replica not yet, is refused as too old, with a time to ask again', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    source.latest = async () => 9;
    const error = await refusal(fresh, { atLeast: 9 });
    expect(error.code).toBe('policy_too_old');
    expect(error.extra.retryAfter).toBe(1);
    expect(error.detail).toBe('The policy set "acl" is at 7 here, and at least 9 is demanded.');
    expect(await answer(fresh, { atLeast: 9 }, 'new')).toBe('policy_too_old');
  });

  it('is refused as too old while the source cannot be asked, or does not answer', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    source.latest = away;
    expect((await refusal(fresh, { atLeast: 9 })).detail).toMatch(/at 7 here.*its source cannot be asked/);
    expect(await answer(fresh, { atLeast: 1 }, 'unknown')).toBe('policy_too_old');
    source.latest = () => new Promise(() => undefined);
    expect(await answer(fresh, { atLeast: 9 })).toBe('policy_too_old');
  });

  it('that was never given out is refused, with its place', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    source.latest = async () => 7;
    const error = await refusal(fresh, { atLeast: 8 });
    expect(error.code).toBe('unknown_revision');
    expect(error.extra.errors).toEqual([{ pointer: '/atLeast', detail: 'is 8, and the policy set "acl" is at 7' }]);
    expect((await refusal(fresh, { atLeast: { acl: 8 } })).extra.errors?.[0]?.pointer).toBe('/atLeast/acl');
  });

  it('is refused at once where the source gives no revisions', async () => {
    const { fresh, store, offer } = await startedFreshSets();
    await offer(undefined);
    const waits = vi.spyOn(store, 'until');
    expect(await answer(fresh, { atLeast: 1 })).toBe('no_revision');
    expect(waits).not.toHaveBeenCalled();
  });

  it('is not met by a version from before the source was read, whatever number it had', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(undefined);
    source.latest = async () => 4;
    expect(await answer(fresh, { atLeast: 3 })).toBe('policy_too_old');
  });

  it('is answered where it comes while the source is asked', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    source.latest = async () => {
      await offer(8);
      return 8;
    };
    expect(await answer(fresh, { atLeast: 8 })).toBe(8);
  });

  it('of a set that there is not is not found', async () => {
    const { fresh, offer } = await startedFreshSets();
    await offer(7);
    expect(await answer(fresh, { atLeast: 1 }, 'nowhere')).toBe('policy_set_not_found');
  });

  it('of a set that was removed is refused until all that the source had then is known, and then not found', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    source.latest = async () => 8;
    await source.sink.remove('acl', 'a test removes it');
    source.confirmedAt = Date.now() - 1_000;
    expect(await answer(fresh, { atLeast: 7 }, 'acl')).toBe('policy_too_old');
    // Times are in whole milliseconds.
    source.confirmedAt = Date.now() + 1;
    expect(await answer(fresh, { atLeast: 7 }, 'acl')).toBe('policy_set_not_found');
    // It is written anew, which is not known here yet.
    source.latest = async () => 9;
    expect(await answer(fresh, { atLeast: 7 }, 'acl')).toBe('policy_too_old');
  });

  it('does not ask the source more often for many who demand what there is not', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    const latest = vi.fn(async () => 7);
    source.latest = latest;
    const answers = await Promise.all(Array.from({ length: 500 }, () => answer(fresh, { atLeast: 8 })));
    expect(new Set(answers)).toEqual(new Set(['unknown_revision']));
    expect(latest.mock.calls.length).toBeLessThan(5);
  });

  it('of many unknown sets does not put more than a few questions to the source', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    let underWay = 0;
    let most = 0;
    source.latest = () => {
      most = Math.max(most, ++underWay);
      return new Promise((resolve) => setImmediate(() => resolve(void underWay--)));
    };
    const names = Array.from({ length: 300 }, (_, n) => `unknown-${n}`);
    const answers = await Promise.all(names.map((name) => answer(fresh, { atLeast: 1 }, name)));
    expect(new Set(answers)).toEqual(new Set(['policy_set_not_found', 'policy_too_old']));
    expect(most).toBe(16);
  });
});

describe('demanded revisions by set', () => {
  it('hold for the set that answers; the others need only be there', async () => {
    const { fresh, offer } = await startedFreshSets({ defaultPolicySet: 'acl' });
    await offer(7);
    await offer(1, 'other');
    expect(fresh.find('all', undefined, { atLeast: { acl: 7, other: 99 } })).toMatchObject({ revision: 7 });
    expect(fresh.find('all', 'other', { atLeast: { acl: 99 } })).toMatchObject({ revision: 1 });
  });

  it('are refused where they name a set that there is not: the name may be a slip', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    const error = await refusal(fresh, { atLeast: { 'a/cl': 8 } });
    expect(error.code).toBe('unknown_revision');
    expect(error.extra.errors).toEqual([
      { pointer: '/atLeast/a~1cl', detail: 'names the policy set "a/cl", which there is not' },
    ]);
    source.latest = async () => 2;
    expect(await answer(fresh, { atLeast: { new: 2 } })).toBe(7);
    source.latest = away;
    expect(await answer(fresh, { atLeast: { newer: 2 } })).toBe(7);
  });

  it('do not tell a caller which sets there are that it may not use', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    await offer(1, 'secret');
    source.latest = async () => 1;
    for (const name of ['secret', 'nowhere']) {
      expect(await answer(fresh, { atLeast: { [name]: 1 } }, 'acl', ['acl'])).toBe('unknown_revision');
      expect(await answer(fresh, { atLeast: 1 }, name, ['acl'])).toBe('policy_set_not_found');
    }
  });
});

describe('demanded staleness', () => {
  it('is met by what was confirmed in that time, at N and not at N + 1', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    try {
      const { source, fresh, offer } = await startedFreshSets();
      await offer(7);
      source.confirmedAt = Date.now() - 5_000;
      expect(fresh.find('all', 'acl', { maxStaleness: '5s' })).toMatchObject({ revision: 7 });
      vi.advanceTimersByTime(1);
      expect(fresh.find('all', 'acl', { maxStaleness: '5s' })).toBeInstanceOf(Promise);
    } finally {
      vi.useRealTimers();
    }
  });

  it('is waited for, and then refused', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    source.confirmedAt = Date.now() - 60_000;
    const waiting = answer(fresh, { maxStaleness: '30s' });
    source.confirmedAt = Date.now();
    expect(await waiting).toBe(7);
    source.confirmedAt = Date.now() - 60_000;
    const error = await refusal(fresh, { maxStaleness: '30s' });
    expect(error.code).toBe('policy_too_old');
    expect(error.detail).toMatch(
      /^What is served of the policy set "acl" was known to be current 60(\.\d)? s ago; 30 s are accepted\.$/,
    );
  });

  it('is met by a confirmation that began after the request came, even where none is old enough for it', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    source.confirmedAt = Date.now() - 10;
    const waiting = answer(fresh, { maxStaleness: '0ms' });
    source.confirmedAt = Date.now() + 20;
    expect(await waiting).toBe(7);
  });

  it('is refused while the newest of the set cannot be loaded, although its source is confirmed', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    await offer(1, 'other');
    source.confirmedAt = Date.now() - 60_000;
    const broken = { ...setAt(8), files: setAt(8).files.slice(0, 1) };
    await source.offer({ ...broken, files: [...broken.files, { path: 'rules.csv', bytes: Buffer.from('p, x\n') }] }, 8);
    source.confirmedAt = Date.now();
    expect(await answer(fresh, { maxStaleness: '30s' }, 'acl')).toBe('policy_too_old');
    expect(await answer(fresh, { maxStaleness: '30s' }, 'other')).toBe(1);
    expect(await answer(fresh, {}, 'acl')).toBe(7);
  });

  it('is refused for a set that this replica does not know, while it cannot know', async () => {
    const { source, fresh, offer } = await startedFreshSets();
    await offer(7);
    source.confirmedAt = undefined;
    expect(await answer(fresh, { maxStaleness: '30s' }, 'nowhere')).toBe('policy_too_old');
  });

  it('holds for every request where it is configured; a request can demand less and not more', async () => {
    const { source, store, fresh, offer } = await startedFreshSets({ maxStalenessMs: 30_000 });
    await offer(7);
    source.confirmedAt = Date.now() - 10_000;
    expect(await answer(fresh, {})).toBe(7);
    expect(await answer(fresh, { maxStaleness: '5s' })).toBe('policy_too_old');
    expect(store.outdated()).toEqual([]);
    source.confirmedAt = Date.now() - 40_000;
    for (const demand of [{}, { maxStaleness: '1h' }, { atLeast: 7 }]) {
      expect(await answer(fresh, demand)).toBe('policy_too_old');
    }
    expect(store.outdated()).toEqual(['acl']);
    expect(fresh.refusals).toEqual(new Map([['policy_too_old', 4]]));
  });
});

describe('P8', () => {
  /** What happens, one after another: the source has another revision, the replica hears of the newest, a request comes. */
  const step = fc.oneof(
    fc.record({ kind: fc.constant('write' as const), fails: fc.boolean() }),
    fc.record({ kind: fc.constant('deliver' as const) }),
    fc.record({ kind: fc.constant('away' as const), isAway: fc.boolean() }),
    fc.record({ kind: fc.constant('ask' as const), ahead: fc.integer({ min: -3, max: 2 }) }),
  );

  it('no answer is older than demanded, and no refusal says what is not so, however late revisions arrive', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
        const { source, fresh, store } = await startedFreshSets();
        let written = 1;
        let broken = false;
        let isAway = false;
        source.latest = async () => {
          if (isAway) throw new Error('away');
          return written;
        };
        const deliver = async () => {
          const files = setAt(written);
          const rules = { path: 'rules.csv', bytes: Buffer.from(broken ? 'p, x\n' : `p, r${written}, data, read\n`) };
          await source.offer({ ...files, files: [files.files[0]!, rules] }, written);
        };
        await deliver();
        const asked: Promise<void>[] = [];
        for (const each of steps) {
          switch (each.kind) {
            case 'write':
              written++;
              broken = each.fails;
              break;
            case 'deliver':
              await deliver();
              break;
            case 'away':
              isAway = each.isAway;
              break;
            case 'ask': {
              const atLeast = Math.max(1, written + each.ahead);
              const writtenBefore = written;
              asked.push(
                answer(fresh, { atLeast }, 'acl').then((got) => {
                  if (typeof got === 'number') {
                    expect(got).toBeGreaterThanOrEqual(atLeast);
                    expect(store.served('acl')?.revision).toBeGreaterThanOrEqual(got);
                  } else if (got === 'unknown_revision') expect(atLeast).toBeGreaterThan(writtenBefore);
                  else expect(got).toBe('policy_too_old');
                }),
              );
              break;
            }
            default:
              each satisfies never;
          }
        }
        await Promise.all(asked);
      }),
      { numRuns: 40 },
    );
  }, 60_000);
});
