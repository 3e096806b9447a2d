import { describe, expect, it } from 'vitest';
import { DatabaseError } from '../../src/database/database-error.js';
import { type PolicySetFiles, versionOf } from '../../src/policy-store/policy-set-files.js';
import { idModel } from '../models.js';
import { temporaryDirectory } from './folders.js';
import { brief, openArchive, startedStore, until } from './store.js';
import { ToldSource } from './told-source.js';

const files = (rules: string, test?: string): PolicySetFiles => {
  const contents = {
    'model.conf': idModel,
    'rules.csv': rules,
    ...(test !== undefined && { 'tests/roles.yaml': test }),
  };
  return {
    name: 'acl',
    files: Object.entries(contents).map(([path, text]) => ({ path, bytes: Buffer.from(text) })),
  };
};
const alices = files('p, alice, data1, read\n');
const bobs = files('p, bob, data1, read\n');

async function startedWith(options: Parameters<typeof startedStore>[1] = {}) {
  const source = new ToldSource();
  return { source, ...(await startedStore('', { source, ...options })) };
}

describe('what a source tells', () => {
  it('is served under the revision that it gave', async () => {
    const { source, store } = await startedWith();
    await source.offer(alices, 7);
    expect(store.resolve('acl')).toMatchObject({ version: versionOf(alices.files), revision: 7 });
    await source.offer(bobs, 8);
    expect(store.status('acl')).toMatchObject({ version: versionOf(bobs.files), revision: 8, state: 'active' });
  });

  it('has a new revision also where only its tests changed', async () => {
    const { source, store } = await startedWith();
    await source.offer(alices, 7);
    const test = `subjects: { alice: { id: alice } }
resources: { data1: { id: data1 } }
tests: [{ name: alice reads, subject: alice, action: read, resource: data1, expect: allow }]
`;
    await source.offer(files('p, alice, data1, read\n', test), 8);
    expect(store.status('acl').problems).toEqual([]);
    expect(store.resolve('acl').revision).toBe(8);
    expect(store.resolve('acl').version).toBe(versionOf(alices.files));
  });

  it('keeps the revision that serves where what it tells does not load', async () => {
    const { source, store } = await startedWith();
    await source.offer(alices, 7);
    await source.offer(files('p, bob\n'), 8);
    expect(store.resolve('acl')).toMatchObject({ version: versionOf(alices.files), revision: 7 });
    expect(store.status('acl').state).toBe('stale');
  });

  it('is pinned when the source wants an earlier version than its files', async () => {
    const { source, store } = await startedWith();
    await source.offer(bobs, 7);
    await source.offer(alices, 8, versionOf(bobs.files));
    const pinned = {
      version: versionOf(alices.files),
      folderVersion: versionOf(bobs.files),
      pinned: true,
      revision: 8,
    };
    expect(store.status('acl')).toMatchObject(pinned);
    await source.offer(bobs, 9);
    expect(store.status('acl')).toMatchObject({ version: versionOf(bobs.files), pinned: false, revision: 9 });
  });

  it('is tried again, without the source, where something else than its files failed', async () => {
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    let isDown = true;
    const failing = new Proxy(archive, {
      get(target, name) {
        if (name === 'keep' && isDown) return () => Promise.reject(new Error('the disk is full'));
        const member = Reflect.get(target, name);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    const { source, store } = await startedWith({ archive: failing, retryMs: 20 });
    await source.offer(alices, 7);
    expect(brief(store.status('acl'))).toBe('acl failed [.:1 load_failed]');
    isDown = false;
    await until(
      () => brief(store.status('acl')),
      (shown) => shown === 'acl active',
    );
    expect(store.resolve('acl').revision).toBe(7);
  });
});

describe('the age of a set', () => {
  const seconds = (ms: number) => Math.round(ms / 1_000);

  it('is that of its source, and without end before the source was read whole', async () => {
    const { source, store } = await startedWith();
    await source.offer(alices, 7);
    expect(store.ageOf('acl')).toBe(Number.POSITIVE_INFINITY);
    source.confirmedAt = Date.now() - 5_000;
    expect(seconds(store.ageOf('acl'))).toBe(5);
    expect(seconds(store.ageOf('a set that nobody knows'))).toBe(5);
  });

  it('grows while what its source has cannot be loaded, and only of that set', async () => {
    const { source, store } = await startedWith();
    await source.offer(alices, 7);
    source.confirmedAt = Date.now() - 40_000;
    await source.offer(files('p, bob\n'), 8);
    source.confirmedAt = Date.now();
    expect(seconds(store.ageOf('acl'))).toBe(40);
    expect(seconds(store.ageOf('another'))).toBe(0);
    await source.offer(files('p, carol\n'), 9);
    expect(seconds(store.ageOf('acl'))).toBe(40);
    await source.offer(bobs, 10);
    expect(seconds(store.ageOf('acl'))).toBe(0);
  });

  it('is without end where the set never was what its source has', async () => {
    const { source, store } = await startedWith();
    await source.offer(files('p, bob\n'), 8);
    source.confirmedAt = Date.now();
    expect(store.ageOf('acl')).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('who waits', () => {
  it('goes on as soon as a set is served under another revision', async () => {
    const { source, store } = await startedWith();
    await source.offer(alices, 7);
    const eight = store.until(() => store.served('acl')?.revision === 8, 60_000);
    await source.offer(alices, 8);
    expect(await eight).toBe(true);
  });

  it('goes on when a condition holds that nobody told of, and when it did not hold in time', async () => {
    const { source, store } = await startedWith();
    const confirmed = store.until(() => store.ageOf('acl') < 60_000, 60_000);
    source.confirmedAt = Date.now();
    expect(await confirmed).toBe(true);
    expect(await store.until(() => false, 20)).toBe(false);
  });

  it('is let go when the store stops', async () => {
    const { store } = await startedWith();
    const never = store.until(() => false, 60_000);
    await store.stop();
    expect(await never).toBe(false);
  });
});

describe('what is told while something else is handled', () => {
  it('is not overtaken by the retry of what it told before', async () => {
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    let isDown = true;
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const failing = new Proxy(archive, {
      get(target, name) {
        if (name === 'keep' && isDown) return () => Promise.reject(new Error('the disk is full'));
        if (name === 'keep') return (set: PolicySetFiles, at: number) => held.then(() => archive.keep(set, at));
        const member = Reflect.get(target, name);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    const { source, store } = await startedWith({ archive: failing, retryMs: 30 });
    await source.offer(alices, 2);
    isDown = false;
    // The retry falls due while another set is loaded, and stands in line behind what the source tells meanwhile.
    const slow = source.offer({ ...alices, name: 'slow' }, 1);
    const newer = source.offer(bobs, 3);
    const removed = source.sink.remove('slow', 'it is gone');
    await new Promise((resolve) => setTimeout(resolve, 100));
    release();
    await Promise.all([slow, newer, removed]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(store.resolve('acl')).toMatchObject({ revision: 3, version: versionOf(bobs.files) });
    expect(store.statuses().map(({ name }) => name)).toEqual(['acl']);
  });

  it('follows rollbacks of other replicas, each by itself, and is asked again where the archive was away', async () => {
    const archive = await openArchive(`${temporaryDirectory()}/verdict.sqlite`);
    let failure: Error = new Error('it is damaged');
    const failing = new Proxy(archive, {
      get(target, name) {
        if (name === 'files') {
          return (set: string, version: string) =>
            set === 'aaa' ? Promise.reject(failure) : target.files(set, version);
        }
        const member = Reflect.get(target, name);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
    const { source, store, log } = await startedWith({ archive: failing });
    for (const name of ['aaa', 'bbb']) {
      await source.offer({ ...alices, name });
      await source.offer({ ...bobs, name });
      const pinned = { version: versionOf(alices.files), pinnedOver: versionOf(bobs.files) };
      await archive.setState({ name, ...pinned }, Date.now());
    }
    await store.followRollbacks();
    expect(store.statuses().map(({ name, pinned }) => `${name} ${pinned}`)).toEqual(['aaa false', 'bbb true']);
    expect(log.map(({ message }) => message)).toContain('a rollback of another replica is not followed');
    failure = new DatabaseError('ECONNREFUSED', 'ECONNREFUSED', true, true);
    await expect(store.followRollbacks()).rejects.toBe(failure);
  });
});
