import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { DatabaseSource } from '../../../src/policy-store/database/database-source.js';
import type { PolicyRepository, RepositoryWatch } from '../../../src/policy-store/database/policy-repository.js';
import { SqlitePolicyRepository } from '../../../src/policy-store/database/sqlite/sqlite-policy-repository.js';
import { temporaryDirectory } from '../folders.js';
import { brief, openArchive, startedStore, until } from '../store.js';
import { setOf } from './policy-repository-suite.js';

const note = { expected: 'new', by: 'ada', at: 0 } as const;

/** A store whose sets are in an SQLite file, and the repository that they are written into. */
async function started(watch?: (repository: PolicyRepository) => RepositoryWatch) {
  const path = join(temporaryDirectory(), 'verdict.sqlite');
  const repository = await SqlitePolicyRepository.open(path);
  onTestFinished(() => repository.close());
  await repository.write(setOf('p, alice, data1, read\n'), note);
  if (watch !== undefined) repository.watch = () => watch(repository);
  const archive = await openArchive(path);
  const log = { warn: () => undefined, error: () => undefined };
  const source = new DatabaseSource({ repository, archive, log });
  return { repository, source, ...(await startedStore('', { source, archive })) };
}

describe('policy sets of a database', () => {
  it('are confirmed from the start, before the watch has told anything', async () => {
    const { store, log } = await started(() => ({ ageMs: Number.POSITIVE_INFINITY, end: () => undefined }));
    expect(store.statuses().map(brief)).toEqual(['acl active']);
    expect(Date.now() - store.confirmed!).toBeLessThan(5_000);
    // It looks every half second whether the database is away.
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(log.filter(({ level }) => level === 'error')).toEqual([]);
    expect(store.statuses().map(brief)).toEqual(['acl active']);
  });

  it('are not away any more when the watch answers again, although nothing was changed', async () => {
    const watch = { ageMs: 100, end: () => undefined };
    const { store } = await started(() => watch);
    watch.ageMs = 4_000;
    await until(
      () => store.problem?.code,
      (code) => code === 'policy_database_away',
    );
    watch.ageMs = 100;
    await until(
      () => store.problem,
      (problem) => problem === undefined,
    );
    expect(store.statuses().map(brief)).toEqual(['acl active']);
  });

  it('grow old by the wall clock too, as where the machine was suspended', async () => {
    const confirmed = performance.now();
    const { store } = await started(() => ({
      get ageMs() {
        return performance.now() - confirmed;
      },
      end: () => undefined,
    }));
    expect(store.ageOf('acl')).toBeLessThan(5_000);
    vi.spyOn(Date, 'now').mockImplementation(() => performance.timeOrigin + performance.now() + 3_600_000);
    onTestFinished(() => void vi.restoreAllMocks());
    expect(store.ageOf('acl')).toBeGreaterThan(3_590_000);
  });

  it('of which one cannot be read are served but for that one', async () => {
    const { repository, store } = await started();
    await repository.write(setOf('p, alice, data1, read\n', 'other'), note);
    await until(
      () => store.statuses().map(brief),
      (shown) => shown.length === 2,
    );
    await repository.connection.query(
      "UPDATE policy_head SET content = X'00', revision = revision + 1 WHERE name = 'acl'",
    );
    await repository.write(setOf('p, bob, data1, read\n', 'other'), { ...note, expected: 'any' });
    await until(
      () => store.statuses().map(brief),
      (shown) => shown[0] === 'acl stale [.:1 stored_set_unreadable]',
    );
    await until(
      () => store.resolve('other').revision,
      (revision) => revision === 2,
    );
    expect(store.resolve('acl').revision).toBe(1);
  });

  it('whose version to roll back to is gone say so, and go on with what they serve', async () => {
    const { repository, store } = await started();
    const gone = `sha256:${'0'.repeat(64)}`;
    await expect(store.rollback('acl', gone, 'ada')).rejects.toMatchObject({ code: 'policy_version_not_found' });
    await repository.pin('acl', gone, { by: 'ada', at: 0 });
    await until(
      () => store.statuses().map(brief),
      (shown) => shown[0] === 'acl stale [.:1 pinned_version_missing]',
    );
    expect(store.resolve('acl').revision).toBe(1);
  });
});
