import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { DatabaseError } from '../../../src/database/database-error.js';
import type { SqlitePolicyArchive } from '../../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { DatabaseSource } from '../../../src/policy-store/database/database-source.js';
import { copiedPolicies } from '../../../src/policy-store/database/policies-copy.js';
import type { PolicyRepository, RepositoryWatch } from '../../../src/policy-store/database/policy-repository.js';
import { SqlitePolicyRepository } from '../../../src/policy-store/database/sqlite/sqlite-policy-repository.js';
import { SpoolCopy } from '../../../src/policy-store/spool-copy.js';
import { temporaryDirectory } from '../folders.js';
import { brief, newStore, openArchive, until } from '../store.js';
import { setOf } from './policy-repository-suite.js';

const note = { expected: 'new', by: 'ada', at: 0 } as const;

type Watch = (repository: PolicyRepository) => RepositoryWatch;

const away = new DatabaseError('ECONNREFUSED', 'ECONNREFUSED', true, true);
const damaged = new DatabaseError('XX001 missing chunk', 'XX001', false);

/** A store whose sets are in an SQLite file, and the repository that they are written into. */
async function started({ watch, folder = temporaryDirectory() }: { watch?: Watch; folder?: string } = {}) {
  const path = join(folder, 'verdict.sqlite');
  const repository = await SqlitePolicyRepository.open(path);
  onTestFinished(() => repository.close());
  if ((await repository.heads()).length === 0) await repository.write(setOf('p, alice, data1, read\n'), note);
  if (watch !== undefined) repository.watch = () => watch(repository);
  const archive = await openArchive(path);
  const log = { warn: () => undefined, error: () => undefined };
  const copy = new SpoolCopy(copiedPolicies, {
    folder: join(folder, 'copy'),
    database: 'db',
    onProblem: () => undefined,
  });
  const source = new DatabaseSource({ repository, archive, copy, log });
  return { repository, source, copy, archive, ...newStore('', { source, archive, retryMs: 50 }) };
}

async function running(options?: Parameters<typeof started>[0]) {
  const made = await started(options);
  await made.store.start();
  return made;
}

describe('policy sets of a database', () => {
  it('are confirmed from the start, before the watch has told anything', async () => {
    const { store, log } = await running({ watch: () => ({ ageMs: Number.POSITIVE_INFINITY, end: () => undefined }) });
    expect(store.statuses().map(brief)).toEqual(['acl active']);
    expect(Date.now() - store.confirmed!).toBeLessThan(5_000);
    // It looks every half second whether the database is away.
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(log.filter(({ level }) => level === 'error')).toEqual([]);
    expect(store.statuses().map(brief)).toEqual(['acl active']);
  });

  it('are not away any more when the watch answers again, although nothing was changed', async () => {
    const watch = { ageMs: 100, end: () => undefined };
    const { store } = await running({ watch: () => watch });
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
    const { store } = await running({
      watch: () => ({
        get ageMs() {
          return performance.now() - confirmed;
        },
        end: () => undefined,
      }),
    });
    expect(store.ageOf('acl')).toBeLessThan(5_000);
    vi.spyOn(Date, 'now').mockImplementation(() => performance.timeOrigin + performance.now() + 3_600_000);
    onTestFinished(() => void vi.restoreAllMocks());
    expect(store.ageOf('acl')).toBeGreaterThan(3_590_000);
  });

  it('of which one cannot be read are served but for that one', async () => {
    const { repository, store } = await running();
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
    const { repository, store } = await running();
    const gone = `sha256:${'0'.repeat(64)}`;
    await expect(store.rollback('acl', gone, 'ada')).rejects.toMatchObject({ code: 'policy_version_not_found' });
    await repository.pin('acl', gone, { by: 'ada', at: 0 });
    await until(
      () => store.statuses().map(brief),
      (shown) => shown[0] === 'acl stale [.:1 pinned_version_missing]',
    );
    expect(store.resolve('acl').revision).toBe(1);
  });

  it('are not taken from the copy where the database could be read before it failed', async () => {
    const folder = temporaryDirectory();
    const before = await running({ folder });
    await before.repository.write(setOf('p, alice, data1, read\n', 'other'), note);
    await until(
      () => before.store.statuses().length,
      (count) => count === 2,
    );
    await until(
      () => before.copy.read(Date.now()).then((copied) => copied?.sets.length),
      (reading) => reading !== undefined,
    );
    await before.store.stop();
    const { repository, source, store } = await started({ folder });
    await repository.write(setOf('p, bob, data1, read\n'), { ...note, expected: 'any' });
    const read = repository.read.bind(repository);
    repository.read = (name) => (name === 'other' ? Promise.reject(away) : read(name));
    await store.start();
    expect(store.resolve('acl').revision).toBe(2);
    repository.read = read;
    await source.reload();
    expect(store.resolve('acl').revision).toBe(2);
    expect(store.statuses().map(brief)).toEqual(['acl active', 'other active']);
  }, 20_000);

  it('of which one cannot be read for its own sake do not keep the others from being served', async () => {
    const { repository, store } = await started();
    await repository.write(setOf('p, alice, data1, read\n', 'other'), note);
    const read = repository.read.bind(repository);
    repository.read = (name) => (name === 'acl' ? Promise.reject(damaged) : read(name));
    await store.start();
    expect(store.statuses().map(brief)).toEqual(['acl failed [.:1 stored_set_unreadable]', 'other active']);
  });

  it('are told again where a restored database gives a revision once more', async () => {
    const { repository, store } = await running();
    await repository.write(setOf('p, bob, data1, read\n'), { ...note, expected: 1 });
    await until(
      () => store.resolve('acl').revision,
      (revision) => revision === 2,
    );
    const bobs = store.resolve('acl').version;
    await repository.connection.query('UPDATE policy_head SET revision = 1, changed = 1');
    await repository.connection.query('UPDATE policy_revision SET files = 1');
    await repository.write(setOf('p, carol, data1, read\n'), { ...note, expected: 1, at: 2 });
    await until(
      () => store.resolve('acl'),
      ({ version, revision }) => version !== bobs && revision === 2,
    );
  });

  it('are copied again until it went well, and the copy is not confirmed before', async () => {
    const { repository, store, copy } = await running();
    const keep = copy.keep.bind(copy);
    await until(
      () => store.confirmed,
      (confirmed) => confirmed !== undefined,
    );
    copy.keep = async () => [];
    await repository.write(setOf('p, bob, data1, read\n'), { ...note, expected: 1 });
    await until(
      () => store.resolve('acl').revision,
      (revision) => revision === 2,
    );
    const confirmed = (await copy.read(Date.now()))!.confirmed;
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect((await copy.read(Date.now()))!.confirmed).toBe(confirmed);
    copy.keep = keep;
    await expect
      .poll(async () => (await copy.read(Date.now()))?.sets[0]?.content?.revision, { timeout: 3_000 })
      .toBe(2);
  });

  it('are asked for again with pauses when they are started while the database is away', async () => {
    const { repository, store } = await started();
    let looks = 0;
    repository.heads = () => {
      looks++;
      return Promise.reject(away);
    };
    const starting = store.start();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(looks).toBeLessThanOrEqual(11);
    await store.stop();
    await starting;
    expect(looks).toBeLessThanOrEqual(12);
  });

  it('serve a version that was rolled back to under the defaults that it served under', async () => {
    const { repository, store, archive } = await running();
    const alices = store.resolve('acl').version;
    await repository.write(setOf('p, bob, data1, read\n'), { ...note, expected: 1 });
    await until(
      () => store.resolve('acl').revision,
      (revision) => revision === 2,
    );
    await (archive as SqlitePolicyArchive).connection.query(
      'UPDATE policy_version SET semantics = 1 WHERE version = ?',
      [alices],
    );
    await store.rollback('acl', alices, 'ada');
    expect(store.resolve('acl')).toMatchObject({ version: alices, revision: 3 });
    expect(store.resolve('acl').compiled.semantics).toBe(1);
    expect((await archive.version('acl', alices))?.semantics).toBe(1);
  });
});
