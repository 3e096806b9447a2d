import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { DataChange } from '../../../src/core/policy/data-change.js';
import { DatabaseError } from '../../../src/database/database-error.js';
import { compilePolicySet } from '../../../src/engine.js';
import { ArchiveRetention } from '../../../src/policy-store/archive/archive-retention.js';
import type { PolicyArchive } from '../../../src/policy-store/archive/policy-archive.js';
import { SentBundles } from '../../../src/policy-store/bundle/sent-bundles.js';
import { copiedData } from '../../../src/policy-store/data/data-copy.js';
import { DataCopying } from '../../../src/policy-store/data/data-copying.js';
import type { LiveDataStore } from '../../../src/policy-store/data/live-data-store.js';
import { type DataChangeNote, LiveDataWriting } from '../../../src/policy-store/data/live-data-writing.js';
import { LiveSets } from '../../../src/policy-store/data/live-sets.js';
import { DatabaseSource } from '../../../src/policy-store/database/database-source.js';
import type { PolicyRepository } from '../../../src/policy-store/database/policy-repository.js';
import { PolicyWriting } from '../../../src/policy-store/database/policy-writing.js';
import type { PolicySource } from '../../../src/policy-store/policy-source.js';
import type { PolicyStore } from '../../../src/policy-store/policy-store.js';
import { defaultMaxSets } from '../../../src/policy-store/source-limits.js';
import { SpoolCopy } from '../../../src/policy-store/spool-copy.js';
import { roleModel as model } from '../../models.js';
import { temporaryDirectory } from '../folders.js';
import { newStore, until } from '../store.js';
import { ToldSource } from '../told-source.js';

/** One database, opened by several replicas. */
export interface Replicated {
  data(): Promise<LiveDataStore>;
  archive(): Promise<PolicyArchive>;
  repository(): Promise<PolicyRepository>;
}

/** A source that gives sets numbers of its own. */
class NumberingSource extends ToldSource {
  override get hasOwnNumbers(): boolean {
    return true;
  }
}

const manifest = 'data: { roles: [g], entities: [user] }\n';
const rules = 'p, editor, doc, write\np, viewer, doc, read\ng, editor, viewer\n';
const liveTest = `data: live
tests:
  - { name: somebody may write, subject: boss, action: write, resource: doc, expect: allow }
subjects: { boss: { type: user, id: boss } }
resources: { doc: { type: x, id: doc } }
`;
/** What a store says whose server cannot be reached. */
const away = new DatabaseError('ECONNREFUSED', 'ECONNREFUSED', true, true);
const add = (...roles: string[][]): DataChange => ({ add: { roles } });
const remove = (...roles: string[][]): DataChange => ({ remove: { roles } });

/** Whole numbers below `n` from a seed, the same ones each time. */
function randomFrom(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % n;
  };
}

/** What a folder or the database holds of the set. */
const filesOf = (more: Record<string, string> = {}) => ({
  'model.conf': model,
  'policy-set.yaml': manifest,
  'rules.csv': rules,
  ...more,
});

const setOf = (files: Record<string, string>, name = 'acl') => ({
  name,
  files: Object.entries(files)
    .map(([path, text]) => ({ path, bytes: Buffer.from(text) }))
    .sort((a, b) => (a.path < b.path ? -1 : 1)),
});

function mayWrite(store: PolicyStore, subject: string): boolean {
  const request = { subject, action: 'write', resource: { type: 'x', id: 'doc' } };
  return store.resolve('acl').compiled.decide(request, { now: 0 }).decision === 'allow';
}

/** What a set with live data must do, whatever the database; replicas have connections of their own. */
export function describeLiveSets(database: string, make: () => Replicated): void {
  describe(`sets with live data in ${database}`, () => {
    /** A replica that is started, and ends with the test. */
    async function replicaOf<Source extends PolicySource>(
      { data, archive }: { data: LiveDataStore; archive: PolicyArchive },
      from: { source: Source } | { folder: string },
      copying?: DataCopying,
    ) {
      const options = { archive, live: new LiveSets(data, copying), retryMs: 50 };
      const made =
        'folder' in from ? newStore(from.folder, options) : newStore('', { ...options, source: from.source });
      await made.store.start();
      const stop = async () => {
        await made.store.stop();
        await data.close();
        await archive.close();
      };
      onTestFinished(stop);
      const writing = new LiveDataWriting(data, made.store);
      const change = (what: DataChange, note: Partial<DataChangeNote> = {}) =>
        writing.change('acl', what, { by: 'ada', ...note });
      return { ...made, data, archive, change, stop };
    }

    async function opened(replicated: Replicated) {
      return { data: await replicated.data(), archive: await replicated.archive() };
    }

    /** A replica whose sets are in a folder. */
    async function inFolder(replicated: Replicated, folder: string) {
      return replicaOf(await opened(replicated), { folder });
    }

    function folderWith(files: Record<string, string>): string {
      const folder = temporaryDirectory();
      write(folder, files);
      return folder;
    }

    function write(folder: string, files: Record<string, string>): void {
      mkdirSync(join(folder, 'acl', 'tests'), { recursive: true });
      for (const [path, text] of Object.entries(files)) writeFileSync(join(folder, 'acl', path), text);
    }

    /** A replica whose sets are in the database. */
    async function inDatabase(replicated: Replicated) {
      const repository = await replicated.repository();
      onTestFinished(() => repository.close());
      const stores = await opened(replicated);
      const log = { warn: () => undefined, error: () => undefined };
      const source = new DatabaseSource({ repository, archive: stores.archive, log });
      const replica = await replicaOf(stores, { source });
      const policies = new PolicyWriting(repository, source, new SentBundles(undefined), stores.data, defaultMaxSets);
      return { ...replica, repository, policies };
    }

    it('decide by the files and the data, under a version that is of both', async () => {
      const { store, change } = await inFolder(make(), folderWith(filesOf()));
      const ofFiles = store.resolve('acl').version;
      expect(store.resolve('acl').revision).toBeUndefined();
      expect(mayWrite(store, 'ana')).toBe(false);
      const written = await change(add(['g', 'ana', 'editor']));
      expect(written).toMatchObject({ set: 'acl', revision: 1, added: 1, removed: 0 });
      expect(mayWrite(store, 'ana')).toBe(true);
      const { version, revision } = store.resolve('acl');
      expect([version, revision]).toEqual([written.version, 1]);
      const whole = compilePolicySet({
        model,
        rules: [{ file: 'rules.csv', text: rules }],
        manifest,
        strict: true,
        data: { roles: [['g', 'ana', 'editor']] },
      });
      expect(version).toBe(whole.version);
      expect(await change(remove(['g', 'ana', 'editor']))).toMatchObject({ version: ofFiles, revision: 2 });
      expect(mayWrite(store, 'ana')).toBe(false);
      // Nothing changes, so there is no new number.
      expect(await change(remove(['g', 'ana', 'editor']))).toMatchObject({ revision: 2, removed: 0 });
    });

    it('serve every change on every replica, also one that was not there', async () => {
      const replicated = make();
      const folder = folderWith(filesOf());
      const [one, other] = [await inFolder(replicated, folder), await inFolder(replicated, folder)];
      const { revision } = await one.change(add(['g', 'ana', 'editor'], ['g', 'ben', 'viewer']));
      expect(await other.store.until(() => other.store.resolve('acl').revision === revision, 5_000)).toBe(true);
      expect(mayWrite(other.store, 'ana')).toBe(true);
      expect(other.store.resolve('acl').version).toBe(one.store.resolve('acl').version);
      const late = await inFolder(replicated, folder);
      expect(late.store.resolve('acl').version).toBe(one.store.resolve('acl').version);
      expect(late.store.resolve('acl').revision).toBe(revision);
    });

    it('are changed by all replicas at once, each change checked on those before it', async () => {
      const replicated = make();
      const folder = folderWith(filesOf());
      const replicas = [await inFolder(replicated, folder), await inFolder(replicated, folder)];
      const writes = Array.from({ length: 20 }, (_, n) => replicas[n % 2]!.change(add(['g', `user${n}`, 'editor'])));
      const revisions = (await Promise.all(writes)).map(({ revision }) => revision);
      expect(revisions.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
      for (const { store } of replicas) {
        expect(await store.until(() => store.resolve('acl').revision === 20, 5_000)).toBe(true);
      }
      expect(new Set(replicas.map(({ store }) => store.resolve('acl').version)).size).toBe(1);
      // Two halves of a cycle: one of them comes second.
      const halves = await Promise.allSettled([
        replicas[0]!.change(add(['g', 'a', 'b'])),
        replicas[1]!.change(add(['g', 'b', 'a'])),
      ]);
      expect(halves.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    });

    it('refuse a change as a whole, with the place of what is wrong', async () => {
      const { store, change } = await inFolder(
        make(),
        folderWith(filesOf({ 'rules.csv': `${rules}g, boss, editor\n` })),
      );
      const refused = (what: DataChange) =>
        change(what).then(
          () => 'made',
          (error) => ({
            code: error.code,
            pointers: error.extra.errors?.map(({ pointer }: { pointer: string }) => pointer),
          }),
        );
      const cycle = add(['g', 'ana', 'editor'], ['g', 'viewer', 'ana']);
      expect(await refused(cycle)).toEqual({ code: 'conflict', pointers: ['/add/roles/0'] });
      expect(await refused(remove(['g', 'boss', 'editor']))).toEqual({
        code: 'defined_in_files',
        pointers: ['/remove/roles/0'],
      });
      expect(await refused(add(['g2', 'ana', 'editor']))).toMatchObject({ code: 'invalid_request' });
      expect(await refused({ add: { entities: [{ type: 'doc', id: 'x' }] } })).toEqual({
        code: 'not_live_data',
        pointers: ['/add/entities/0/type'],
      });
      expect(await refused({ add: { entities: [{ type: 'user', id: 'ana', attributes: { level: 1 } }] } })).toBe(
        'made',
      );
      expect(await refused({ add: { entities: [{ type: 'user', id: 'ana', attributes: { level: 2 } }] } })).toEqual({
        code: 'conflict',
        pointers: ['/add/entities/0'],
      });
      expect(store.resolve('acl').revision).toBe(1);
      expect(mayWrite(store, 'ana')).toBe(false);
    });

    it('run the tests that are about live data with each change, and refuse what fails one', async () => {
      const folder = folderWith(filesOf());
      const { store, change } = await inFolder(make(), folder);
      await change(add(['g', 'boss', 'editor']));
      const before = store.resolve('acl');
      write(folder, { 'tests/live.yaml': liveTest });
      await store.reload('acl');
      expect(store.status('acl').state).toBe('active');
      await expect(change(remove(['g', 'boss', 'editor']))).rejects.toMatchObject({
        code: 'conflict',
        detail: expect.stringContaining('tests/live.yaml:3'),
      });
      expect(store.resolve('acl').version).toBe(before.version);
      expect(mayWrite(store, 'boss')).toBe(true);
    });

    it('take a change once, however often it comes under its key', async () => {
      const replicated = make();
      const folder = folderWith(filesOf());
      const [one, other] = [await inFolder(replicated, folder), await inFolder(replicated, folder)];
      const what = add(['g', 'ana', 'editor']);
      const answers = await Promise.all([one, other, one, other].map(({ change }) => change(what, { key: 'k-1' })));
      expect(new Set(answers.map(({ revision, version }) => `${revision} ${version}`)).size).toBe(1);
      await one.change(remove(['g', 'ana', 'editor']));
      expect((await one.change(what, { key: 'k-1' })).revision).toBe(1);
      expect(mayWrite(one.store, 'ana')).toBe(false);
      await expect(one.change(add(['g', 'ben', 'editor']), { key: 'k-1' })).rejects.toMatchObject({
        code: 'idempotency_key_reused',
      });
      // The key is the caller's: another one has its own.
      expect((await one.change(add(['g', 'ben', 'editor']), { key: 'k-1', by: 'ben' })).revision).toBe(3);
    });

    it('take a change once also where it changed nothing', async () => {
      const { store, change } = await inFolder(make(), folderWith(filesOf()));
      expect(await change(remove(['g', 'zoe', 'editor']), { key: 'k-2' })).toMatchObject({ removed: 0 });
      await change(add(['g', 'zoe', 'editor']));
      expect(await change(remove(['g', 'zoe', 'editor']), { key: 'k-2' })).toMatchObject({ removed: 0 });
      expect(mayWrite(store, 'zoe')).toBe(true);
      await expect(change(remove(['g', 'ben', 'editor']), { key: 'k-2' })).rejects.toMatchObject({
        code: 'idempotency_key_reused',
      });
    });

    it('keep their data where they are rolled back to a version of files alone', async () => {
      const { store, change } = await inFolder(make(), folderWith(filesOf()));
      const { folderVersion } = store.status('acl');
      const { version } = await change(add(['g', 'ana', 'editor']));
      expect(await store.rollback('acl', folderVersion!, 'ada')).toMatchObject({ version, pinned: false });
      expect(mayWrite(store, 'ana')).toBe(true);
    });

    it('say that they are behind where a change cannot be put into service, and try it again', async () => {
      const { store, change, archive } = await inFolder(make(), folderWith(filesOf()));
      await change(add(['g', 'ana', 'editor']));
      const { keepData } = archive;
      archive.keepData = () => Promise.reject(new Error('the disk is full'));
      await change(remove(['g', 'ana', 'editor']));
      await change(add(['g', 'ben', 'editor'])).catch(() => undefined);
      expect(store.status('acl').state).toBe('stale');
      expect(store.status('acl').problems.map(({ code }) => code)).toContain('live_data_not_followed');
      const age = store.ageOf('acl');
      await until(
        () => store.ageOf('acl'),
        (later) => later > age + 300,
      );
      archive.keepData = keepData;
      await until(
        () => store.status('acl').state,
        (state) => state === 'active',
      );
      expect(mayWrite(store, 'ana')).toBe(false);
    });

    it('that go away while a change waits for them refuse it, and nothing else fails', async () => {
      const source = new ToldSource();
      const { store, data, change } = await replicaOf(await opened(make()), { source });
      await source.offer(setOf(filesOf()));
      // Another replica has changed it, and this one does not follow.
      store.followData = async () => undefined;
      const entries = {
        added: { roles: [['g', 'ben', 'editor']], entities: [] },
        removed: { roles: [], entities: [] },
      };
      await data.write('acl', { ...entries, after: { files: 0, data: 0 }, by: 'ben', at: 0, version: 'sha256:other' });
      const refusal = expect(change(add(['g', 'cem', 'editor']))).rejects.toMatchObject({
        code: 'policy_set_not_found',
      });
      // The change has read the numbers by then, and waits.
      await data.revisions('acl');
      await new Promise((resolve) => setTimeout(resolve, 100));
      await source.sink.remove('acl', 'its folder is gone');
      await refusal;
      expect(store.statuses()).toEqual([]);
    });

    it('hold a change against the revision that its writer has seen', async () => {
      const { change } = await inFolder(make(), folderWith(filesOf()));
      await change(add(['g', 'ana', 'editor']));
      await expect(change(add(['g', 'ben', 'editor']), { expected: 7 })).rejects.toMatchObject({
        code: 'precondition_failed',
      });
      expect((await change(add(['g', 'ben', 'editor']), { expected: 1 })).revision).toBe(2);
    });

    it('answer as they did on any earlier version, and can be rolled back to it', async () => {
      const replicated = make();
      const folder = folderWith(filesOf());
      const { store, change } = await inFolder(replicated, folder);
      const versions: string[] = [];
      for (const name of ['ana', 'ben', 'cem']) versions.push((await change(add(['g', name, 'editor']))).version);
      write(folder, { 'rules.csv': 'p, editor, doc, write\n' });
      await until(
        () => store.resolve('acl').version,
        (version) => version !== versions[2],
      );
      const changed = store.resolve('acl').version;
      const holders = async (version: string) => {
        const { compiled } = await store.version('acl', version);
        return ['ana', 'ben', 'cem'].filter((name) => compiled.enforce([name, 'doc', 'write']).decision === 'allow');
      };
      expect(await holders(versions[0]!)).toEqual(['ana']);
      expect(await holders(versions[1]!)).toEqual(['ana', 'ben']);
      expect(await holders(changed)).toEqual(['ana', 'ben', 'cem']);

      const before = store.resolve('acl').revision!;
      const status = await store.rollback('acl', versions[1]!, 'ada');
      expect(status).toMatchObject({ version: versions[1], pinned: true });
      expect(status.revision).toBeGreaterThan(before);
      expect(mayWrite(store, 'cem')).toBe(false);
      // The pin is on the files: data can be changed meanwhile.
      expect((await change(add(['g', 'dan', 'editor']))).revision).toBeGreaterThan(status.revision!);
      expect(mayWrite(store, 'dan')).toBe(true);
      const again = await inFolder(replicated, folder);
      expect(again.store.status('acl')).toMatchObject({ version: store.resolve('acl').version, pinned: true });
    });

    it('whose files have numbers of their own, as bundles have, are numbered with their data', async () => {
      const replicated = make();
      const replica = async () => {
        const source = new NumberingSource();
        return { ...(await replicaOf(await opened(replicated), { source })), source };
      };
      const [one, other] = [await replica(), await replica()];
      for (const { source } of [one, other]) await source.offer(setOf(filesOf()), 5);
      const revisions = () => [one, other].map(({ store }) => store.resolve('acl').revision);
      const both = (revision: number) => one.store.until(() => revisions().every((seen) => seen === revision), 5_000);
      expect(revisions()).toEqual([5, 5]);
      expect((await one.change(add(['g', 'ana', 'editor']))).revision).toBe(6);
      expect(await other.store.until(() => other.store.resolve('acl').revision === 6, 5_000)).toBe(true);
      // The bundle of one replica is newer, and data is changed there: the other has the data, and not its number.
      await one.source.offer(setOf(filesOf({ 'rules.csv': `${rules}p, viewer, doc, list\n` })), 6);
      expect(one.store.resolve('acl').revision).toBe(7);
      expect((await one.change(add(['g', 'ben', 'editor']))).revision).toBe(8);
      expect(await other.store.until(() => mayWrite(other.store, 'ben'), 5_000)).toBe(true);
      expect(other.store.resolve('acl').revision).toBe(6);
      await other.source.offer(setOf(filesOf({ 'rules.csv': `${rules}p, viewer, doc, list\n` })), 6);
      expect(await both(8)).toBe(true);
    });

    it('keep the changes of their data as long as a version needs them', async () => {
      const replicated = make();
      const { data, store, change } = await inFolder(replicated, folderWith(filesOf()));
      const versions: string[] = [];
      for (let n = 0; n < 5; n++) versions.push((await change(add(['g', `user${n}`, 'editor']))).version);
      const retain = async (newest: number) => {
        const archive = await replicated.archive();
        onTestFinished(() => archive.close());
        await archive.prune(Date.now() + 10 * 3_600_000, newest);
        const retention = new ArchiveRetention({
          archive,
          data,
          oldestRecord: async () => undefined,
          onProblem: (_what, error) => expect.fail(String(error)),
        });
        retention.start();
        await retention.stop();
      };
      await retain(100);
      expect((await data.changesAfter('acl', 0, 10)).map(({ revision }) => revision)).toEqual([2, 3, 4, 5]);
      expect((await store.version('acl', versions[0]!)).version).toBe(versions[0]);
      await retain(2);
      expect((await data.changesAfter('acl', 0, 10)).map(({ revision }) => revision)).toEqual([5]);
      expect((await store.version('acl', versions[3]!)).version).toBe(versions[3]);
      await expect(store.version('acl', versions[1]!)).rejects.toMatchObject({ code: 'policy_version_not_found' });
    });

    it('start from a copy while the database is away, as old as it is, and follow when the database is back', async () => {
      const replicated = make();
      const folder = folderWith(filesOf());
      const spool = temporaryDirectory();
      const problems: string[] = [];
      const replica = async (isAway: boolean) => {
        const stores = await opened(replicated);
        const { data } = stores;
        const { entries, heads } = data;
        let fails = isAway;
        const unless = <Result>(work: () => Promise<Result>) => (fails ? Promise.reject(away) : work());
        data.entries = (name) => unless(() => entries.call(data, name));
        data.heads = () => unless(() => heads.call(data));
        const copy = new SpoolCopy(copiedData, {
          folder: join(spool, 'copy'),
          database: 'db',
          onProblem: (what, error) => problems.push(`${what}: ${error}`),
        });
        const comesBack = () => {
          fails = false;
        };
        return { ...(await replicaOf(stores, { folder }, new DataCopying(copy))), comesBack };
      };
      const without = await replica(true);
      // Role links may be what a rule denies by: without them nothing is decided.
      expect(without.store.statuses()[0]?.state).toBe('failed');
      await without.stop();

      const first = await replica(false);
      const entity = { type: 'user', id: 'ana', attributes: { level: 3, name: 'Ána "A"' } };
      await first.change({ add: { roles: [['g', 'ana', 'editor']], entities: [entity] } });
      await until(
        () => first.store.ageOf('acl'),
        (age) => age < 3_000,
      );
      await first.stop();

      const other = await replica(true);
      expect(other.store.status('acl')).toMatchObject({ state: 'active', revision: 1 });
      expect(mayWrite(other.store, 'ana')).toBe(true);
      expect(other.store.resolve('acl').compiled.data?.size).toBe(2);
      expect(other.store.ageOf('acl')).toBeGreaterThan(0);
      expect(other.store.ageOf('acl')).toBeLessThan(60_000);
      const elsewhere = await replica(false);
      await elsewhere.change(add(['g', 'ben', 'editor']));
      other.comesBack();
      expect(await other.store.until(() => mayWrite(other.store, 'ben'), 5_000)).toBe(true);
      expect(problems).toEqual([]);
    });

    it('whose files are in the database have one revision, which both raise', async () => {
      const replicated = make();
      const [one, other] = [await inDatabase(replicated), await inDatabase(replicated)];
      await one.policies.put(setOf(filesOf()), { expected: 'new', by: 'ada' });
      expect(one.store.resolve('acl').revision).toBe(1);
      expect((await one.change(add(['g', 'ana', 'editor']))).revision).toBe(2);
      const put = await one.policies.put(setOf(filesOf({ 'rules.csv': `${rules}p, viewer, doc, list\n` })), {
        expected: 1,
        by: 'ada',
      });
      expect(put.revision).toBe(3);
      expect(one.store.resolve('acl').revision).toBe(3);
      expect(mayWrite(one.store, 'ana')).toBe(true);
      expect((await one.change(add(['g', 'ben', 'editor']))).revision).toBe(4);
      expect(await other.store.until(() => other.store.served('acl')?.revision === 4, 5_000)).toBe(true);
      expect(other.store.resolve('acl').version).toBe(one.store.resolve('acl').version);
      expect(await other.store.latestRevision('acl')).toBe(4);
      expect(put.version).not.toBe(one.store.resolve('acl').version);
    });

    it('serve one version on all replicas, after any changes by any of them, with restarts in between', async () => {
      const replicated = make();
      const random = randomFrom(Number(process.env.VERDICT_TEST_FUZZ_SEED ?? 7));
      const replicas = [await inDatabase(replicated), await inDatabase(replicated)];
      await replicas[0]!.policies.put(setOf(filesOf()), { expected: 'new', by: 'ada' });
      const links = new Set<string>();
      let text = rules;
      const versions: string[] = [];
      for (let turn = 0; turn < 40; turn++) {
        const replica = replicas[random(2)]!;
        await replica.store.until(() => replica.store.served('acl') !== undefined, 5_000);
        const name = `user${random(8)}`;
        switch (random(8)) {
          case 0: {
            text = `${rules}p, viewer, doc, act${turn}\n`;
            await replica.policies.put(setOf(filesOf({ 'rules.csv': text })), { expected: 'any', by: 'ada' });
            break;
          }
          case 1: {
            await replica.store.stop();
            replicas[replicas.indexOf(replica)] = await inDatabase(replicated);
            break;
          }
          case 2:
          case 3: {
            await replica.change(remove(['g', name, 'editor']));
            links.delete(name);
            break;
          }
          default: {
            await replica.change(add(['g', name, 'editor']));
            links.add(name);
          }
        }
        const latest = (await replicas[0]!.store.latestRevision('acl'))!;
        for (const { store } of replicas) {
          expect(await store.until(() => store.served('acl')?.revision === latest, 5_000), `turn ${turn}`).toBe(true);
        }
        versions.push(replicas[0]!.store.resolve('acl').version);
        expect(replicas[1]!.store.resolve('acl').version, `turn ${turn}`).toBe(versions.at(-1));
        const whole = compilePolicySet({
          model,
          rules: [{ file: 'rules.csv', text }],
          manifest,
          data: { roles: [...links].map((link) => ['g', link, 'editor']) },
        });
        expect(versions.at(-1), `turn ${turn}`).toBe(whole.version);
      }
      for (const version of new Set(versions)) {
        expect((await replicas[0]!.store.version('acl', version)).version).toBe(version);
      }
    });

    it('do not take files that their data do not fit', async () => {
      const { policies, change, store } = await inDatabase(make());
      await policies.put(setOf(filesOf()), { expected: 'new', by: 'ada' });
      await change(add(['g', 'viewer', 'ana']));
      const cycle = setOf(filesOf({ 'rules.csv': `${rules}g, ana, editor\n` }));
      await expect(policies.put(cycle, { expected: 'any', by: 'ada' })).rejects.toMatchObject({
        code: 'policy_set_invalid',
        detail: expect.stringContaining('live data'),
      });
      expect(store.resolve('acl').revision).toBe(2);
    });

    it('that are removed lose their data, so that a new set of that name does not get them', async () => {
      const { policies, change, store, data } = await inDatabase(make());
      await policies.put(setOf(filesOf()), { expected: 'new', by: 'ada' });
      const { version } = await change(add(['g', 'ana', 'editor']), { key: 'k-3' });
      await policies.remove('acl', { expected: 'any', by: 'ada' });
      expect((await data.entries('acl')).roles).toEqual([]);
      await policies.put(setOf(filesOf()), { expected: 'new', by: 'ada' });
      expect(mayWrite(store, 'ana')).toBe(false);
      // What was answered to a caller of the set that is gone says nothing of this one.
      expect(await change(add(['g', 'ana', 'editor']), { key: 'k-3' })).toMatchObject({ added: 1 });
      // Decisions of that time can be explained still.
      const then = await store.version('acl', version);
      expect(then.compiled.enforce(['ana', 'doc', 'write']).decision).toBe('allow');
    });

    it('that come back with data that do not fit are served when the data fit again', async () => {
      const replicated = make();
      const folder = folderWith(filesOf());
      const { store, change } = await inFolder(replicated, folder);
      await change(add(['g', 'viewer', 'ana']));
      write(folder, { 'rules.csv': `${rules}g, ana, editor\n` });
      await until(
        () => store.status('acl').state,
        (state) => state === 'stale',
      );
      expect(store.status('acl').problems[0]).toMatchObject({ code: 'conflict', file: 'policy-set.yaml' });
      await change(remove(['g', 'viewer', 'ana']));
      await until(
        () => store.status('acl').state,
        (state) => state === 'active',
      );
    });
  });
}
