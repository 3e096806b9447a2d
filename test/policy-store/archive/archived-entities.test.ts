import { expect, it, vi } from 'vitest';
import type { DecisionRecord } from '../../../src/decision-log/decision-record.js';
import { VerdictError, versionNotFound } from '../../../src/errors.js';
import { ArchivedEntities, keptEntities, keptSize } from '../../../src/policy-store/archive/archived-entities.js';
import { loadPolicySet } from '../../../src/policy-store/load-policy-set.js';
import { setAt } from '../../pdp/told-sets.js';

const { served: set } = await loadPolicySet(setAt(1));
const named = (
  policyVersion: string,
  policySet = 'acl',
): Pick<DecisionRecord, 'policySet' | 'policyVersion' | 'semantics'> => {
  return { policySet, policyVersion, semantics: 2 };
};

function entitiesOf(answer: (version: string) => typeof set | Error) {
  const loaded: string[] = [];
  let serving: string | undefined;
  const entities = new ArchivedEntities({
    version: async (_name, version) => {
      loaded.push(version);
      const found = answer(version);
      if (found instanceof Error) throw found;
      return found;
    },
    servedVersion: () => serving,
  });
  const serve = (version: string) => {
    serving = version;
  };
  return { entities, loaded, serve };
}

it('a version is loaded once, also for those who ask while it is', async () => {
  const { entities, loaded } = entitiesOf(() => set);
  const [one, other] = await Promise.all([entities.entitiesFor(named('v1')), entities.entitiesFor(named('v1'))]);
  expect(one).toBe(other);
  expect(entities.entitiesFor(named('v1'))).toBe(one);
  await entities.entitiesFor(named('v2'));
  expect(entities.entitiesFor(named('v1'))).toBe(one);
  expect(loaded).toEqual(['v1', 'v2']);
});

it(`${keptEntities} versions are kept, those that were used last`, async () => {
  const { entities, loaded } = entitiesOf(() => set);
  const versions = Array.from({ length: keptEntities }, (_, i) => `v${i}`);
  for (const version of versions) await entities.entitiesFor(named(version));
  for (const version of versions) expect(entities.entitiesFor(named(version))).not.toBeInstanceOf(Promise);
  await entities.entitiesFor(named('one more'));
  expect(entities.entitiesFor(named('v1'))).not.toBeInstanceOf(Promise);
  expect(await entities.entitiesFor(named('v0'))).toBeDefined();
  expect(loaded.filter((version) => version === 'v0')).toHaveLength(2);
});

it(`versions with more than ${keptSize} entities together are let go of, but for the last one`, async () => {
  const sized = (size: number): typeof set => {
    const entities = Object.assign(Object.create(Object.getPrototypeOf(set.compiled.entities)), set.compiled.entities);
    Object.defineProperty(entities, 'size', { value: size });
    return { ...set, compiled: Object.create(set.compiled, { entities: { value: entities } }) };
  };
  const { entities, loaded } = entitiesOf((version) => sized(Number(version)));
  await entities.entitiesFor(named('1'));
  await entities.entitiesFor(named(String(keptSize - 1)));
  expect(entities.entitiesFor(named('1'))).not.toBeInstanceOf(Promise);
  await entities.entitiesFor(named('2'));
  await entities.entitiesFor(named(String(keptSize - 1)));
  expect(loaded).toEqual(['1', String(keptSize - 1), '2', String(keptSize - 1)]);
  await entities.entitiesFor(named(String(keptSize * 2)));
  expect(entities.entitiesFor(named(String(keptSize * 2)))).not.toBeInstanceOf(Promise);
});

it('with another version that serves, its masks apply, and without them nothing stored is shown', async () => {
  const { entities, loaded, serve } = entitiesOf((version) =>
    version === 'gone' ? versionNotFound('acl', 'gone') : set,
  );
  const first = await entities.entitiesFor(named('v1'));
  serve('v2');
  const second = await entities.entitiesFor(named('v1'));
  expect(second).not.toBe(first);
  serve('gone');
  const third = await entities.entitiesFor(named('v1'));
  const request = { subject: { id: 'a' }, action: { name: 'b' }, resource: { id: 'c' } };
  expect(first.subjectOf(request).unresolved).toBeUndefined();
  expect(third.subjectOf(request).unresolved).toBe('policy_version_not_found');
  expect(loaded).toEqual(['v1', 'v1', 'v2', 'v1', 'gone']);
});

it('a version that is not there is looked for again after a while; one that cannot be read is asked for at once', async () => {
  const clock = vi.spyOn(performance, 'now');
  let answer: typeof set | Error = versionNotFound('acl', 'v1');
  const { entities, loaded } = entitiesOf(() => answer);
  clock.mockReturnValue(1_000);
  await entities.entitiesFor(named('v1'));
  answer = set;
  clock.mockReturnValue(10_999);
  const request = { subject: { id: 'a' }, action: { name: 'b' }, resource: { id: 'c' } };
  expect((await entities.entitiesFor(named('v1'))).subjectOf(request).unresolved).toBe('policy_version_not_found');
  clock.mockReturnValue(11_000);
  expect((await entities.entitiesFor(named('v1'))).subjectOf(request).unresolved).toBeUndefined();
  expect(loaded).toHaveLength(2);

  answer = new VerdictError('decision_log_unavailable', 'away');
  await expect(entities.entitiesFor(named('v2'))).rejects.toThrow('away');
  answer = set;
  expect((await entities.entitiesFor(named('v2'))).subjectOf(request).unresolved).toBeUndefined();
  clock.mockRestore();
});
