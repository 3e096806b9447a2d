import { writeFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { VerdictError } from '../../src/errors.js';
import type { PolicyStore } from '../../src/policy-store/policy-store.js';
import { idModel } from '../models.js';
import { temporaryDirectory, writeTree } from './folders.js';
import { brief, newStore, openArchive, startedStore, until } from './store.js';

const rule = (subject: string) => `p, ${subject}, data1, read\n`;
const set = (name: string, rules = rule('alice')) => ({
  [`${name}/model.conf`]: idModel,
  [`${name}/rules.csv`]: rules,
});

async function directory(files: Record<string, string>): Promise<string> {
  const root = temporaryDirectory();
  await writeTree(root, files);
  return root;
}

function errorOf(store: PolicyStore, name?: string): string {
  try {
    store.resolve(name);
    return 'none';
  } catch (error) {
    if (!(error instanceof VerdictError)) throw error;
    return `${error.code}: ${error.detail}`;
  }
}

async function allowed(store: PolicyStore, subject: string, name?: string): Promise<boolean> {
  const request = { subject: { id: subject }, action: { name: 'read' }, resource: { id: 'data1' } };
  const { decision } = await store.resolve(name).evaluate(request, { now: Date.now(), explain: 'brief' });
  return decision === 'allow';
}

describe('a policy store', () => {
  it('serves every set of its directory, each with its version', async () => {
    const { store } = await startedStore(await directory({ ...set('a'), ...set('b', rule('bob')) }));
    expect(store.statuses().map(brief)).toEqual(['a active', 'b active']);
    expect(await allowed(store, 'alice', 'a')).toBe(true);
    expect(await allowed(store, 'alice', 'b')).toBe(false);
    const { name, version, engine, compiled } = store.resolve('b');
    expect({ name, engine }).toEqual({ name: 'b', engine: 'verdict' });
    expect(version).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(compiled.version).toBe(version);
    expect(store.status('b')).toMatchObject({ version, folderVersion: version, pinned: false, engine: 'verdict' });
  });

  it('reads manifest and entities, and takes the version over both', async () => {
    const root = await directory({
      ...set('acl', 'p, user:alice, data1, read\n'),
      'acl/policy-set.yaml': 'description: who reads what\nrequest:\n  sub: "${subject.type}:${subject.id}"\n',
      'acl/entities.yaml': '- { type: user, id: alice }\n',
    });
    const { store } = await startedStore(root);
    expect(await allowed(store, 'alice')).toBe(true);
    expect(store.status('acl').description).toBe('who reads what');
    expect(store.resolve().compiled.version).toBe(store.resolve().version);
  });

  it('says of each broken set what is wrong with it and where, and serves the others', async () => {
    const root = await directory({
      ...set('good'),
      ...set('short', 'p, alice, data1, read\np, bob, data1\nq, x\n'),
      'bare/model.conf': '',
      'binary/model.conf': idModel,
      'binary/rules.csv': 'p, a\0b, x, y',
    });
    const { store, log } = await startedStore(root);
    const shown = store.statuses().map(brief);
    expect(shown[1]).toBe('binary failed [rules.csv:1 binary_file]');
    expect(shown[2]).toBe('good active');
    expect(shown[3]).toMatch(/^short failed \[rules\.csv:2 \w+, rules\.csv:3 \w+\]$/);
    expect(shown[0]).toMatch(/^bare failed \[model\.conf:/);
    expect(errorOf(store, 'short')).toBe('policy_set_unavailable: The policy set "short" could not be loaded.');
    expect(await allowed(store, 'alice', 'good')).toBe(true);
    expect(log.filter(({ level }) => level === 'error').map(({ details }) => details)).toHaveLength(3);
  });

  it('takes the set named "default" for requests that name none, else the only one, else what it is told', async () => {
    const named = await startedStore(await directory({ ...set('a'), ...set('default') }));
    expect(named.store.resolve().name).toBe('default');
    const only = await startedStore(await directory(set('a')));
    expect(only.store.resolve().name).toBe('a');
    const root = await directory({ ...set('a'), ...set('b') });
    const none = await startedStore(root);
    expect(errorOf(none.store)).toBe(
      'no_policy_set: There is no default policy set, so policySet must be one of: a, b.',
    );
    const told = await startedStore(root, { defaultPolicySet: 'b' });
    expect(told.store.resolve().name).toBe('b');
    const wrong = await startedStore(root, { defaultPolicySet: 'c' });
    expect(errorOf(wrong.store)).toBe('policy_set_not_found: There is no policy set "c".');
  });

  it('does not fall back from a broken default to another set', async () => {
    const { store } = await startedStore(await directory({ ...set('a'), ...set('default', 'nonsense') }));
    expect(errorOf(store)).toMatch(/^policy_set_unavailable/);
  });

  it('starts without anything to serve when the directory is missing or empty, and says so', async () => {
    const root = temporaryDirectory();
    await mkdir(join(root, 'empty'));
    for (const [path, code] of [
      ['missing', 'policy_dir_missing'],
      ['empty', 'policy_dir_empty'],
    ] as const) {
      const { store } = await startedStore(join(root, path));
      expect(store.problem?.code).toBe(code);
      expect(store.statuses()).toEqual([]);
      expect(errorOf(store)).toMatch(/^policy_set_unavailable/);
      expect(errorOf(store, 'a')).toMatch(/^policy_set_unavailable/);
    }
  });

  it('tells a set that is not there from one that cannot be served', async () => {
    const { store } = await startedStore(await directory(set('a')));
    for (const name of ['b', '', '__proto__', 'constructor', 'toString']) {
      expect(errorOf(store, name)).toBe(`policy_set_not_found: There is no policy set "${name}".`);
    }
    expect(() => store.status('b')).toThrow(VerdictError);
    await expect(store.reload('b')).rejects.toThrow('no policy set');
    await expect(store.rollback('a', 'sha256:00', 'a test')).rejects.toMatchObject({
      code: 'policy_version_not_found',
    });
  });

  it('does not take a set that is being written when it starts for one that is not there', async () => {
    const root = await directory({ ...set('a'), ...set('b') });
    const writing = setInterval(() => writeFileSync(join(root, 'b/rules.csv'), `# ${performance.now()}\n`), 5);
    try {
      const { store } = await startedStore(root, { patienceMs: 200 });
      expect(store.statuses().map(brief)).toEqual(['a active', 'b failed [.:1 policy_set_changing]']);
      expect(errorOf(store, 'b')).toMatch(/^policy_set_unavailable/);
      expect(errorOf(store)).toMatch(/^no_policy_set/);
    } finally {
      clearInterval(writing);
    }
  });

  it('serves as many sets as it may, and says of one more why it does not, over a restart too', async () => {
    const archive = await openArchive(join(temporaryDirectory(), 'verdict.sqlite'));
    const root = await directory({ ...set('a'), ...set('b') });
    const start = () => startedStore(root, { archive, maxSets: 2 });
    const first = await start();
    expect(first.store.statuses().map(brief)).toEqual(['a active', 'b active']);
    await writeTree(root, set('c'));
    await first.store.reload();
    const full = ['a active', 'b active', 'c failed [.:1 too_many_policy_sets]'];
    expect(first.store.statuses().map(brief)).toEqual(full);
    // What serves can change.
    await writeFile(join(root, 'a/rules.csv'), rule('bob'));
    await first.store.reload();
    expect(await allowed(first.store, 'bob', 'a')).toBe(true);
    await first.store.stop();
    const { store } = await start();
    expect(store.statuses().map(brief)).toEqual(full);
    await rm(join(root, 'b'), { recursive: true });
    await until(
      () => store.statuses().length,
      (count) => count === 2,
    );
    await store.reload('c');
    expect(store.statuses().map(brief)).toEqual(['a active', 'c active']);
  });

  it('gives the same list of states until one changes, for those who ask each second', async () => {
    const root = await directory({ ...set('a'), ...set('b') });
    const { store } = await startedStore(root);
    const before = store.statuses();
    await store
      .resolve('a')
      .evaluate(
        { subject: { id: 'alice' }, action: { name: 'read' }, resource: { id: 'data1' } },
        { now: 0, explain: 'brief' },
      );
    expect(store.statuses()).toBe(before);
    await writeFile(join(root, 'a/rules.csv'), rule('bob'));
    await store.reload('a');
    expect(store.statuses()).not.toBe(before);
    expect(store.statuses()[0]!.version).not.toBe(before[0]!.version);
    await writeFile(join(root, 'a/rules.csv'), 'p, broken\n');
    await store.reload('a');
    expect(store.statuses()[0]).toMatchObject({ state: 'stale', problems: [{ code: 'wrong_field_count' }] });
  });

  it('takes no set from the archive beyond that', async () => {
    const archive = await openArchive(join(temporaryDirectory(), 'verdict.sqlite'));
    const root = await directory({ ...set('a'), ...set('b') });
    const before = await startedStore(root, { archive });
    await before.store.stop();
    const { store } = await startedStore(root, { archive, maxSets: 1 });
    expect(store.statuses().map(brief)).toEqual(['a active', 'b failed [.:1 too_many_policy_sets]']);
  });

  it('shows warnings of a set that it serves', async () => {
    const { store } = await startedStore(await directory(set('a', rule('alice') + rule('alice'))));
    expect(store.statuses().map(brief)[0]).toMatch(/^a active \[rules\.csv:2 \w+\]$/);
  });

  it('shows the first hundred problems of a set, and how many there are', async () => {
    for (const [problems, shown] of [
      [100, 100],
      [101, 100],
    ] as const) {
      // One rule is right: a file without any would be one mistake, and one problem.
      const wrong = Array.from({ length: problems }, (_, index) => `p, user${index}, data1\n`);
      const { store } = await startedStore(await directory(set('a', rule('alice') + wrong.join(''))));
      expect(store.status('a')).toMatchObject({ problemCount: problems });
      expect(store.status('a').problems).toHaveLength(shown);
    }
  });

  it('can be stopped at any time', async () => {
    const root = await directory(set('a'));
    const { store } = newStore(root);
    const starting = store.start();
    await writeFile(join(root, 'a/rules.csv'), rule('bob'));
    await starting;
    await rm(join(root, 'a'), { recursive: true });
    await store.stop();
    await store.stop();
  });
});
