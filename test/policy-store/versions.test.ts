import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SqlitePolicyArchive } from '../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import type { PolicyStore } from '../../src/policy-store/policy-store.js';
import { idModel } from '../models.js';
import { temporaryDirectory, writeTree } from './folders.js';
import { brief, openArchive, startedStore, until } from './store.js';

const rule = (subject: string) => `p, ${subject}, data1, read\n`;

class Place {
  readonly directory = join(temporaryDirectory(), 'policies');
  readonly database = join(temporaryDirectory(), 'verdict.sqlite');

  async write(subject: string): Promise<void> {
    await writeTree(this.directory, { 'acl/model.conf': idModel, 'acl/rules.csv': rule(subject) });
  }

  async break(): Promise<void> {
    await writeFile(join(this.directory, 'acl/rules.csv'), 'p, nobody\n');
  }

  /** Starts the service as it would start after the one before ended. */
  async start(): Promise<PolicyStore> {
    return (await startedStore(this.directory, { archive: await openArchive(this.database) })).store;
  }
}

async function place(subject = 'alice'): Promise<Place> {
  const made = new Place();
  await made.write(subject);
  return made;
}

function reader(store: PolicyStore): string {
  const set = store.resolve('acl');
  const reads = (id: string) =>
    set.compiled.decide({ subject: id, action: 'read', resource: 'data1' }, { now: 0 }).decision === 'allow';
  return ['alice', 'bob', 'carol'].filter(reads).join(' ');
}

const state = (store: PolicyStore) =>
  store
    .statuses()
    .map((status) => brief(status).replace(/ \[.*/, ''))
    .join('; ');
const comesTo = (store: PolicyStore, wanted: string) =>
  until(
    () => `${reader(store)} ${state(store)}`,
    (now) => now === wanted,
  );

describe('a set whose folder is broken when the service starts', () => {
  it('is served from the archive, marked stale, until the folder is repaired', async () => {
    const at = await place();
    const first = await at.start();
    const { version } = first.resolve('acl');
    await first.stop();
    await at.break();
    const second = await at.start();
    expect(second.status('acl')).toMatchObject({ state: 'stale', version, pinned: false });
    expect(second.status('acl').problems[0]).toMatchObject({ file: 'rules.csv', line: 1 });
    expect(reader(second)).toBe('alice');
    await at.write('bob');
    await comesTo(second, 'bob acl active');
  });

  it('is served from the archive when the whole directory is missing or empty', async () => {
    const at = await place();
    await (await at.start()).stop();
    await rm(join(at.directory, 'acl'), { recursive: true });
    const empty = await at.start();
    expect(empty.status('acl')).toMatchObject({ state: 'stale', problems: [{ code: 'policy_dir_empty' }] });
    expect(reader(empty)).toBe('alice');
    await empty.stop();
    await rm(at.directory, { recursive: true });
    const missing = await at.start();
    expect(missing.status('acl')).toMatchObject({ state: 'stale', problems: [{ code: 'policy_dir_missing' }] });
    expect(reader(missing)).toBe('alice');
  });

  it('is gone when its folder went while the service was down, and others are there', async () => {
    const at = await place();
    await writeTree(at.directory, { 'other/model.conf': idModel, 'other/rules.csv': rule('bob') });
    await (await at.start()).stop();
    await rm(join(at.directory, 'acl'), { recursive: true });
    for (let restart = 0; restart < 2; restart++) {
      const store = await at.start();
      expect(state(store)).toBe('other active');
      await store.stop();
    }
  });

  it('fails when it never served', async () => {
    const at = await place();
    await at.break();
    expect(state(await at.start())).toBe('acl failed');
  });
});

describe('a rollback', () => {
  async function twoVersions() {
    const at = await place('alice');
    const store = await at.start();
    const alices = store.resolve('acl').version;
    await at.write('bob');
    await comesTo(store, 'bob acl active');
    const bobs = store.resolve('acl').version;
    return { at, store, alices, bobs };
  }

  it('serves an earlier version at once, and says that it is pinned', async () => {
    const { store, alices, bobs } = await twoVersions();
    const status = await store.rollback('acl', alices, 'a test');
    expect(status).toMatchObject({ state: 'active', version: alices, folderVersion: bobs, pinned: true });
    expect(reader(store)).toBe('alice');
    await store.reload('acl');
    expect(reader(store)).toBe('alice');
  });

  it('survives restarts, also with a broken folder, and files that are only touched', async () => {
    const { at, store, alices } = await twoVersions();
    await store.rollback('acl', alices, 'a test');
    await store.stop();
    const second = await at.start();
    expect(second.status('acl')).toMatchObject({ state: 'active', version: alices, pinned: true });
    await at.write('bob');
    await second.reload();
    expect(reader(second)).toBe('alice');
    await second.stop();
    await at.break();
    const third = await at.start();
    expect(third.status('acl')).toMatchObject({ state: 'stale', version: alices, pinned: true });
    await at.write('bob');
    await comesTo(third, 'alice acl active');
    expect(third.status('acl').pinned).toBe(true);
  });

  it('ends when the folder holds another version that loads, and not before', async () => {
    const { at, store, alices } = await twoVersions();
    await store.rollback('acl', alices, 'a test');
    await at.break();
    await comesTo(store, 'alice acl stale');
    expect(store.status('acl').pinned).toBe(true);
    await at.write('carol');
    await comesTo(store, 'carol acl active');
    expect(store.status('acl').pinned).toBe(false);
    await store.stop();
    expect(reader(await at.start())).toBe('carol');
  });

  it('to the version of the folder ends an earlier one', async () => {
    const { at, store, alices, bobs } = await twoVersions();
    await store.rollback('acl', alices, 'a test');
    expect(await store.rollback('acl', bobs, 'a test')).toMatchObject({ version: bobs, pinned: false });
    await store.stop();
    const again = await at.start();
    expect(again.status('acl')).toMatchObject({ state: 'active', version: bobs, pinned: false });
  });

  it('needs a version that served; one of another set or a broken one is none', async () => {
    const { at, store } = await twoVersions();
    await at.break();
    await until(
      () => state(store),
      (now) => now === 'acl stale',
    );
    const broken = store.status('acl').folderVersion ?? '';
    expect(broken).toMatch(/^sha256:/);
    await expect(store.rollback('acl', broken, 'a test')).rejects.toMatchObject({ code: 'policy_version_not_found' });
    await expect(store.rollback('other', broken, 'a test')).rejects.toMatchObject({ code: 'policy_set_not_found' });
    expect(reader(store)).toBe('bob');
  });
});

describe('the archive', () => {
  it('has every version that served, and none that did not', async () => {
    const at = await place('alice');
    const archive = await openArchive(at.database);
    const { store } = await startedStore(at.directory, { archive });
    const versions = [store.resolve('acl').version];
    await at.break();
    await comesTo(store, 'alice acl stale');
    for (const subject of ['bob', 'carol']) {
      await at.write(subject);
      await comesTo(store, `${subject} acl active`);
      versions.unshift(store.resolve('acl').version);
    }
    expect((await archive.versions('acl', 10)).items.map(({ version }) => version)).toEqual(versions);
  });

  it('answers as any version of any day did, also of a set that was removed', async () => {
    const at = await place('alice');
    await writeTree(at.directory, { 'other/model.conf': idModel, 'other/rules.csv': rule('bob') });
    const store = await at.start();
    const alices = store.resolve('acl').version;
    await at.write('bob');
    await comesTo(store, 'bob acl active; other active');
    const bobs = store.resolve('acl');
    await rm(join(at.directory, 'acl'), { recursive: true });
    await until(
      () => state(store),
      (now) => now === 'other active',
    );
    const allows = async (version: string, subject: string) => {
      const set = await store.version('acl', version);
      expect(set.version).toBe(version);
      return set.compiled.decide({ subject, action: 'read', resource: 'data1' }, { now: 0 }).decision;
    };
    expect(await allows(alices, 'alice')).toBe('allow');
    expect(await allows(alices, 'bob')).toBe('deny');
    expect(await allows(bobs.version, 'bob')).toBe('allow');
    expect(await store.version('acl', alices)).toBe(await store.version('acl', alices));
    const other = store.resolve('other');
    expect(await store.version('other', other.version)).toBe(other);
    await expect(store.version('acl', 'sha256:00')).rejects.toMatchObject({ code: 'policy_version_not_found' });
  });

  it('loads a version again when others were asked for in between', async () => {
    const at = await place('alice');
    const store = await at.start();
    const versions: string[] = [];
    for (let i = 0; i < 10; i++) {
      await writeFile(join(at.directory, 'acl/rules.csv'), `${rule('alice')}# ${i}\n`);
      await store.reload('acl');
      versions.push(store.resolve('acl').version);
    }
    const [first = ''] = versions;
    const before = await store.version('acl', first);
    for (const version of versions) await store.version('acl', version);
    const again = await store.version('acl', first);
    expect(again).not.toBe(before);
    expect(again.version).toBe(before.version);
  });

  it('that cannot be written keeps a new version from being served: it could not be replayed', async () => {
    const at = await place('alice');
    const archive = await SqlitePolicyArchive.open(at.database);
    const { store, log } = await startedStore(at.directory, { archive });
    await archive.close();
    await at.write('bob');
    await comesTo(store, 'alice acl stale');
    expect(store.status('acl').problems.map(({ code }) => code)).toEqual(['load_failed']);
    expect(log.some(({ message }) => message === 'a policy set could not be put into service')).toBe(true);
  });
});
