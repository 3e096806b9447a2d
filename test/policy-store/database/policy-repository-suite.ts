import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { ChangeNote, PolicyRepository } from '../../../src/policy-store/database/policy-repository.js';
import { type PolicySetFiles, versionOf } from '../../../src/policy-store/policy-set-files.js';
import { idModel } from '../../models.js';
import { until } from '../store.js';

export function setOf(rules: string, name = 'acl', more: Readonly<Record<string, string>> = {}): PolicySetFiles {
  const texts = { 'model.conf': idModel, 'rules.csv': rules, ...more };
  const files = Object.entries(texts).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  return { name, files };
}

const alices = setOf('p, alice, data1, read\n');
const bobs = setOf('p, bob, data1, read\n');
const note = (expected: ChangeNote['expected']): ChangeNote => ({ expected, by: 'ada', at: 1_764_400_000_000 });

/** What a repository must do, whichever database it is in. `open` gives another one of the same database each time. */
export function describePolicyRepository(database: string, make: () => { open(): Promise<PolicyRepository> }): void {
  describe(`policy sets in ${database}`, () => {
    const opened: PolicyRepository[] = [];
    const watches: { end(): void }[] = [];
    const started = () => {
      const { open } = make();
      return async () => {
        const repository = await open();
        opened.push(repository);
        return repository;
      };
    };

    afterEach(async () => {
      for (const watch of watches.splice(0)) watch.end();
      await Promise.all(opened.splice(0).map((repository) => repository.close()));
    });

    it('come back as they were written, tests included, with their revision', async () => {
      const repository = await started()();
      const written = setOf('p, alice, data1, read\n', 'acl', { 'tests/a.yaml': 'tests: []\n', 'schema.yaml': 'ä' });
      expect(await repository.write(written, { ...note('new'), gitCommit: 'c0ffee' })).toBe(1);
      const digest = expect.stringMatching(/^[0-9a-f]{64}$/);
      const head = { name: 'acl', revision: 1, version: versionOf(written.files), digest, gitCommit: 'c0ffee' };
      expect(await repository.heads()).toEqual([head]);
      const read = await repository.read('acl');
      expect(read?.head).toEqual(head);
      expect(read?.set.files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()]).sort()).toEqual(
        written.files.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()]).sort(),
      );
    });

    it('have a higher revision after each change, and the same one when nothing changes', async () => {
      const repository = await started()();
      expect(await repository.write(alices, note('new'))).toBe(1);
      expect(await repository.write(bobs, note(1))).toBe(2);
      expect(await repository.write(bobs, note(2))).toBe(2);
      const tested = setOf('p, bob, data1, read\n', 'acl', { 'tests/a.yaml': 'tests: []\n' });
      expect(await repository.write(tested, note('any'))).toBe(3);
    });

    it('are written over only by who says what is there', async () => {
      const repository = await started()();
      await expect(repository.write(alices, note('any'))).rejects.toMatchObject({ code: 'precondition_failed' });
      await expect(repository.write(alices, note(1))).rejects.toMatchObject({ code: 'precondition_failed' });
      await repository.write(alices, note('new'));
      await expect(repository.write(bobs, note('new'))).rejects.toMatchObject({
        code: 'precondition_required',
        detail: expect.stringContaining('at revision 1'),
      });
      await repository.write(bobs, note(1));
      await expect(repository.write(alices, note(1))).rejects.toMatchObject({
        code: 'precondition_failed',
        detail: expect.stringContaining('at revision 2, not 1'),
      });
      expect((await repository.read('acl'))?.head.version).toBe(versionOf(bobs.files));
    });

    it('of two writers who saw the same revision one is told of the other', async () => {
      const open = started();
      const [one, other] = [await open(), await open()];
      await one.write(setOf(''), note('new'));
      const results = await Promise.allSettled([one.write(alices, note(1)), other.write(bobs, note(1))]);
      expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(results.find(({ status }) => status === 'rejected')).toMatchObject({
        reason: { code: 'precondition_failed' },
      });
      expect((await one.heads())[0]?.revision).toBe(2);
    });

    it('100 writes of two writers give 100 revisions', async () => {
      const open = started();
      const writers = [await open(), await open()];
      await writers[0]!.write(setOf(''), note('new'));
      const revisions = await Promise.all(
        Array.from({ length: 100 }, (_, n) => writers[n % 2]!.write(setOf(`p, u${n}, data1, read\n`), note('any'))),
      );
      expect(revisions.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, n) => n + 2));
    });

    it('serve an earlier version where one is pinned, until they are written again', async () => {
      const repository = await started()();
      await repository.write(alices, note('new'));
      await repository.write(bobs, note(1));
      const by = { by: 'ada', at: 0 };
      expect(await repository.pin('acl', versionOf(alices.files), by)).toBe(3);
      expect(await repository.pin('acl', versionOf(alices.files), by)).toBe(3);
      expect((await repository.heads())[0]).toMatchObject({
        version: versionOf(bobs.files),
        pinned: versionOf(alices.files),
      });
      // The same files again mean: these, and not the pinned ones.
      expect(await repository.write(bobs, note(3))).toBe(4);
      expect((await repository.heads())[0]?.pinned).toBeUndefined();
      expect(await repository.pin('acl', versionOf(alices.files), by)).toBe(5);
      const refused = repository.pin('acl', versionOf(bobs.files), { ...by, expected: 4 });
      await expect(refused).rejects.toMatchObject({ code: 'precondition_failed' });
      expect(await repository.pin('acl', versionOf(bobs.files), { ...by, expected: 5 })).toBe(6);
      expect((await repository.heads())[0]?.pinned).toBeUndefined();
      await expect(repository.pin('other', undefined, by)).rejects.toMatchObject({ code: 'policy_set_not_found' });
    });

    it('go on with their revisions where they are removed and written again', async () => {
      const repository = await started()();
      await expect(repository.remove('acl', note('any'))).rejects.toMatchObject({ code: 'policy_set_not_found' });
      expect(await repository.lastRevision('acl')).toBeUndefined();
      await repository.write(alices, note('new'));
      await expect(repository.remove('acl', note(7))).rejects.toMatchObject({ code: 'precondition_failed' });
      await repository.remove('acl', note(1));
      expect(await repository.heads()).toEqual([]);
      expect(await repository.read('acl')).toBeUndefined();
      expect(await repository.lastRevision('acl')).toBe(2);
      expect(await repository.write(alices, note('new'))).toBe(3);
    });

    it('are told to who watches, soon and once a change, also changes by others', async () => {
      const open = started();
      const [watching, writing] = [await open(), await open()];
      let looks = 0;
      const watch = watching.watch(async () => void looks++);
      watches.push(watch);
      await until(
        () => watch.ageMs,
        (ageMs) => ageMs < 1_000,
      );
      const before = looks;
      await writing.write(alices, note('new'));
      const written = performance.now();
      await until(
        () => looks,
        (seen) => seen > before,
      );
      expect(performance.now() - written).toBeLessThan(1_000);
      const after = looks;
      await delay(700);
      expect(looks).toBe(after);
      expect(watch.ageMs).toBeLessThan(1_000);
    });

    it('are looked at again where a look fails, and their age says how long', async () => {
      const repository = await started()();
      let fails = true;
      let looks = 0;
      const watch = repository.watch(async () => {
        looks++;
        if (fails) throw new Error('cannot be served');
      });
      watches.push(watch);
      await until(
        () => looks,
        (seen) => seen > 1,
      );
      expect(watch.ageMs).toBe(Number.POSITIVE_INFINITY);
      fails = false;
      await until(
        () => watch.ageMs,
        (ageMs) => ageMs < 1_000,
      );
    });
  });
}
